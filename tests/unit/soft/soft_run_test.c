/* The outer loop of the software processor: steps, counts, points, traps, faults, kicks (core/cpu/cpu.h). */
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#define DB 1
#define BP 3
#define UD 6
#define GP 13
#define PF 14

#define DR6_BS 0x4000u
#define BUFFER 0x3000u
#define STACK 0x8000u

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSP] = STACK;
    return 0;
}

/* Where the handler of a vector begins, and what lies on its stack: error code if any, rip, cs, rflags, rsp, ss. */
static uint64_t handler_of(unsigned vector)
{
    return MH_SYSTEM_AREA + BOOT_STUBS + vector * BOOT_STUB_SIZE;
}

static uint64_t frame(const struct soft_machine *machine, unsigned word)
{
    return soft_machine_get64(machine, machine->soft->gpr[MH_RSP] + 8ull * word);
}

static void arm(struct soft_machine *machine, const struct cpu_point *points, size_t count)
{
    assert_int_equal(machine->cpu->ops->arm(machine->cpu, points, count, NULL), MH_OK);
}

/* ---- steps and counts ---- */

static void a_step_is_one_instruction(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x90\x48\xff\xc0\xeb\xfb");
    static const uint64_t rips[] = {0x101, 0x104, 0x101, 0x104, 0x101};
    for (unsigned i = 0; i < COUNT(rips); i++) {
        assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
        assert_int_equal(machine->soft->rip, rips[i]);
        assert_int_equal(machine->soft->instructions, i + 1);
    }
}

static void a_range_is_stepped_to_its_end(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xff\xc0\x83\xf8\x05\x75\xf9\x90\xf4");
    machine->request.range_start = 0x100;
    machine->request.range_end = 0x107;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, 0x107);
    assert_int_equal(machine->soft->instructions, 15);
}

static void a_step_over_a_string_is_one_repetition(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, 0x100, "\xf3\xaa\x90");
    cpu->gpr[MH_RDI] = BUFFER;
    cpu->gpr[MH_RCX] = 3;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
        assert_int_equal(cpu->gpr[MH_RCX], 3 - i);
        assert_int_equal(cpu->rip, i < 3 ? 0x100 : 0x102);
        assert_int_equal(cpu->rflags & MH_RFLAGS_RF, i < 3 ? MH_RFLAGS_RF : 0);
    }
}

static void until_stops_at_every_count(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, 0x100, "\xf3\xaa\x90\xeb\xfd"); /* rep stosb; 1: nop; jmp 1b */
    cpu->gpr[MH_RDI] = BUFFER;
    cpu->gpr[MH_RCX] = 50;
    for (uint64_t until = 0; until < 100; until += 7) {
        machine->request.until = until;
        assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
        assert_int_equal(cpu->instructions, until);
        assert_int_equal(cpu->gpr[MH_RCX], until < 50 ? 50 - until : 0);
        assert_int_equal(cpu->rip, until < 50 ? 0x100 : 0x102 + (until - 50) % 2);
        assert_int_equal(cpu->rflags & MH_RFLAGS_RF, until > 0 && until < 50 ? MH_RFLAGS_RF : 0);
    }
    assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
}

static void halt_leaves_rip_behind_it(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x40\xf4\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->rip, 0x102);
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->rip, 0x103);
    assert_int_equal(machine->soft->instructions, 2);
}

/* ---- execute points ---- */

static void points_stop_before_their_instruction(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point points[] = {{.kind = CPU_POINT_EXECUTE, .address = 0x10a, .length = 1},
                                       {.kind = CPU_POINT_EXECUTE, .address = 0x102, .length = 1}};
    soft_machine_code(machine, 0x100, "\x31\xc0\xff\xc0\xeb\xfc");
    arm(machine, points, COUNT(points));
    for (unsigned i = 0; i < 5; i++) {
        machine->request.step_off = i != 0;
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
        assert_int_equal(machine->exit.point, 1);
        assert_int_equal(machine->soft->rip, 0x102);
        assert_int_equal(machine->soft->gpr[MH_RAX], i);
    }
    machine->request.step_off = false;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
    assert_int_equal(machine->soft->gpr[MH_RAX], 4);
}

static void a_point_on_a_string_fires_once(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point points[] = {{.kind = CPU_POINT_EXECUTE, .address = 0x101, .length = 1}};
    soft_machine_code(machine, 0x100, "\x90\xf3\xaa\xf4");
    machine->soft->gpr[MH_RDI] = BUFFER;
    machine->soft->gpr[MH_RCX] = 4;
    arm(machine, points, COUNT(points));
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
    machine->request.step_off = true;
    machine->request.until = 3; /* in the middle */
    assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    machine->request.step_off = false;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
}

static void a_completed_access_arrives_at_the_point_behind_it(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point points[] = {{.kind = CPU_POINT_EXECUTE, .address = 0x102, .length = 1}};
    soft_machine_code(machine, 0x100, "\xe6\x10\xf4");
    arm(machine, points, COUNT(points));
    machine->request.step_off = true;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_IO);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
}

/* ---- watchpoints ---- */

static void watchpoints_stop_behind_the_access(void **state)
{
    struct soft_machine *machine = *state;
    static const struct {
        enum cpu_point_kind kind;
        bool by_write, by_read;
    } kinds[] = {{CPU_POINT_WRITE, true, false}, {CPU_POINT_READ, false, true}, {CPU_POINT_ACCESS, true, true}};
    for (unsigned i = 0; i < COUNT(kinds) * 2; i++) {
        const struct cpu_point point = {.kind = kinds[i / 2].kind, .address = BUFFER + 3, .length = 2};
        bool is_write = i % 2 == 0, hits = is_write ? kinds[i / 2].by_write : kinds[i / 2].by_read;
        soft_machine_load(machine, 0x100, is_write ? "\x89\x07\x90\xf4" : "\x8b\x07\x90\xf4", 4);
        machine->soft->gpr[MH_RDI] = BUFFER;
        arm(machine, &point, 1);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), hits ? CPU_EXIT_WATCHPOINT : CPU_EXIT_HALT);
        assert_int_equal(machine->soft->rip, hits ? 0x102 : 0x104);
        machine->soft->rip = 0x100;
        machine->soft->gpr[MH_RDI] = BUFFER - 1;
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    }
}

static void what_reads_and_writes_hits_points_of_both_kinds(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned i = 0; i < 3; i++) {
        const struct cpu_point point = {
            .kind = (enum cpu_point_kind)(CPU_POINT_WRITE + i), .address = BUFFER, .length = 1};
        soft_machine_code(machine, 0x100, "\xff\x07\xff\x07\xf4"); /* inc dword [rdi] */
        machine->soft->gpr[MH_RDI] = BUFFER;
        arm(machine, &point, 1);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_WATCHPOINT);
        assert_int_equal(machine->soft->rip, 0x102);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_WATCHPOINT);
        assert_int_equal(machine->soft->rip, 0x104);
    }
}

static void a_watchpoint_beats_the_step_that_hit_it(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point point = {.kind = CPU_POINT_WRITE, .address = BUFFER, .length = 1};
    soft_machine_code(machine, 0x100, "\x89\x07\x90");
    machine->soft->gpr[MH_RDI] = BUFFER;
    arm(machine, &point, 1);
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_WATCHPOINT);
    assert_int_equal(machine->soft->rip, 0x102);
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, 0x103);
}

static void each_repetition_that_touches_a_watchpoint_stops(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    const struct cpu_point point = {.kind = CPU_POINT_WRITE, .address = BUFFER + 2, .length = 2};
    soft_machine_code(machine, 0x100, "\xf3\xaa\xf4");
    cpu->gpr[MH_RDI] = BUFFER;
    cpu->gpr[MH_RCX] = 8;
    arm(machine, &point, 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_WATCHPOINT);
    assert_int_equal(cpu->gpr[MH_RCX], 5);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_WATCHPOINT);
    assert_int_equal(cpu->gpr[MH_RCX], 4);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
}

static void an_instruction_that_faults_has_touched_nothing(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point point = {.kind = CPU_POINT_READ, .address = BUFFER, .length = 1};
    soft_machine_code(machine, 0x100, "\xa4"); /* movsb */
    machine->soft->gpr[MH_RSI] = BUFFER;
    machine->soft->gpr[MH_RDI] = 0x40000000;
    arm(machine, &point, 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->rip, handler_of(PF) + 1);
}

/* ---- exceptions ---- */

static void a_fault_is_reported_at_its_handler(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x0f\x0b");
    machine->request.report = CPU_REPORT_FAULTS;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_FAULT_DELIVERED);
    assert_int_equal(machine->exit.vector, UD);
    assert_int_equal(machine->exit.handler, handler_of(UD));
    assert_int_equal(machine->soft->rip, handler_of(UD));
    assert_int_equal(frame(machine, 0), 0x100);
    assert_int_equal(frame(machine, 2), MH_RFLAGS_FIXED | MH_RFLAGS_RF);
    assert_int_equal(machine->soft->instructions, 1);
}

static void delivery_ends_a_step(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x0f\x0b");
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, handler_of(UD));
}

static void software_interrupts_count_and_return_behind_themselves(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xcc");
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, handler_of(BP));
    assert_int_equal(frame(machine, 0), 0x101);
    assert_int_equal(machine->soft->instructions, 1);
}

static void without_an_idt_the_processor_shuts_down_where_it_stood(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x90\x0f\x0b");
    machine->soft->idt.limit = 0;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_TRIPLE_FAULT);
    assert_int_equal(machine->soft->rip, 0x101);
    assert_int_equal(machine->soft->gpr[MH_RSP], STACK);
}

static void missing_memory_stops_at_the_instruction(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x90\x89\x07");
    soft_machine_put64(machine, MH_SYSTEM_AREA + BOOT_PML4 + 8, 0x40000007);
    machine->soft->gpr[MH_RDI] = 0x8000000000;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_NO_MEMORY);
    assert_int_equal(machine->soft->rip, 0x101);
    assert_int_equal(machine->exit.physical, 0x40000000);
    assert_int_equal(machine->soft->instructions, 1);
}

/* ---- TF, RF, the shadow of MOV SS ---- */

static void run_for_fault(struct soft_machine *machine, unsigned vector)
{
    machine->request.report = CPU_REPORT_FAULTS;
    enum cpu_exit_kind kind = soft_machine_run(machine, CPU_RUN);
    if (kind != CPU_EXIT_FAULT_DELIVERED)
        fail_msg("exit %u at 0x%llx: %s", kind, (unsigned long long)machine->soft->rip, machine->exit.text);
    assert_int_equal(machine->exit.vector, vector);
}

static void tf_traps_behind_the_next_instruction(void **state)
{
    struct soft_machine *machine = *state;
    /* pushf; or qword [rsp], 0x100; popf; nop; nop */
    soft_machine_code(machine, 0x100, "\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d\x90\x90");
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x10b); /* POPF itself is not trapped */
    assert_int_equal(frame(machine, 2) & (MH_RFLAGS_TF | MH_RFLAGS_RF), MH_RFLAGS_TF);
    assert_int_equal(machine->soft->dr6 & 0xf00f, DR6_BS);
    assert_int_equal(machine->soft->rflags & MH_RFLAGS_TF, 0);
}

static void tf_traps_behind_each_repetition_with_rf(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xf3\xaa");
    machine->soft->gpr[MH_RDI] = BUFFER;
    machine->soft->gpr[MH_RCX] = 2;
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x100);
    assert_int_equal(frame(machine, 2) & MH_RFLAGS_RF, MH_RFLAGS_RF);
    assert_int_equal(machine->soft->gpr[MH_RCX], 1);
}

static void a_fault_is_not_followed_by_a_trap(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x0f\x0b");
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    run_for_fault(machine, UD);
    machine->request.report = 0;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->dr6 & DR6_BS, 0);
}

static void a_trap_wakes_the_processor_that_halted(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xf4");
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x101);
}

static void mov_ss_holds_the_trap_back(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x8e\xd0\x90\x90");
    machine->soft->gpr[MH_RAX] = MH_SEL_KERNEL_DATA;
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x103);
}

static void a_second_mov_ss_casts_no_shadow(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x8e\xd0\x8e\xd0\x90");
    machine->soft->gpr[MH_RAX] = MH_SEL_KERNEL_DATA;
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x104);
}

static void shadows_last_for_one_instruction(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xfb\x90\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->shadow, MH_SHADOW_STI);
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->shadow, 0);
}

/* ---- the guest's debug registers ---- */

static void set_debug(struct soft_machine *machine, uint64_t address, unsigned type_and_length)
{
    machine->soft->dr[0] = address;
    machine->soft->dr7 = 0x401 | (uint64_t)type_and_length << 16;
    soft_update_attention(machine->soft);
}

static void an_instruction_breakpoint_faults_once_and_rf_lets_it_pass(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x90\x90\xf4");
    set_debug(machine, 0x101, 0);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x101);
    assert_int_equal(frame(machine, 2) & MH_RFLAGS_RF, 0);
    assert_int_equal(machine->soft->dr6 & 0xf00f, 1);
    machine->soft->rip = 0x101;
    machine->soft->rflags |= MH_RFLAGS_RF;
    soft_update_attention(machine->soft);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->rip, 0x103);
    assert_int_equal(machine->soft->rflags & MH_RFLAGS_RF, 0);
}

static void breakpoints_count_from_the_moment_dr7_enables_them(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x0f\x23\xc0\x89\x0f\x0f\x23\xf9\x90\x90\xf4"); /* DR0, store, DR7, nops */
    machine->soft->gpr[MH_RAX] = 0x109;
    machine->soft->gpr[MH_RCX] = 0x401;
    machine->soft->gpr[MH_RDI] = BUFFER;
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x109);
    machine->soft->dr7 = 0x400;
    soft_update_attention(machine->soft);
    soft_machine_code(machine, 0x100, "\x0f\x23\xc7\x89\x0f\x0f\x23\xf9\x89\x0f\xf4");
    machine->soft->gpr[MH_RCX] = 0xd0401;
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x10a);
}

static void a_data_breakpoint_traps_behind_the_access(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x89\x07\x90\xf4");
    machine->soft->gpr[MH_RDI] = BUFFER;
    set_debug(machine, BUFFER, 0xd);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x102);
    assert_int_equal(machine->soft->dr6 & 0xf00f, 1);
}

static void a_port_breakpoint_traps_behind_the_access(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xe6\x10\x90\xf4");
    machine->soft->cr4 |= MH_CR4_DE;
    set_debug(machine, 0x10, 2);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_IO);
    run_for_fault(machine, DB);
    assert_int_equal(frame(machine, 0), 0x102);
}

static void a_trap_that_has_to_wait_is_part_of_the_state(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    const struct cpu_point point = {.kind = CPU_POINT_WRITE, .address = BUFFER, .length = 1};
    struct mh_cpu_state saved;
    soft_machine_code(machine, 0x100, "\x89\x07\x90\xf4");
    machine->soft->gpr[MH_RDI] = BUFFER;
    machine->soft->rflags |= MH_RFLAGS_TF;
    soft_update_attention(machine->soft);
    arm(machine, &point, 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_WATCHPOINT);
    assert_int_equal(ops->save(machine->cpu, &saved, NULL), MH_OK);
    assert_true(saved.pending.valid && saved.pending.vector == DB);
    arm(machine, NULL, 0);
    for (unsigned i = 0; i < 2; i++) {
        run_for_fault(machine, DB);
        assert_int_equal(frame(machine, 0), 0x102);
        assert_int_equal(machine->soft->dr6 & DR6_BS, DR6_BS);
        assert_int_equal(ops->restore(machine->cpu, &saved, NULL), MH_OK);
    }
}

/* ---- CR3, kicks ---- */

static void writing_cr3_is_reported_behind_it(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x0f\x22\xd8\xf4");
    uint64_t cr3 = machine->soft->cr3;
    machine->soft->gpr[MH_RAX] = cr3 | 8;
    machine->request.report = CPU_REPORT_CR3;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_CR3_WRITTEN);
    assert_int_equal(machine->exit.old_cr3, cr3);
    assert_int_equal(machine->exit.new_cr3, cr3 | 8);
    assert_int_equal(machine->soft->rip, 0x103);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
}

static void a_kick_before_a_run_ends_it_at_once_but_not_a_step_off(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\x90\x90\xf4");
    machine->cpu->ops->kick(machine->cpu);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_KICKED);
    assert_int_equal(machine->soft->rip, 0x100);
    machine->cpu->ops->kick(machine->cpu);
    machine->request.step_off = true;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_KICKED);
    assert_int_equal(machine->soft->rip, 0x101);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
}

static void *kick_later(void *argument)
{
    struct soft_machine *machine = argument;
    for (unsigned i = 0; i < 1000; i++) /* into the run, most of the time; before it, the run ends as well */
        sched_yield();
    machine->cpu->ops->kick(machine->cpu);
    return NULL;
}

static void a_kick_ends_loops_strings_and_endless_faults(void **state)
{
    struct soft_machine *machine = *state;
    static const char *const endless[] = {"\xeb\xfe", "\xf3\xaa", "\x0f\x0b"};
    for (unsigned i = 0; i < COUNT(endless); i++) {
        pthread_t thread;
        soft_machine_load(machine, 0x100, endless[i], 2);
        machine->soft->gpr[MH_RDI] = BUFFER;
        machine->soft->gpr[MH_RCX] = UINT64_MAX;
        machine->soft->gpr[MH_RSP] = STACK;
        soft_machine_put(machine, handler_of(UD), "\x0f\x0b", 2);
        soft_machine_put(machine, handler_of(PF), "\xeb\xfe", 2);
        assert_int_equal(pthread_create(&thread, NULL, kick_later, machine), 0);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_KICKED);
        pthread_join(thread, NULL);
    }
}

static void a_readable_descriptor_ends_a_run(void **state)
{
    struct soft_machine *machine = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    machine->request.wake_fds = ends;
    machine->request.wake_count = 1;
    soft_machine_code(machine, 0x100, "\xeb\xfe");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_KICKED);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_KICKED);
    close(ends[0]);
    close(ends[1]);
}

/* ---- external interrupts ---- */

#define IDT 0x5000u
#define HANDLER 0x6000u

/* An IDT with vector 32 only, whose handler is IRETQ. */
static void load_idt(struct soft_machine *machine, uint64_t attributes)
{
    soft_machine_put64(machine, IDT + 32 * 16, (HANDLER & 0xffff) | 8ull << 16 | attributes << 32);
    soft_machine_put64(machine, IDT + 32 * 16 + 8, 0);
    soft_machine_put(machine, HANDLER, "\x48\xcf", 2);
    machine->soft->idt = (struct mh_x86_table){.base = IDT, .limit = 33 * 16 - 1};
}

static bool accepts(struct soft_machine *machine)
{
    return machine->cpu->ops->accepts_interrupt(machine->cpu);
}

static void an_interrupt_is_the_end_of_the_instruction_before(void **state)
{
    struct soft_machine *machine = *state;
    load_idt(machine, 0x8e00);
    soft_machine_code(machine, 0x100, "\xfb\xe6\x80\x90\xf4"); /* sti; out; nop; hlt */
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_IO);
    machine->cpu->ops->finish_io(machine->cpu);
    assert_true(accepts(machine));
    const uint64_t count = machine->soft->instructions;
    machine->request.interrupt = 32;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, HANDLER);
    assert_int_equal(machine->soft->instructions, count);
    assert_false(accepts(machine));
    const uint64_t wanted[] = {0x103, MH_SEL_KERNEL_CODE, MH_RFLAGS_FIXED | MH_RFLAGS_IF, STACK, MH_SEL_KERNEL_DATA};
    for (unsigned i = 0; i < COUNT(wanted); i++)
        assert_int_equal(frame(machine, i), wanted[i]);
    machine->request.interrupt = 0;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, 0x103);
    assert_true(accepts(machine));
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_true(accepts(machine));
}

static void a_trap_gate_leaves_interrupts_on(void **state)
{
    struct soft_machine *machine = *state;
    load_idt(machine, 0x8f00);
    soft_machine_code(machine, 0x100, "\xfb\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    machine->request.interrupt = 32;
    soft_machine_run(machine, CPU_STEP);
    assert_true(accepts(machine));
}

static void a_breakpoint_at_the_handler_stops_there(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point point = {.address = HANDLER, .length = 1};
    load_idt(machine, 0x8e00);
    arm(machine, &point, 1);
    soft_machine_code(machine, 0x100, "\xfb\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    machine->request.interrupt = 32;
    machine->request.step_off = true; /* concerns the instruction that was interrupted */
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
    assert_int_equal(machine->soft->rip, HANDLER);
}

static void what_holds_interrupts_back(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xfa\x90\xfb\x90\x8e\xd0\x90"); /* cli; nop; sti; nop; mov ss; nop */
    static const bool wanted[] = {false, false, false, true, false, true};
    machine->soft->gpr[MH_RAX] = MH_SEL_KERNEL_DATA;
    for (unsigned i = 0; i < COUNT(wanted); i++) {
        soft_machine_run(machine, CPU_STEP);
        assert_int_equal(accepts(machine), wanted[i]);
    }
    machine->soft->pending.valid = true;
    assert_false(accepts(machine));
}

static void an_interrupt_without_a_gate_is_a_fault(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, 0x100, "\xfb\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    machine->request.interrupt = 32;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(machine->soft->rip, handler_of(GP));
    assert_int_equal(frame(machine, 0), 32 * 8 + 3); /* a gate of the IDT, and no instruction's fault */
    assert_int_equal(frame(machine, 1), 0x102);
    machine->soft->idt.limit = 0;
    assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_TRIPLE_FAULT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_step_is_one_instruction),
        TEST(a_range_is_stepped_to_its_end),
        TEST(a_step_over_a_string_is_one_repetition),
        TEST(until_stops_at_every_count),
        TEST(halt_leaves_rip_behind_it),
        TEST(points_stop_before_their_instruction),
        TEST(a_point_on_a_string_fires_once),
        TEST(a_completed_access_arrives_at_the_point_behind_it),
        TEST(watchpoints_stop_behind_the_access),
        TEST(what_reads_and_writes_hits_points_of_both_kinds),
        TEST(a_watchpoint_beats_the_step_that_hit_it),
        TEST(each_repetition_that_touches_a_watchpoint_stops),
        TEST(an_instruction_that_faults_has_touched_nothing),
        TEST(a_fault_is_reported_at_its_handler),
        TEST(delivery_ends_a_step),
        TEST(software_interrupts_count_and_return_behind_themselves),
        TEST(without_an_idt_the_processor_shuts_down_where_it_stood),
        TEST(missing_memory_stops_at_the_instruction),
        TEST(tf_traps_behind_the_next_instruction),
        TEST(tf_traps_behind_each_repetition_with_rf),
        TEST(a_fault_is_not_followed_by_a_trap),
        TEST(a_trap_wakes_the_processor_that_halted),
        TEST(mov_ss_holds_the_trap_back),
        TEST(a_second_mov_ss_casts_no_shadow),
        TEST(shadows_last_for_one_instruction),
        TEST(an_instruction_breakpoint_faults_once_and_rf_lets_it_pass),
        TEST(breakpoints_count_from_the_moment_dr7_enables_them),
        TEST(a_data_breakpoint_traps_behind_the_access),
        TEST(a_port_breakpoint_traps_behind_the_access),
        TEST(a_trap_that_has_to_wait_is_part_of_the_state),
        TEST(writing_cr3_is_reported_behind_it),
        TEST(a_kick_before_a_run_ends_it_at_once_but_not_a_step_off),
        TEST(a_kick_ends_loops_strings_and_endless_faults),
        TEST(a_readable_descriptor_ends_a_run),
        TEST(an_interrupt_is_the_end_of_the_instruction_before),
        TEST(a_trap_gate_leaves_interrupts_on),
        TEST(a_breakpoint_at_the_handler_stops_there),
        TEST(what_holds_interrupts_back),
        TEST(an_interrupt_without_a_gate_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
