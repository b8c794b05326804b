/* The loop that executes: counts, code that changes, repetitions, and that one by one is the same as all at once. */
#include "soft/soft_flags.h"
#include "soft/soft_handlers.h"
#include "soft_machine.h"
#include "unit.h"

#include <string.h>

#define CODE 0x10000ull
#define DATA 0x20000ull

#define TEST(function) cmocka_unit_test_setup_teardown(function, soft_machine_set_up, soft_machine_tear_down)

/*
 * mov $0x20000,%ebx; mov $50,%ecx; 1: add %rcx,%rax; adc %eax,(%rbx); xor %rax,%rdx; shl $3,%rdx; imul %rcx,%rdx;
 * push %rdx; pop %rsi; cmp $25,%ecx; jb 2f; inc %edi; 2: sub $1,%r8; setb %r9b; cmovs %rax,%r10; dec %rcx; jnz 1b;
 * call 3f; hlt; 3: lea 8(%rax,%rdx,2),%r11; ret
 */
static const char program[] =
    "\xbb\x00\x00\x02\x00\xb9\x32\x00\x00\x00\x48\x01\xc8\x11\x03\x48\x31\xc2\x48\xc1\xe2\x03\x48\x0f\xaf\xd1\x52\x5e"
    "\x83\xf9\x19\x72\x02\xff\xc7\x49\x83\xe8\x01\x41\x0f\x92\xc1\x4c\x0f\x48\xd0\x48\xff\xc9\x75\xd6\xe8\x01\x00\x00"
    "\x00\xf4\x4c\x8d\x5c\x50\x08\xc3";

static void start(struct soft_machine *machine)
{
    soft_machine_load(machine, CODE, program, sizeof program - 1);
    machine->soft->instructions = 0;
    memset(machine->soft->gpr, 0, sizeof machine->soft->gpr);
    machine->soft->gpr[MH_RSP] = 0x8000;
    soft_set_rflags(machine->soft, 0);
    soft_machine_put64(machine, DATA, 0);
}

static void steps_and_counts_lead_to_the_same_state(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    for (uint64_t count = 1; count < 720; count++) {
        uint64_t gpr[MH_GPR_COUNT], rip, rflags, memory;
        start(machine);
        for (uint64_t i = 0; i < count; i++)
            assert_true(soft_exec_one(cpu) <= SOFT_JUMP);
        memcpy(gpr, cpu->gpr, sizeof gpr);
        rip = cpu->rip;
        rflags = soft_rflags(cpu);
        memory = soft_machine_get64(machine, DATA);
        start(machine);
        assert_int_equal(soft_exec_many(cpu, count), SOFT_NEXT);
        assert_int_equal(cpu->instructions, count);
        assert_int_equal(cpu->rip, rip);
        assert_memory_equal(cpu->gpr, gpr, sizeof gpr);
        assert_int_equal(soft_rflags(cpu), rflags);
        assert_int_equal(soft_machine_get64(machine, DATA), memory);
    }
}

static void attention_ends_the_loop_at_once(void **state)
{
    struct soft_machine *machine = *state;
    start(machine);
    machine->cpu->ops->kick(machine->cpu);
    assert_int_equal(soft_exec_many(machine->soft, UINT64_MAX), SOFT_NEXT);
    assert_int_equal(machine->soft->instructions, 0);
}

/* mov $7,%ecx; 1: nop (becomes inc %eax's first byte); ...: an instruction writes the one behind it */
static void code_may_change_the_instruction_that_follows(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    /* movb $0xc0,4(%rip) makes the 'inc %ebx' at its end 'inc %eax' */
    soft_machine_code(machine, CODE, "\xc6\x05\x01\x00\x00\x00\xc0\xff\xc3\xf4");
    cpu->gpr[MH_RAX] = cpu->gpr[MH_RBX] = 0;
    soft_machine_put(machine, CODE + 2, "\x01", 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RAX], 1);
    assert_int_equal(cpu->gpr[MH_RBX], 0);
}

/* Both instructions have the same place among those that are kept for steps. */
static void an_instruction_across_pages_leaves_others_decoded(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_put(machine, CODE + 0xfff, "\xff\xc1", 2); /* inc %ecx */
    cpu->gpr[MH_RAX] = cpu->gpr[MH_RCX] = 0;
    for (unsigned i = 0; i < 2; i++) {
        soft_machine_code(machine, CODE + 0x7f, "\xff\xc0"); /* inc %eax */
        assert_int_equal(soft_exec_one(cpu), SOFT_NEXT);
        cpu->rip = CODE + 0xfff;
        assert_int_equal(soft_exec_one(cpu), SOFT_NEXT);
        cpu->rip = CODE + 0x7f;
        assert_int_equal(soft_exec_one(cpu), SOFT_NEXT);
    }
    assert_int_equal(cpu->gpr[MH_RAX], 4);
    assert_int_equal(cpu->gpr[MH_RCX], 2);
}

static void data_beside_code_keeps_the_code(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    /* mov $100,%ecx; 1: mov %ecx,0x800(%rip); dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x64\x00\x00\x00\x89\x0d\x00\x08\x00\x00\xff\xc9\x75\xf6\xf4");
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_true(soft_blocks_has_page(cpu, CODE / 4096));
    assert_int_equal(soft_machine_get64(machine, CODE + 11 + 0x800), 1);
}

static void a_repetition_counts_as_one(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, CODE, "\xf3\xaa\xf4"); /* rep stosb; hlt */
    cpu->gpr[MH_RCX] = 10000;
    cpu->gpr[MH_RDI] = DATA + 5;
    cpu->gpr[MH_RAX] = 0x5a;
    cpu->instructions = 0;
    for (uint64_t until = 1; until <= 9999; until += 1111) {
        assert_int_equal(soft_exec_many(cpu, until), SOFT_REPEAT);
        assert_int_equal(cpu->instructions, until);
        assert_int_equal(cpu->gpr[MH_RCX], 10000 - until);
        assert_int_equal(cpu->gpr[MH_RDI], DATA + 5 + until);
        assert_int_equal(cpu->rip, CODE);
    }
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->instructions, 10001);
    assert_int_equal(machine->ram.host[DATA + 10004], 0x5a);
    assert_int_equal(machine->ram.host[DATA + 10005], 0);
}

static void a_count_of_zero_counts_as_one(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, CODE, "\xf3\xa4\xf4"); /* rep movsb; hlt */
    machine->soft->gpr[MH_RCX] = 0;
    machine->soft->instructions = 0;
    assert_int_equal(soft_exec_many(machine->soft, 1), SOFT_NEXT);
    assert_int_equal(machine->soft->rip, CODE + 2);
}

/* Each repetition writes what the next one reads. */
static void overlapping_moves_make_a_pattern(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, CODE, "\xf3\xa4\xf4");
    soft_machine_put(machine, DATA, "ab", 2);
    cpu->gpr[MH_RCX] = 8;
    cpu->gpr[MH_RSI] = DATA;
    cpu->gpr[MH_RDI] = DATA + 2;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_memory_equal(machine->ram.host + DATA, "ababababab", 10);
}

static void instructions_across_pages_see_changes_of_both(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, CODE + 0xffd, "\xb8\x01\x00\x00\x00\xf4"); /* mov $1,%eax; hlt */
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RAX], 1);
    soft_machine_put(machine, CODE + 0x1001, "\x80", 1);
    cpu->rip = CODE + 0xffd;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RAX], 0x80000001);
}

static void a_division_that_overflows_changes_nothing(void **state)
{
    static const char *const codes[] = {"\x48\xf7\xf3", "\x48\xf7\xfb", "\xf7\xf3",
                                        "\xf7\xfb"}; /* div, idiv rbx, ebx */
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    for (size_t i = 0; i < COUNT(codes); i++) {
        soft_machine_load(machine, CODE + 16 * i, codes[i], i < 2 ? 3 : 2);
        cpu->gpr[MH_RAX] = i < 2 ? 1ull << 63 : 1ull << 31;
        cpu->gpr[MH_RDX] = ~0ull;
        cpu->gpr[MH_RBX] = ~0ull;
        cpu->gpr[MH_RBX] = i % 2 == 0 ? 0 : ~0ull;
        const uint64_t before = cpu->instructions;
        assert_int_equal(soft_exec_many(cpu, UINT64_MAX), SOFT_FAULT);
        assert_int_equal(cpu->fault.vector, 0);
        assert_int_equal(cpu->rip, CODE + 16 * i);
        assert_int_equal(cpu->instructions, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_and_counts_lead_to_the_same_state),
        TEST(attention_ends_the_loop_at_once),
        TEST(code_may_change_the_instruction_that_follows),
        TEST(an_instruction_across_pages_leaves_others_decoded),
        TEST(data_beside_code_keeps_the_code),
        TEST(a_repetition_counts_as_one),
        TEST(a_count_of_zero_counts_as_one),
        TEST(overlapping_moves_make_a_pattern),
        TEST(instructions_across_pages_see_changes_of_both),
        TEST(a_division_that_overflows_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
