/* The tree of calls: what each function executed in which context, exactly, however it was executed. */
#include "soft/soft_profile.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft_block.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <stdio.h>

#define CODE 0x1000ull
#define STACK 0x180000ull

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSP] = STACK;
    return machine->cpu->ops->count_calls(machine->cpu, NULL) == MH_OK ? 0 : -1;
}

/* The root is where the machine is when it is counted anew. */
static void begin_at(struct soft_machine *machine, uint64_t rip)
{
    machine->soft->rip = rip;
    machine->cpu->ops->forget_counts(machine->cpu);
    soft_set_instructions(machine->cpu, 0);
}

static struct mh_calls calls_of(struct soft_machine *machine)
{
    struct mh_calls calls;
    uint64_t sum = 0;
    assert_int_equal(machine->cpu->ops->read_calls(machine->cpu, &calls, NULL), MH_OK);
    for (size_t i = 0; i < calls.length; i++)
        sum += calls.calls[i].spent;
    assert_int_equal(sum, machine->soft->instructions);
    return calls;
}

/* The tree as text: depth, offset from CODE, instructions, calls of each node. */
static void assert_tree(struct soft_machine *machine, const char *expected)
{
    const struct mh_calls calls = calls_of(machine);
    char text[1000] = "";
    for (size_t i = 0, at = 0; i < calls.length && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u:%x %u*%u\n", calls.calls[i].depth,
                               (unsigned)(calls.calls[i].address - CODE), (unsigned)calls.calls[i].spent,
                               (unsigned)calls.calls[i].calls);
    assert_string_equal(text, expected);
}

static void calls_and_returns_are_followed(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $300,%ecx; 1: call f; call g; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE,
                      "\xb9\x2c\x01\x00\x00\xe8\x0f\x00\x00\x00\xe8\x11\x00\x00\x00\xff\xc9\x75\xf2\xf4");
    soft_machine_put(machine, CODE + 0x19, "\x90\xe8\x01\x00\x00\x00\xc3", 7); /* f: nop; call g; ret */
    soft_machine_put(machine, CODE + 0x20, "\x90\x90\xc3", 3);                 /* g: nop; nop; ret */
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 1202*1\n1:19 900*300\n2:20 900*300\n1:20 900*300\n");
}

/* fib: cmp $2,%edi; jb 1f; push %rdi; dec %edi; call fib; pop %rdi; push %rax; sub $2,%edi; call fib; pop %rdx;
 * add %rdx,%rax; ret; 1: mov %edi,%eax; ret */
static const char fib[] = "\x83\xff\x02\x72\x18\x57\xff\xcf\xe8\xf3\xff\xff\xff\x5f\x50\x83\xef\x02\xe8\xe9\xff\xff\xff"
                          "\x5a\x48\x01\xd0\xc3\xcc\x89\xf8\xc3";

static void run_fib(struct soft_machine *machine, unsigned number)
{
    soft_machine_put(machine, CODE + 0x100, fib, sizeof fib - 1);
    soft_machine_code(machine, CODE, "\xe8\xfb\x00\x00\x00\xf4"); /* call fib; hlt */
    machine->soft->gpr[MH_RDI] = number;
    begin_at(machine, CODE);
}

static void recursion_is_a_chain(void **state)
{
    struct soft_machine *machine = *state;
    run_fib(machine, 20);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(machine->soft->gpr[MH_RAX], 6765);
    const struct mh_calls calls = calls_of(machine);
    uint64_t count = 0;
    assert_int_equal(calls.length, 21);
    for (size_t i = 1; i < calls.length; i++) {
        assert_int_equal(calls.calls[i].depth, i);
        assert_int_equal(calls.calls[i].address, CODE + 0x100);
        count += calls.calls[i].calls;
    }
    assert_int_equal(count, 21891); /* 2 fib(21) - 1 */
}

static void pieces_and_steps_give_the_same_tree(void **state)
{
    struct soft_machine *machine = *state;
    struct mh_call whole[12];
    run_fib(machine, 10);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(calls_of(machine).length, 11);
    memcpy(whole, calls_of(machine).calls, 11 * sizeof whole[0]);
    for (unsigned piece = 1; piece < 40; piece += 6) {
        enum cpu_exit_kind kind;
        run_fib(machine, 10);
        do {
            machine->request.until = machine->soft->instructions + piece;
            kind = soft_machine_run(machine, piece == 1 ? CPU_STEP : CPU_UNTIL);
            calls_of(machine);
        } while (kind != CPU_EXIT_HALT);
        assert_int_equal(calls_of(machine).length, 11);
        assert_memory_equal(calls_of(machine).calls, whole, 11 * sizeof whole[0]);
    }
}

/* The tree ends at SOFT_CALL_DEPTH; what is deeper counts there, and returns find their way. */
static void deep_recursion_is_bounded(void **state)
{
    struct soft_machine *machine = *state;
    /* call f; nop; hlt; f: dec %ecx; jz 1f; call f; 1: ret */
    soft_machine_code(machine, CODE, "\xe8\x02\x00\x00\x00\x90\xf4\xff\xc9\x74\x05\xe8\xf7\xff\xff\xff\xc3");
    machine->soft->gpr[MH_RCX] = 3000;
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    const struct mh_calls calls = calls_of(machine);
    assert_int_equal(calls.length, SOFT_CALL_DEPTH + 1);
    assert_int_equal(calls.calls[0].spent, 3);
    assert_int_equal(calls.calls[SOFT_CALL_DEPTH].calls, 3000 - SOFT_CALL_DEPTH + 1);
}

static void indirect_calls_are_followed(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $300,%ecx; 1: call *%rbx; xchg %rbx,%rdx; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x2c\x01\x00\x00\xff\xd3\x48\x87\xda\xff\xc9\x75\xf7\xf4");
    soft_machine_put(machine, CODE + 0x100, "\xc3", 1);
    soft_machine_put(machine, CODE + 0x203, "\x90\xc3", 2); /* of the same slot as the first */
    machine->soft->gpr[MH_RBX] = CODE + 0x100;
    machine->soft->gpr[MH_RDX] = CODE + 0x203;
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 1202*1\n1:100 150*150\n1:203 300*150\n");
}

/* f saves rsp in a register, g is three calls deeper and leaves all of them by loading it. */
static void frames_that_are_left_behind_are_over(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $300,%ecx; 1: call f; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x2c\x01\x00\x00\xe8\xf6\x00\x00\x00\xff\xc9\x75\xf7\xf4");
    soft_machine_put(machine, CODE + 0x100, "\x48\x89\xe3\xe8\x08\x00\x00\x00\x90\xc3", 10); /* f: mov; call 110 */
    soft_machine_put(machine, CODE + 0x110, "\xe8\x0b\x00\x00\x00\xc3", 6);                  /* call 120 */
    soft_machine_put(machine, CODE + 0x120, "\x48\x89\xdc\xeb\xe3", 5); /* mov %rbx,%rsp; jmp to the NOP of f */
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 902*1\n1:100 600*300\n2:110 300*300\n3:120 1200*300\n");
}

/* An INT whose handler calls something; the fault stack is above the guest's. */
static void interrupts_are_calls(void **state)
{
    struct soft_machine *machine = *state;
    const uint64_t gate[] = {(CODE + 0x100) & 0xffff, 0};
    uint64_t entry;
    memcpy(&entry, ram_system_area(&machine->ram) + BOOT_IDT + 3 * 16, sizeof entry);
    entry = (entry & 0x0000ffffffff0000ull) | gate[0]; /* IST 1 as it was */
    soft_machine_put64(machine, MH_SYSTEM_AREA + BOOT_IDT + 3 * 16, entry);
    soft_machine_put64(machine, MH_SYSTEM_AREA + BOOT_IDT + 3 * 16 + 8, 0);
    /* mov $300,%ecx; 1: int3; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x2c\x01\x00\x00\xcc\xff\xc9\x75\xfb\xf4");
    soft_machine_put(machine, CODE + 0x100, "\xe8\x0b\x00\x00\x00\x48\xcf", 7); /* call 110; iretq */
    soft_machine_put(machine, CODE + 0x110, "\x90\xc3", 2);
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 902*1\n1:100 600*300\n2:110 600*300\n");
}

static void a_return_without_a_call_changes_nothing(void **state)
{
    struct soft_machine *machine = *state;
    /* call f; hlt; f: push $CODE+16; ret; (16:) nop; ret */
    soft_machine_code(machine, CODE, "\xe8\x01\x00\x00\x00\xf4\x68\x10\x10\x00\x00\xc3\x90\x90\x90\x90\x90\xc3");
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 2*1\n1:6 4*1\n");
}

/*
 * Two threads that switch to each other 300 times, each inside a call. `switch` saves rsp in rbx and takes that of the
 * other from rdx. The second thread's stack lies above the first's.
 */
static void stacks_are_told_apart(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $300,%ecx; 1: call work; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x2c\x01\x00\x00\xe8\xf6\x00\x00\x00\xff\xc9\x75\xf7\xf4");
    soft_machine_put(machine, CODE + 0x100, "\xe8\xfb\x00\x00\x00\x90\xc3", 7); /* work: call switch; nop; ret */
    soft_machine_put(machine, CODE + 0x200, "\x48\x89\xe3\x48\x89\xd4\x48\x89\xda\xc3", 10); /* switch */
    soft_machine_put(machine, CODE + 0x300, "\xe8\x0b\x00\x00\x00\xeb\xf9", 7); /* other: call 310; jmp other */
    soft_machine_put(machine, CODE + 0x310, "\x90\xe8\xea\xfe\xff\xff\xc3", 7); /* nop; call switch; ret */
    soft_machine_put64(machine, STACK + 0x10000, CODE + 0x300);
    machine->soft->gpr[MH_RDX] = STACK + 0x10000;
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_tree(machine, "0:0 902*1\n1:100 900*300\n2:200 1200*300\n1:300 599*1\n2:310 899*300\n3:200 1200*300\n");
}

/* A fault without a handler ends in a stub, which is not the guest's. */
static void what_the_run_loop_takes_back_is_gone(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, CODE, "\xe8\x01\x00\x00\x00\xf4\x90\x0f\x0b"); /* call f; hlt; f: nop; ud2 */
    begin_at(machine, CODE);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    soft_set_instructions(machine->cpu, machine->soft->instructions - 2);
    const struct mh_calls calls = calls_of(machine);
    assert_int_equal(calls.length, 3);
    assert_int_equal(calls.calls[1].spent, 1);
    assert_int_equal(calls.calls[2].spent, 0);
    assert_int_equal(calls.calls[2].calls, 0);
}

static void what_is_executed_again_is_not_counted_again(void **state)
{
    struct soft_machine *machine = *state;
    struct mh_cpu_state saved;
    struct mh_call whole[12];
    run_fib(machine, 10);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    memcpy(whole, calls_of(machine).calls, 11 * sizeof whole[0]);
    run_fib(machine, 10);
    machine->request.until = 100;
    assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    assert_int_equal(machine->cpu->ops->save(machine->cpu, &saved, NULL), MH_OK);
    uint8_t *stack = ram_at(&machine->ram, mh_gpa_of(STACK - 4096), 4096), kept[4096];
    memcpy(kept, stack, sizeof kept);
    for (unsigned i = 0; i < 3; i++) {
        machine->request.until = 700;
        assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
        soft_machine_put(machine, STACK - 4096, kept, sizeof kept);
        assert_int_equal(machine->cpu->ops->restore(machine->cpu, &saved, NULL), MH_OK);
        soft_set_instructions(machine->cpu, 100);
    }
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(calls_of(machine).length, 11);
    assert_memory_equal(calls_of(machine).calls, whole, 11 * sizeof whole[0]);
}

/* Hot calls and returns stay in generated code. */
static void generated_code_follows_calls_itself(void **state)
{
    struct soft_machine *machine = *state;
    struct cpu_code_stats stats;
    struct host_code *code = host_code_create();
    assert_non_null(code);
    soft_cpu_use_code(machine->cpu, code, 10);
    run_fib(machine, 20);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_true(machine->cpu->ops->code_stats(machine->cpu, &stats));
    assert_in_range(stats.instructions, machine->soft->instructions * 95 / 100, machine->soft->instructions);
    soft_machine_destroy(machine);
    host_code_destroy(code);
    assert_true(soft_machine_create(machine));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_and_returns_are_followed),
        TEST(recursion_is_a_chain),
        TEST(pieces_and_steps_give_the_same_tree),
        TEST(deep_recursion_is_bounded),
        TEST(indirect_calls_are_followed),
        TEST(frames_that_are_left_behind_are_over),
        TEST(interrupts_are_calls),
        TEST(a_return_without_a_call_changes_nothing),
        TEST(stacks_are_told_apart),
        TEST(what_the_run_loop_takes_back_is_gone),
        TEST(what_is_executed_again_is_not_counted_again),
        TEST(generated_code_follows_calls_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
