/* How often each instruction was retired: exact, however it was executed. */
#include "soft/soft_count.h"

#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#define CODE 0x1000ull
#define DATA 0x8000ull
#define STACK 0x9000ull
#define ALL (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSP] = STACK;
    machine->soft->gpr[MH_RBX] = DATA;
    return machine->cpu->ops->count_instructions(machine->cpu, NULL) == MH_OK ? 0 : -1;
}

static struct mh_counts counts_of(struct soft_machine *machine)
{
    struct mh_counts counts;
    assert_int_equal(machine->cpu->ops->read_counts(machine->cpu, &counts, NULL), MH_OK);
    return counts;
}

static uint64_t count_at(struct soft_machine *machine, uint64_t address)
{
    const struct mh_counts counts = counts_of(machine);
    for (size_t i = 0; i < counts.length; i++)
        if (counts.counts[i].address == address)
            return counts.counts[i].count;
    return 0;
}

static void assert_sum_is_exact(struct soft_machine *machine)
{
    const struct mh_counts counts = counts_of(machine);
    uint64_t sum = counts.elsewhere;
    for (size_t i = 0; i < counts.length; i++)
        sum += counts.counts[i].count;
    assert_int_equal(sum, machine->soft->instructions);
}

/* mov $1000,%ecx; 1: add %rcx,%rax; dec %ecx; jnz 1b; hlt */
static const char loop[] = "\xb9\xe8\x03\x00\x00\x48\x01\xc8\xff\xc9\x75\xf9\xf4";

static void assert_loop_was_counted(struct soft_machine *machine, uint64_t at)
{
    assert_int_equal(count_at(machine, at), 1);
    assert_int_equal(count_at(machine, at + 5), 1000);
    assert_int_equal(count_at(machine, at + 8), 1000);
    assert_int_equal(count_at(machine, at + 10), 1000);
    assert_int_equal(count_at(machine, at + 12), 1);
    assert_sum_is_exact(machine);
}

static void a_loop_is_counted(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_load(machine, CODE, loop, sizeof loop - 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_loop_was_counted(machine, CODE);
    const struct mh_counts counts = counts_of(machine);
    static const uint8_t lengths[] = {5, 3, 2, 2, 1};
    assert_int_equal(counts.length, COUNT(lengths));
    for (size_t i = 0; i < COUNT(lengths); i++)
        assert_int_equal(counts.counts[i].length, lengths[i]);
}

static void steps_count_the_same(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_load(machine, CODE, loop, sizeof loop - 1);
    while (soft_machine_run(machine, CPU_STEP) != CPU_EXIT_HALT)
        ;
    assert_loop_was_counted(machine, CODE);
}

static void pieces_count_the_same(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_load(machine, CODE, loop, sizeof loop - 1);
    machine->request.until = 1;
    while (soft_machine_run(machine, CPU_UNTIL) == CPU_EXIT_COUNT_REACHED) {
        machine->request.until += 7;
        assert_sum_is_exact(machine);
    }
    assert_loop_was_counted(machine, CODE);
}

static void counting_begins_when_it_is_asked_for(void **state)
{
    struct soft_machine machine;
    (void)state;
    assert_true(soft_machine_create(&machine));
    soft_machine_load(&machine, CODE, loop, sizeof loop - 1);
    machine.request.until = 301;
    assert_int_equal(soft_machine_run(&machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    assert_int_equal(machine.cpu->ops->count_instructions(machine.cpu, NULL), MH_OK);
    assert_int_equal(soft_machine_run(&machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(count_at(&machine, CODE), 0);
    assert_int_equal(count_at(&machine, CODE + 5), 900);
    soft_machine_destroy(&machine);
}

static void repetitions_count_one_each(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RDI] = DATA;
    soft_machine_code(machine, CODE, "\xb9\x64\x00\x00\x00\xf3\xaa\xf4"); /* mov $100,%ecx; rep stosb; hlt */
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(count_at(machine, CODE + 5), 100);
    assert_sum_is_exact(machine);
}

/* The 100th of 200 stores is the first that has no memory: the machine ends in a stub, which is not the guest's. */
static void a_fault_in_the_middle_of_a_block_ends_the_count(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $200,%ecx; 1: inc %rax; mov %al,(%rbx); add $0x1000,%rbx; inc %rdx; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE,
                      "\xb9\xc8\x00\x00\x00\x48\xff\xc0\x88\x03\x48\x81\xc3\x00\x10\x00\x00\x48\xff\xc2\xff\xc9\x75\xed"
                      "\xf4");
    machine->soft->gpr[MH_RBX] = 0x200000 - 99 * PAGE_4K;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(count_at(machine, CODE + 5), 100);
    assert_int_equal(count_at(machine, CODE + 8), 100); /* with the fault */
    assert_int_equal(count_at(machine, CODE + 10), 99);
    assert_int_equal(count_at(machine, CODE + 22), 99);
    assert_sum_is_exact(machine);
    soft_set_instructions(machine->cpu, machine->soft->instructions - 2); /* what the run loop does */
    assert_int_equal(count_at(machine, CODE + 8), 99);
    assert_sum_is_exact(machine);
}

/* A loop that changes the immediate of an instruction behind it in the same block, and the length of another. */
static void code_that_writes_itself_is_counted(void **state)
{
    struct soft_machine *machine = *state;
    /* mov $300,%ecx; 1: mov %cl,2f+2; 2: add $0,%rdx; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE,
                      "\xb9\x2c\x01\x00\x00\x88\x0d\x03\x00\x00\x00\x48\x83\xc2\x00\xff\xc9\x75\xf2\xf4");
    soft_machine_put(machine, CODE + 7, "\x03", 1);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    for (unsigned at = 5; at < 19; at = at == 5 ? 11 : at == 11 ? 15 : at == 15 ? 17 : 19)
        assert_int_equal(count_at(machine, CODE + at), 300);
    assert_sum_is_exact(machine);
}

static void what_is_dropped_stays_counted(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned i = 1; i <= 5; i++) {
        soft_machine_load(machine, CODE, loop, sizeof loop - 1);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
        soft_blocks_drop_all(machine->soft);
        assert_int_equal(count_at(machine, CODE + 5), 1000 * i);
    }
    assert_sum_is_exact(machine);
}

static void map_ram_again(struct soft_machine *machine, uint64_t pml4_entry)
{
    const uint64_t pdpt = 0x100000, pd = 0x101000;
    soft_machine_put64(machine, MH_SYSTEM_AREA + BOOT_PML4 + pml4_entry * 8, pdpt | ALL);
    soft_machine_put64(machine, pdpt, pd | ALL);
    soft_machine_put64(machine, pd, PAGING_LARGE | ALL);
}

/* The same code, called in turn at two addresses. */
static void addresses_are_linear(void **state)
{
    const uint64_t other = 0x8000000000ull;
    struct soft_machine *machine = *state;
    map_ram_again(machine, 1);
    soft_machine_put(machine, DATA, "\xff\xc0\xff\xc0\xc3", 5); /* inc %eax; inc %eax; ret */
    /* mov $300,%ecx; 1: call *%rbx; call *%rdx; dec %ecx; jnz 1b; hlt */
    soft_machine_code(machine, CODE, "\xb9\x2c\x01\x00\x00\xff\xd3\xff\xd2\xff\xc9\x75\xf8\xf4");
    machine->soft->gpr[MH_RDX] = other + DATA;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(count_at(machine, DATA), 300);
    assert_int_equal(count_at(machine, DATA + 4), 300);
    assert_int_equal(count_at(machine, other + DATA), 300);
    assert_int_equal(count_at(machine, other + DATA + 4), 300);
    assert_sum_is_exact(machine);
}

static void run_until(struct soft_machine *machine, uint64_t until)
{
    machine->request.until = until;
    assert_int_equal(soft_machine_run(machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
}

/* Back to instruction 100 from 1501, and twice more before it gets further. */
static void what_is_executed_again_is_not_counted_again(void **state)
{
    struct soft_machine *machine = *state;
    struct mh_cpu_state saved;
    soft_machine_load(machine, CODE, loop, sizeof loop - 1);
    run_until(machine, 100);
    assert_int_equal(machine->cpu->ops->save(machine->cpu, &saved, NULL), MH_OK);
    for (uint64_t furthest = 1501; furthest > 200; furthest /= 2) {
        run_until(machine, furthest);
        assert_int_equal(machine->cpu->ops->restore(machine->cpu, &saved, NULL), MH_OK);
        soft_set_instructions(machine->cpu, 100);
        assert_int_equal(count_at(machine, CODE + 5), 500);
    }
    soft_machine_run(machine, CPU_STEP);
    assert_int_equal(count_at(machine, CODE + 5), 500);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_loop_was_counted(machine, CODE);
}

static void a_machine_that_begins_anew_is_counted_anew(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned i = 0; i < 3; i++) {
        soft_machine_load(machine, CODE, loop, sizeof loop - 1);
        assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
        assert_loop_was_counted(machine, CODE);
        machine->cpu->ops->forget_counts(machine->cpu);
        soft_set_instructions(machine->cpu, 0);
    }
    assert_int_equal(counts_of(machine).length, 0);
}

static void accesses_of_ports_and_traps_are_counted(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_code(machine, CODE, "\xe6\xe9\xf4"); /* out %al,$0xe9; hlt */
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_IO);
    assert_int_equal(count_at(machine, CODE), 0);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(count_at(machine, CODE), 1);
    assert_sum_is_exact(machine);
}

/* More addresses than the first table has room for: a page of NOPs, and calls of it. */
static void many_addresses_are_counted(void **state)
{
    static const uint8_t nop = 0x90, hlt = 0xf4;
    struct soft_machine *machine = *state;
    const unsigned count = 20000;
    for (unsigned i = 0; i < count; i++)
        soft_machine_put(machine, CODE + i, &nop, 1);
    soft_machine_put(machine, CODE + count, &hlt, 1);
    machine->soft->rip = CODE;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(counts_of(machine).length, count + 1);
    assert_sum_is_exact(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_loop_is_counted),
        TEST(steps_count_the_same),
        TEST(pieces_count_the_same),
        TEST(counting_begins_when_it_is_asked_for),
        TEST(repetitions_count_one_each),
        TEST(a_fault_in_the_middle_of_a_block_ends_the_count),
        TEST(code_that_writes_itself_is_counted),
        TEST(what_is_dropped_stays_counted),
        TEST(addresses_are_linear),
        TEST(what_is_executed_again_is_not_counted_again),
        TEST(a_machine_that_begins_anew_is_counted_anew),
        TEST(accesses_of_ports_and_traps_are_counted),
        TEST(many_addresses_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
