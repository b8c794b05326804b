/* IN, OUT, INS and OUTS (Intel SDM volume 1, chapter 19). */
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

#define PF 14
#define GP 13
#define BUFFER 0x3000u

static void finish(struct soft_machine *machine)
{
    machine->cpu->ops->finish_io(machine->cpu);
}

static void assert_port(const struct soft_machine *machine, uint16_t port, unsigned width, bool is_in)
{
    assert_int_equal(machine->exit.kind, CPU_EXIT_IO);
    assert_int_equal(machine->exit.port, port);
    assert_int_equal(machine->exit.width, width);
    assert_int_equal(machine->exit.is_in, is_in);
    assert_int_equal(machine->exit.count, 1);
}

struct form {
    const char *code;
    size_t length;
    unsigned width;
    uint16_t port;
    bool is_in;
};

#define FORM(code, width, port, is_in)                                                                                 \
    {                                                                                                                  \
        code, sizeof code - 1, width, port, is_in                                                                      \
    }

static const struct form forms[] = {
    FORM("\xe4\xe9", 1, 0xe9, true),    FORM("\xe5\xe9", 4, 0xe9, true),   FORM("\x66\xe5\xe9", 2, 0xe9, true),
    FORM("\xec", 1, 0x1234, true),      FORM("\xed", 4, 0x1234, true),     FORM("\x66\xed", 2, 0x1234, true),
    FORM("\xe6\xe9", 1, 0xe9, false),   FORM("\xe7\xe9", 4, 0xe9, false),  FORM("\x66\xe7\xe9", 2, 0xe9, false),
    FORM("\xee", 1, 0x1234, false),     FORM("\xef", 4, 0x1234, false),    FORM("\x66\xef", 2, 0x1234, false),
    FORM("\x48\xef", 4, 0x1234, false), FORM("\x48\xed", 4, 0x1234, true),
};

static void each_form_names_its_port_and_width(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    for (unsigned i = 0; i < COUNT(forms); i++) {
        soft_machine_load(machine, 0x100, forms[i].code, forms[i].length);
        cpu->gpr[MH_RAX] = 0x1122334455667788;
        cpu->gpr[MH_RDX] = 0xffff1234;
        uint64_t count = cpu->instructions;
        soft_machine_run(machine, CPU_RUN);
        assert_port(machine, forms[i].port, forms[i].width, forms[i].is_in);
        assert_int_equal(cpu->rip, 0x100);
        assert_int_equal(cpu->instructions, count);
        if (!forms[i].is_in)
            assert_memory_equal(machine->exit.data, "\x88\x77\x66\x55", forms[i].width);
        memcpy(machine->exit.data, "\xa1\xa2\xa3\xa4", 4);
        finish(machine);
        assert_int_equal(cpu->rip, 0x100 + forms[i].length);
        assert_int_equal(cpu->instructions, count + 1);
        static const uint64_t read[] = {[1] = 0x11223344556677a1, [2] = 0x112233445566a2a1, [4] = 0xa4a3a2a1};
        assert_int_equal(cpu->gpr[MH_RAX], forms[i].is_in ? read[forms[i].width] : 0x1122334455667788);
    }
}

static void run_completes_what_is_pending(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xe4\x10\xe6\x11\xf4");
    soft_machine_run(machine, CPU_RUN);
    machine->exit.data[0] = 0x42;
    soft_machine_run(machine, CPU_RUN);
    assert_port(machine, 0x11, 1, false);
    assert_int_equal(machine->exit.data[0], 0x42);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->rip, 0x105);
    assert_int_equal(machine->soft->instructions, 3);
}

static void an_in_that_is_cancelled_has_not_begun(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xe4\x10\xf4");
    machine->soft->gpr[MH_RAX] = 7;
    soft_machine_run(machine, CPU_RUN);
    machine->exit.data[0] = 0x42;
    machine->cpu->ops->cancel_in(machine->cpu);
    assert_int_equal(machine->soft->rip, 0x100);
    assert_int_equal(machine->soft->gpr[MH_RAX], 7);
    soft_machine_run(machine, CPU_RUN);
    assert_port(machine, 0x10, 1, true);
    assert_int_equal(machine->exit.data[0], 0);
}

static void a_step_that_left_for_a_port_ends_with_the_access(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xe6\x10\x90\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_IO);
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, 0x102);
}

/* ---- strings ---- */

static void outs_reads_memory_and_moves_on(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_put(machine, BUFFER, "abcdefgh", 8);
    soft_machine_code(machine, 0x100, "\xf3\x6e\xf4");
    cpu->gpr[MH_RSI] = BUFFER;
    cpu->gpr[MH_RCX] = 3;
    cpu->gpr[MH_RDX] = 0xe9;
    for (unsigned i = 0; i < 3; i++) {
        soft_machine_run(machine, CPU_RUN);
        assert_port(machine, 0xe9, 1, false);
        assert_int_equal(machine->exit.data[0], 'a' + i);
        assert_int_equal(cpu->gpr[MH_RSI], BUFFER + i);
        assert_int_equal(cpu->gpr[MH_RCX], 3 - i);
        assert_int_equal(cpu->rip, 0x100);
    }
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RCX], 0);
    assert_int_equal(cpu->instructions, 4);
}

static void ins_writes_memory_backwards_with_df(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, 0x100, "\x66\x6d\xf4");
    cpu->gpr[MH_RDI] = BUFFER;
    cpu->rflags |= MH_RFLAGS_DF;
    soft_machine_run(machine, CPU_RUN);
    memcpy(machine->exit.data, "xy", 2);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(soft_machine_get64(machine, BUFFER), 'x' | 'y' << 8);
    assert_int_equal(cpu->gpr[MH_RDI], BUFFER - 2);
}

static void a_count_of_0_accesses_nothing_and_counts_one(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xf3\x6c\xf3\x6e\xf4");
    machine->soft->gpr[MH_RDI] = machine->soft->gpr[MH_RSI] = 0x900000000000;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->instructions, 3);
}

static void strings_use_32_bits_with_an_address_size_prefix(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_put(machine, BUFFER, "q", 1);
    soft_machine_code(machine, 0x100, "\x67\xf3\x6e\xf4");
    cpu->gpr[MH_RSI] = 0xffffffff00000000 | BUFFER;
    cpu->gpr[MH_RCX] = 0xffffffff00000001;
    soft_machine_run(machine, CPU_RUN);
    assert_int_equal(machine->exit.data[0], 'q');
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RSI], BUFFER + 1);
    assert_int_equal(cpu->gpr[MH_RCX], 0);
}

static void outs_takes_the_base_of_fs(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put(machine, BUFFER + 5, "z", 1);
    soft_machine_code(machine, 0x100, "\x64\x6e\xf4");
    machine->soft->seg[MH_FS].base = BUFFER;
    machine->soft->gpr[MH_RSI] = 5;
    soft_machine_run(machine, CPU_RUN);
    assert_int_equal(machine->exit.data[0], 'z');
}

static enum cpu_exit_kind run_for_fault(struct soft_machine *machine)
{
    machine->request.report = CPU_REPORT_FAULTS;
    return soft_machine_run(machine, CPU_RUN);
}

static void memory_is_checked_before_the_port_is_accessed(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned i = 0; i < 2; i++) {
        soft_machine_load(machine, 0x100, i == 0 ? "\x6c" : "\x6e", 1);
        machine->soft->gpr[MH_RDI] = machine->soft->gpr[MH_RSI] = 0x40000000;
        assert_int_equal(run_for_fault(machine), CPU_EXIT_FAULT_DELIVERED);
        assert_int_equal(machine->exit.vector, PF);
        assert_int_equal(machine->soft->cr2, 0x40000000);
        assert_int_equal(machine->soft->fault.error_code, i == 0 ? 2 : 0);
    }
}

/* ---- permission: 19.5 ---- */

#define TSS (MH_SYSTEM_AREA + BOOT_TSS)
#define NEW_TSS 0x8000u

/* A TSS of 4 KB with all ports allowed but those of the list. */
static void make_tss(struct soft_machine *machine, uint16_t map_base, uint32_t limit)
{
    uint8_t tss[0x1000] = {0};
    memcpy(tss, ram_at(&machine->ram, mh_gpa_of(TSS), 104), 104);
    memcpy(tss + 102, &map_base, sizeof map_base);
    tss[map_base + 0x20 / 8] = 0x02; /* 0x21 */
    soft_machine_put(machine, NEW_TSS, tss, sizeof tss);
    machine->soft->seg[MH_TR].base = NEW_TSS;
    machine->soft->seg[MH_TR].limit = limit;
}

static bool may_use(struct soft_machine *machine, const char *code, size_t length, uint16_t port)
{
    struct mh_cpu_state saved;
    machine->cpu->ops->save(machine->cpu, &saved, NULL);
    soft_machine_load(machine, 0x100, code, length);
    machine->soft->gpr[MH_RDX] = port;
    soft_machine_set_ring(machine, 3);
    enum cpu_exit_kind kind = run_for_fault(machine);
    if (kind == CPU_EXIT_IO)
        machine->cpu->ops->finish_io(machine->cpu);
    else
        assert_int_equal(machine->exit.vector, GP);
    assert_int_equal(machine->cpu->ops->restore(machine->cpu, &saved, NULL), MH_OK);
    return kind == CPU_EXIT_IO;
}

static void ring_3_needs_iopl_or_the_bit_map(void **state)
{
    struct soft_machine *machine = *state;
    assert_false(may_use(machine, "\xee", 1, 0x10));
    machine->soft->rflags |= 3u << 12;
    assert_true(may_use(machine, "\xee", 1, 0x10));
    machine->soft->rflags &= ~(3ull << 12);
    make_tss(machine, 104, 0xfff);
    const struct {
        const char *code;
        uint16_t port;
        bool allowed;
    } cases[] = {{"\xee", 0x20, true},  {"\xee", 0x21, false}, {"\xee", 0x22, true},   {"\xef", 0x1d, true},
                 {"\xef", 0x1e, false}, {"\xef", 0x21, false}, {"\xef", 0x22, true},   {"\xec", 0x21, false},
                 {"\x6c", 0x21, false}, {"\x6e", 0x21, false}, {"\xee", 0x7fff, false}};
    for (unsigned i = 0; i < COUNT(cases); i++)
        assert_int_equal(may_use(machine, cases[i].code, 1, cases[i].port), cases[i].allowed);
}

static void two_bytes_of_the_map_must_lie_within_the_limit(void **state)
{
    struct soft_machine *machine = *state;
    make_tss(machine, 104, 104 + 8);
    assert_true(may_use(machine, "\xee", 1, 63));
    assert_false(may_use(machine, "\xee", 1, 64)); /* its byte is the last: the one behind it is not there */
    machine->soft->seg[MH_TR].limit = 102;
    assert_false(may_use(machine, "\xee", 1, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, soft_machine_set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_form_names_its_port_and_width),
        TEST(run_completes_what_is_pending),
        TEST(an_in_that_is_cancelled_has_not_begun),
        TEST(a_step_that_left_for_a_port_ends_with_the_access),
        TEST(outs_reads_memory_and_moves_on),
        TEST(ins_writes_memory_backwards_with_df),
        TEST(a_count_of_0_accesses_nothing_and_counts_one),
        TEST(strings_use_32_bits_with_an_address_size_prefix),
        TEST(outs_takes_the_base_of_fs),
        TEST(memory_is_checked_before_the_port_is_accessed),
        TEST(ring_3_needs_iopl_or_the_bit_map),
        TEST(two_bytes_of_the_map_must_lie_within_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
