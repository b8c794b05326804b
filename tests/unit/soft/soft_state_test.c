/* Registers and state of the software processor, in and out. */
#include "soft/soft_block.h"
#include "soft_machine.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>

/* Registers, RAM and count after `count` instructions from where the machine stands. */
static struct mh_cpu_state state_after(struct soft_machine *machine, uint64_t count)
{
    struct mh_cpu_state saved;
    machine->request.until = machine->soft->instructions + count;
    assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    assert_int_equal(machine->cpu->ops->save(machine->cpu, &saved, NULL), MH_OK);
    return saved;
}

static void assert_equal_states(const struct mh_cpu_state *left, const struct mh_cpu_state *right)
{
    assert_memory_equal(&left->general, &right->general, sizeof left->general);
    assert_memory_equal(left->system.seg, right->system.seg, sizeof left->system.seg);
    assert_memory_equal(&left->msrs, &right->msrs, sizeof left->msrs);
    assert_memory_equal(left->xsave, right->xsave, sizeof left->xsave);
    assert_memory_equal(left->dr, right->dr, sizeof left->dr);
    assert_int_equal(left->dr6, right->dr6);
    assert_int_equal(left->dr7, right->dr7);
    assert_int_equal(left->shadow, right->shadow);
    assert_int_equal(left->system.cr3, right->system.cr3);
}

static void a_restored_state_goes_on_as_the_first_time(void **state)
{
    struct soft_machine *machine = *state;
    /* 1: rdtsc; add rbx, rax; imul rbx, rbx, 17; push rbx; pop rcx; jmp 1b */
    soft_machine_code(machine, 0x100, "\x0f\x31\x48\x01\xc3\x48\x6b\xdb\x11\x53\x59\xeb\xf3");
    const struct mh_cpu_state start = state_after(machine, 11), first = state_after(machine, 1000);
    assert_int_equal(machine->cpu->ops->restore(machine->cpu, &start, NULL), MH_OK);
    const struct mh_cpu_state again = state_after(machine, 1000);
    assert_equal_states(&first, &again);
}

static void what_is_restored_is_what_is_saved(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    struct mh_cpu_state given, saved;
    assert_int_equal(ops->save(machine->cpu, &given, NULL), MH_OK);
    given.general.rflags = 0xad7 | MH_RFLAGS_AC;
    given.msrs.lstar = 0xffff800000001234;
    given.msrs.tsc = 987654321;
    given.dr[2] = 0x1234;
    given.dr6 = 0xffff0ff1;
    given.shadow = MH_SHADOW_STI;
    given.pending = (struct mh_x86_pending){.valid = true, .vector = 14, .has_error_code = true, .error_code = 6};
    for (unsigned i = 160; i < 416; i++)
        given.xsave[i] = (uint8_t)i;
    soft_set_instructions(machine->cpu, 5000);
    assert_int_equal(ops->restore(machine->cpu, &given, NULL), MH_OK);
    assert_int_equal(ops->save(machine->cpu, &saved, NULL), MH_OK);
    assert_equal_states(&given, &saved);
    assert_memory_equal(&given.pending, &saved.pending, sizeof given.pending);
}

static void a_pending_exception_is_delivered_first(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    struct mh_cpu_state given;
    soft_machine_code(machine, 0x100, "\x90");
    assert_int_equal(ops->save(machine->cpu, &given, NULL), MH_OK);
    given.system.cr2 = 0x4321;
    given.pending = (struct mh_x86_pending){.valid = true, .vector = 14, .has_error_code = true, .error_code = 6};
    assert_int_equal(ops->restore(machine->cpu, &given, NULL), MH_OK);
    machine->request.report = CPU_REPORT_FAULTS;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_FAULT_DELIVERED);
    assert_int_equal(machine->exit.vector, 14);
    assert_int_equal(machine->soft->cr2, 0x4321);
    assert_int_equal(soft_machine_get64(machine, machine->soft->gpr[MH_RSP]), 6);
    assert_int_equal(soft_machine_get64(machine, machine->soft->gpr[MH_RSP] + 8), 0x100);
    assert_false(machine->soft->pending.valid);
}

static void the_count_may_be_set_without_changing_the_time(void **state)
{
    struct soft_machine *machine = *state;
    struct mh_cpu_state before, after;
    uint64_t count;
    assert_int_equal(machine->cpu->ops->save(machine->cpu, &before, NULL), MH_OK);
    soft_set_instructions(machine->cpu, 123456);
    assert_int_equal(machine->cpu->ops->save(machine->cpu, &after, NULL), MH_OK);
    assert_int_equal(before.msrs.tsc, after.msrs.tsc);
    assert_true(machine->cpu->ops->instructions(machine->cpu, &count));
    assert_int_equal(count, 123456);
}

static void registers_come_back_as_written(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    struct mh_x86_regs regs, again;
    assert_int_equal(ops->read_regs(machine->cpu, MH_REGS_ALL, &regs, NULL), MH_OK);
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        regs.general.gpr[i] = i * 0x0101010101010101;
    regs.general.rip = 0x4000;
    regs.general.rflags = 0x8d7;
    regs.system.seg[MH_FS].base = 0xffff800000000000;
    regs.fpu.fctrl = 0x27f;
    regs.fpu.ftag = 0xffff;
    regs.fpu.xmm[3][5] = 0x77;
    regs.msrs.kernel_gs_base = 0xffff800000001000;
    regs.msrs.lstar = 0x5000;
    regs.msrs.sfmask = 0x47700;
    regs.msrs.pat = 0x0706050401000606;
    regs.msrs.tsc = 0x123456789;
    assert_int_equal(ops->write_regs(machine->cpu, MH_REGS_ALL, &regs, NULL), MH_OK);
    assert_int_equal(ops->read_regs(machine->cpu, MH_REGS_ALL, &again, NULL), MH_OK);
    assert_memory_equal(&regs.general, &again.general, sizeof regs.general);
    assert_memory_equal(&regs.fpu, &again.fpu, sizeof regs.fpu);
    assert_int_equal(again.system.seg[MH_FS].base, 0xffff800000000000);
    assert_memory_equal(&regs.msrs, &again.msrs, sizeof regs.msrs);
}

static void values_no_register_can_hold_are_refused_by_name(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    struct mh_x86_regs good, bad, now;
    struct mh_error err;
    assert_int_equal(ops->read_regs(machine->cpu, MH_REGS_ALL, &good, NULL), MH_OK);
    const struct {
        uint64_t *at;
        uint64_t value;
        const char *name;
    } cases[] = {
        {&bad.system.cr0, good.system.cr0 & ~(uint64_t)MH_CR0_PG, "CR0"},
        {&bad.system.cr0, good.system.cr0 | 1ull << 32, "CR0"},
        {&bad.system.cr0, good.system.cr0 | 1u << 29, "CR0"},
        {&bad.system.cr3, 1ull << 63, "CR3"},
        {&bad.system.cr4, good.system.cr4 & ~(uint64_t)MH_CR4_PAE, "CR4"},
        {&bad.system.cr4, good.system.cr4 | MH_CR4_LA57, "CR4"},
        {&bad.system.cr8, 16, "CR8"},
        {&bad.system.efer, good.system.efer & ~(uint64_t)MH_EFER_LME, "EFER"},
        {&bad.system.efer, good.system.efer | 1ull << 40, "EFER"},
        {&bad.system.seg[MH_GS].base, 1ull << 47, "GS"},
        {&bad.system.seg[MH_TR].base, 1ull << 60, "TR"},
        {&bad.system.idt.base, 1ull << 62, "IDTR"},
    };
    for (unsigned i = 0; i < COUNT(cases); i++) {
        bad = good;
        *cases[i].at = cases[i].value;
        assert_int_equal(ops->write_regs(machine->cpu, MH_REGS_SYSTEM, &bad, &err), MH_ERR_HOST);
        assert_text_has(err.text, cases[i].name);
        assert_int_equal(ops->read_regs(machine->cpu, MH_REGS_ALL, &now, NULL), MH_OK);
        assert_memory_equal(now.system.seg, good.system.seg, sizeof now.system.seg);
        assert_int_equal(now.system.cr0, good.system.cr0);
    }
    bad = good;
    bad.system.seg[MH_CS].attributes = 0xc09b;
    assert_int_equal(ops->write_regs(machine->cpu, MH_REGS_SYSTEM, &bad, &err), MH_ERR_HOST);
    assert_text_has(err.text, "CS");
    bad.fpu.mxcsr = 0x10000;
    assert_int_equal(ops->write_regs(machine->cpu, MH_REGS_FPU, &bad, &err), MH_ERR_HOST);
    assert_text_has(err.text, "MXCSR");
    const struct {
        uint64_t *at;
        uint64_t value;
        const char *name;
    } msrs[] = {{&bad.msrs.lstar, 1ull << 47, "LSTAR"},
                {&bad.msrs.kernel_gs_base, 1ull << 62, "KERNEL_GS_BASE"},
                {&bad.msrs.sfmask, 1ull << 32, "FMASK"},
                {&bad.msrs.pat, 2, "PAT"}};
    for (unsigned i = 0; i < COUNT(msrs); i++) {
        bad = good;
        *msrs[i].at = msrs[i].value;
        assert_int_equal(ops->write_regs(machine->cpu, MH_REGS_MSRS, &bad, &err), MH_ERR_HOST);
        assert_text_has(err.text, msrs[i].name);
        assert_int_equal(ops->read_regs(machine->cpu, MH_REGS_ALL, &now, NULL), MH_OK);
        assert_memory_equal(&now.msrs, &good.msrs, sizeof now.msrs);
    }
}

static void a_state_that_is_none_of_64_bit_code_makes_no_processor(void **state)
{
    struct soft_machine *machine = *state;
    struct cpu *cpu = NULL;
    struct mh_error err;
    struct mh_cpu_state boot = machine->boot;
    boot.system.efer = 0;
    assert_int_equal(soft_cpu_create(&machine->ram, &machine->cpuid, &boot, &cpu, &err), MH_ERR_HOST);
    assert_text_has(err.text, "EFER");
    boot = machine->boot;
    boot.msrs.lstar = 1ull << 50;
    assert_int_equal(soft_cpu_create(&machine->ram, &machine->cpuid, &boot, &cpu, &err), MH_ERR_HOST);
    assert_text_has(err.text, "LSTAR");
    const uint64_t bad_xcr0[] = {0, 2, 5, 1ull << 62};
    for (unsigned i = 0; i < COUNT(bad_xcr0); i++) {
        boot = machine->boot;
        boot.xcr0 = bad_xcr0[i];
        assert_int_equal(soft_cpu_create(&machine->ram, &machine->cpuid, &boot, &cpu, &err), MH_ERR_HOST);
        assert_text_has(err.text, "XCR0");
    }
    assert_null(cpu);
}

static void memory_changed_reaches_decoded_code(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xb0\x01\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    soft_machine_code(machine, 0x100, "\xb0\x02\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->gpr[MH_RAX] & 0xff, 2);
}

/* Pages of the process that have been touched; `start` is that of a page. */
static unsigned touched_pages(void *start, size_t size)
{
    static unsigned char is_there[4096];
    const size_t pages = (size + PAGE_4K - 1) / PAGE_4K;
    unsigned count = 0;
    assert_true(pages <= sizeof is_there);
    assert_int_equal(mincore(start, size, is_there), 0);
    for (size_t i = 0; i < pages; i++)
        count += is_there[i] & 1;
    return count;
}

static void a_small_guest_takes_little_memory(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xb0\x01\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_true(sizeof(struct soft_cpu) <= 32 * 1024);
    assert_true(touched_pages(machine->soft, sizeof *machine->soft) <= 4); /* ring 0's translations, and the rest */
    assert_true(touched_pages(machine->soft->blocks, sizeof *machine->soft->blocks) <= 5);
}

static void without_xsave_there_is_no_xcr0(void **state)
{
    struct soft_machine *machine = *state;
    struct mh_cpu_state saved = state_after(machine, 0);
    saved.xcr0 = 0;
    machine->cpuid.xcr0 = 0;
    assert_int_equal(machine->cpu->ops->restore(machine->cpu, &saved, NULL), MH_OK);
    assert_int_equal(state_after(machine, 0).xcr0, 0);
    saved.xcr0 = MH_XCR0_X87 | MH_XCR0_SSE;
    assert_int_not_equal(machine->cpu->ops->restore(machine->cpu, &saved, NULL), MH_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, soft_machine_set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_restored_state_goes_on_as_the_first_time),
        TEST(what_is_restored_is_what_is_saved),
        TEST(a_pending_exception_is_delivered_first),
        TEST(the_count_may_be_set_without_changing_the_time),
        TEST(registers_come_back_as_written),
        TEST(values_no_register_can_hold_are_refused_by_name),
        TEST(a_state_that_is_none_of_64_bit_code_makes_no_processor),
        TEST(without_xsave_there_is_no_xcr0),
        TEST(memory_changed_reaches_decoded_code),
        TEST(a_small_guest_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
