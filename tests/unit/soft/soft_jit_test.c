/* Generated code: its memory, and what ends it. That it computes the same is for the tests that run translated. */
#include "soft/host_x86_64_code.h"
#include "soft/host_x86_64_simd.h"
#include "soft/soft.h"
#include "soft/soft_block.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define CODE 0x10000ull
#define OTHER_PAGE 0x12000ull
#define MANY_BLOCKS 8000u

struct fixture {
    struct soft_machine *machine;
    struct host_code *code;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    void *machine;
    if (soft_machine_set_up(&machine) != 0)
        return -1;
    fixture = (struct fixture){.machine = machine, .code = host_code_create()};
    soft_cpu_use_code(fixture.machine->cpu, fixture.code, 0);
    *state = &fixture;
    return fixture.code == NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *machine = f->machine;
    const int result = soft_machine_tear_down(&machine);
    host_code_destroy(f->code);
    return result;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static struct cpu_code_stats stats_of(const struct fixture *f)
{
    struct cpu_code_stats stats = {0};
    f->machine->cpu->ops->code_stats(f->machine->cpu, &stats);
    return stats;
}

/* mov $100000,%ecx; 1: add %rcx,%rax; dec %ecx; jnz 1b; hlt */
static const char loop[] = "\xb9\xa0\x86\x01\x00\x48\x01\xc8\xff\xc9\x75\xf9\xf4";

static void run_loop(struct fixture *f)
{
    soft_machine_load(f->machine, CODE, loop, sizeof loop - 1);
    f->machine->soft->gpr[MH_RAX] = 0;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 100000ull * 100001 / 2);
}

static void memory_is_never_writable_and_executable(void **state)
{
    struct fixture *f = *state;
    struct host_code_arena arena;
    char line[512];
    unsigned seen = 0;
    assert_true(host_code_take(f->code, &arena));
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t start, end;
        char rights[8];
        assert_int_equal(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &start, &end, rights), 3);
        assert_false(rights[1] == 'w' && rights[2] == 'x');
        if ((uintptr_t)arena.write >= start && (uintptr_t)arena.write < end)
            seen += memcmp(rights, "rw-", 3) == 0;
        if ((uintptr_t)arena.run >= start && (uintptr_t)arena.run < end)
            seen += memcmp(rights, "r-x", 3) == 0;
    }
    fclose(maps);
    assert_int_equal(seen, 2);
}

static void what_is_written_can_be_executed(void **state)
{
    struct fixture *f = *state;
    struct host_code_arena arena;
    assert_true(host_code_take(f->code, &arena));
    arena.write[HOST_CODE_ARENA_SIZE - 1] = 0xc3;
    assert_int_equal(arena.run[HOST_CODE_ARENA_SIZE - 1], 0xc3);
    host_code_give_back(f->code, &arena);
    assert_int_equal(arena.run[HOST_CODE_ARENA_SIZE - 1], 0);
}

static void loops_are_translated(void **state)
{
    struct fixture *f = *state;
    run_loop(f);
    assert_true(stats_of(f).instructions > 290000);
    assert_true(stats_of(f).units > 0);
}

/* Some of the loop in steps, and the rest as generated code; going back does not count. */
static void what_is_executed_is_counted(void **state)
{
    struct fixture *f = *state;
    soft_machine_load(f->machine, CODE, loop, sizeof loop - 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(soft_machine_run(f->machine, CPU_STEP), CPU_EXIT_STEP);
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(stats_of(f).executed, f->machine->soft->instructions);
    assert_in_range(stats_of(f).executed - stats_of(f).instructions, 100, 200);
    const uint64_t executed = stats_of(f).executed;
    f->machine->cpu->ops->set_instructions(f->machine->cpu, 1000);
    assert_int_equal(stats_of(f).executed, executed);
    run_loop(f);
    assert_int_equal(stats_of(f).executed, 2 * executed);
}

static void cold_code_is_not(void **state)
{
    struct fixture *f = *state;
    soft_cpu_use_code(f->machine->cpu, f->code, 200000);
    run_loop(f);
    assert_int_equal(stats_of(f).units, 0);
}

static void machines_without_an_arena_interpret_until_there_is_one(void **state)
{
    struct fixture *f = *state;
    struct host_code_arena arena, first = {0};
    while (host_code_take(f->code, &arena))
        first = first.write == NULL ? arena : first;
    run_loop(f);
    assert_int_equal(stats_of(f).units, 0);
    host_code_give_back(f->code, &first);
    assert_true(host_code_take(f->code, &arena));
    assert_ptr_equal(arena.write, first.write);
    host_code_give_back(f->code, &arena);
    run_loop(f);
    assert_true(stats_of(f).units > 0);
}

static void without_memory_for_code_everything_is_interpreted(void **state)
{
    struct fixture *f = *state;
    soft_cpu_use_code(f->machine->cpu, NULL, 0);
    run_loop(f);
    assert_int_equal(stats_of(f).units, 0);
}

static void names_are_written_for_perf(void **state)
{
    struct fixture *f = *state;
    char text[4096], expected[64];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    host_code_write_names(f->code, ends[1]);
    run_loop(f);
    const ssize_t length = read(ends[0], text, sizeof text - 1);
    assert_true(length > 0);
    text[length] = '\0';
    assert_non_null(strstr(text, " guest:enter_and_leave\n"));
    snprintf(expected, sizeof expected, " guest:0x%llx\n", CODE + 5); /* of the loop without the instruction before */
    assert_non_null(strstr(text, expected));
    unsigned long start = 0, size = 0;
    assert_int_equal(sscanf(text, "%lx %lx guest", &start, &size), 2);
    assert_in_range(size, 1, HOST_CODE_ARENA_SIZE);
    close(ends[0]);
    close(ends[1]);
}

/* Blocks of `add $1,%rax; add $2,%rbx; jmp` to the next, over and over until rdx is 0. */
static void a_full_arena_is_emptied(void **state)
{
    static const char block[] = "\x48\x83\xc0\x01\x48\x83\xc3\x02\xeb\x00";
    static const char end[] = "\xff\xca\x0f\x85"; /* dec %edx; jnz */
    struct fixture *f = *state;
    uint64_t at = CODE;
    for (unsigned i = 0; i < MANY_BLOCKS; i++, at += sizeof block - 1)
        soft_machine_put(f->machine, at, block, sizeof block - 1);
    const int32_t back = (int32_t)CODE - (int32_t)(at + 8);
    soft_machine_put(f->machine, at, end, sizeof end - 1);
    soft_machine_put(f->machine, at + 4, &back, sizeof back);
    soft_machine_put(f->machine, at + 8, "\xf4", 1);
    memset(f->machine->soft->gpr, 0, sizeof f->machine->soft->gpr);
    f->machine->soft->gpr[MH_RDX] = 5;
    f->machine->soft->rip = CODE;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 5 * MANY_BLOCKS);
    assert_int_equal(f->machine->soft->gpr[MH_RBX], 10 * MANY_BLOCKS);
    assert_int_equal(f->machine->soft->instructions, 5 * (3 * MANY_BLOCKS + 2) + 1);
    assert_true(stats_of(f).flushes > 0);
}

/* A loop that calls another page; a breakpoint there, armed when the way to it is known. */
static void points_are_met_on_a_known_way(void **state)
{
    struct fixture *f = *state;
    const struct cpu_point point = {.kind = CPU_POINT_EXECUTE, .address = OTHER_PAGE};
    soft_machine_put(f->machine, OTHER_PAGE, "\xff\xc0\xc3", 3);                 /* inc %eax; ret */
    soft_machine_code(f->machine, CODE, "\xe8\xfb\x1f\x00\x00\xff\xc2\xeb\xf7"); /* 1: call; inc %edx; jmp 1b */
    f->machine->soft->gpr[MH_RSP] = 0x8000;
    f->machine->request.until = 100000;
    assert_int_equal(soft_machine_run(f->machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    assert_int_equal(f->machine->soft->instructions, 100000);
    assert_int_equal(f->machine->cpu->ops->arm(f->machine->cpu, &point, 1, NULL), MH_OK);
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_BREAKPOINT);
    assert_int_equal(f->machine->soft->rip, OTHER_PAGE);
    assert_in_range(f->machine->soft->instructions, 100000, 100006);
    f->machine->cpu->ops->arm(f->machine->cpu, NULL, 0, NULL);
}

static void *kick(void *argument)
{
    struct fixture *f = argument;
    f->machine->cpu->ops->kick(f->machine->cpu);
    return NULL;
}

static void a_kick_ends_an_endless_loop(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    soft_machine_code(f->machine, CODE, "\xff\xc0\xff\xc2\xff\xc1\xeb\xf8");
    assert_int_equal(pthread_create(&thread, NULL, kick, f), 0);
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_KICKED);
    pthread_join(thread, NULL);
}

/* Recursion that never returns: generated code calls as the host does, but not without bound. */
static void calls_may_be_as_deep_as_the_guest_likes(void **state)
{
    struct fixture *f = *state;
    soft_machine_code(f->machine, CODE, "\xff\xc0\x3d\x40\x0d\x03\x00\x74\x05\xe8\xf2\xff\xff\xff\xf4\xc3");
    f->machine->soft->gpr[MH_RAX] = 199000;
    f->machine->soft->gpr[MH_RSP] = 0x8000;
    f->machine->request.until = UINT64_MAX;
    assert_int_equal(soft_machine_run(f->machine, CPU_UNTIL), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 200000);
    f->machine->soft->gpr[MH_RAX] = 0;
    f->machine->soft->rip = CODE;
    f->machine->soft->gpr[MH_RSP] = 0x1f0000;
    assert_int_equal(soft_machine_run(f->machine, CPU_UNTIL), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 200000);
}

/* inc %eax; test %eax,%eax; 1: jns 1b; incl (%rbx); je 2f; 2: hlt
 * The interpreter cannot go on at 1, because the last branch needs what it notes for flags. */
static void a_count_is_exact_where_the_interpreter_takes_over(void **state)
{
    struct fixture *f = *state;
    for (uint64_t until = 1; until <= 40; until++) {
        soft_machine_code(f->machine, CODE, "\xff\xc0\x85\xc0\x79\xfe\xff\x03\x74\x00\xf4");
        f->machine->soft->gpr[MH_RAX] = 0;
        f->machine->soft->instructions = 0;
        f->machine->request.until = until;
        assert_int_equal(soft_machine_run(f->machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
        assert_int_equal(f->machine->soft->instructions, until);
    }
}

/* A RET to address 1, where no call of generated code ever returns. */
static void a_return_without_a_call_leads_where_it_says(void **state)
{
    struct fixture *f = *state;
    soft_machine_put(f->machine, 1, "\xf4", 1);
    soft_machine_code(f->machine, CODE, "\x6a\x01\x90\x90\xc3"); /* push $1; nop; nop; ret */
    f->machine->soft->gpr[MH_RSP] = 0x8000;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->rip, 2);
    assert_int_equal(f->machine->soft->instructions, 5);
    assert_int_equal(f->machine->soft->gpr[MH_RSP], 0x8000);
}

/*
 * Code in a page table, whose accesses change it: the constant of `mov $constant,%eax` is the entry of the page that is
 * read before, and has its A bit when it is loaded.
 *     mov (%rdx),%ecx; nop; mov $entry,%eax; add %al,(%rax); add %al,(%rax); hlt
 */
static void code_that_an_access_marks_is_decoded_again(void **state)
{
    static const uint64_t page = 0x110000, entry = MH_SYSTEM_AREA + BOOT_RAM_PT + page / PAGE_4K * 8;
    struct fixture *f = *state;
    boot_write_system_area(&f->machine->ram, PAGE_4K);
    f->machine->cpu->ops->memory_changed(f->machine->cpu, mh_gpa_of(MH_SYSTEM_AREA), MH_SYSTEM_AREA_SIZE);
    soft_machine_put(f->machine, entry + 8, "\xf4", 1);
    soft_machine_code(f->machine, entry - 4, "\x8b\x0a\x90\xb8");
    f->machine->soft->gpr[MH_RDX] = page;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX],
                     page | PAGING_PRESENT | PAGING_WRITE | PAGING_USER | PAGING_ACCESSED);
    assert_int_equal(f->machine->soft->instructions, 6);
}

/* or %ecx,1(%rbx) in ring 3, with alignment checks: neither A nor D is set, as when it is interpreted. */
static void an_access_that_is_not_aligned_marks_no_page(void **state)
{
    static const uint64_t page = 0x110000, entry = MH_SYSTEM_AREA + BOOT_RAM_PT + page / PAGE_4K * 8;
    struct fixture *f = *state;
    boot_write_system_area(&f->machine->ram, PAGE_4K);
    f->machine->cpu->ops->memory_changed(f->machine->cpu, mh_gpa_of(MH_SYSTEM_AREA), MH_SYSTEM_AREA_SIZE);
    soft_machine_code(f->machine, CODE, "\x90\x90\x90\x09\x4b\x01");
    f->machine->soft->gpr[MH_RBX] = page;
    f->machine->soft->cr0 |= MH_CR0_AM;
    f->machine->soft->rflags |= MH_RFLAGS_AC;
    soft_machine_set_ring(f->machine, 3);
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(boot_stub_at(f->machine->soft->rip), 17);
    assert_int_equal(soft_machine_get64(f->machine, entry), page | PAGING_PRESENT | PAGING_WRITE | PAGING_USER);
}

/* mov (%rbx),%rax; mov 8(%rbx),%rcx; sub $-0x80000000,%rbx; mov (%rbx),%rax: the last leads elsewhere. */
static void a_base_may_move_as_far_as_it_likes(void **state)
{
    struct fixture *f = *state;
    soft_machine_code(f->machine, CODE, "\x48\x8b\x03\x48\x8b\x4b\x08\x48\x81\xeb\x00\x00\x00\x80\x48\x8b\x03\xf4");
    f->machine->soft->gpr[MH_RBX] = 0x110000;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(boot_stub_at(f->machine->soft->rip), 14);
    assert_int_equal(f->machine->soft->gpr[MH_RBX], 0x80110000);
    assert_int_equal(f->machine->soft->cr2, 0x80110000);
}

/* lea (%rax,%r12,4),%rax; lea (%r12,%rcx,4),%rcx; lea (%rdx,%r12,4),%edx; hlt: r12 has no register of the host. */
static void an_address_may_replace_a_part_of_itself(void **state)
{
    struct fixture *f = *state;
    soft_machine_code(f->machine, CODE, "\x4a\x8d\x04\xa0\x49\x8d\x0c\x8c\x42\x8d\x14\xa2\xf4");
    f->machine->soft->gpr[MH_RAX] = 0x1000;
    f->machine->soft->gpr[MH_RCX] = 0x10;
    f->machine->soft->gpr[MH_RDX] = 0x2000;
    f->machine->soft->gpr[MH_R12] = 0x3;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 0x1000 + 4 * 0x3);
    assert_int_equal(f->machine->soft->gpr[MH_RCX], 0x3 + 4 * 0x10);
    assert_int_equal(f->machine->soft->gpr[MH_RDX], 0x2000 + 4 * 0x3);
}

/*
 * Flags that were left for later, and are computed for an LEA that shifts: in T1, and in its destination.
 *     decl (%rbx); jc 1f; lea (%rcx,%r12,8),%r12d; jnz 1f
 *     cmp %rdx,%rdx; jc 1f; lea (%rcx,%r12,8),%rdx; jnz 1f; mov $9,%eax; 1: hlt
 */
static void flags_survive_an_address_that_is_shifted(void **state)
{
    struct fixture *f = *state;
    soft_machine_put64(f->machine, 0x8000, 1);
    soft_machine_code(f->machine, CODE,
                      "\xff\x0b\x72\x16\x46\x8d\x24\xe1\x75\x10\x48\x39\xd2"
                      "\x72\x0b\x4a\x8d\x14\xe1\x75\x05\xb8\x09\x00\x00\x00\xf4");
    f->machine->soft->gpr[MH_RBX] = 0x8000;
    f->machine->soft->gpr[MH_RCX] = 5;
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(f->machine->soft->gpr[MH_RAX], 9);
}

struct host_control {
    uint64_t flags; /* DF and AC */
    uint32_t mxcsr;
    uint16_t x87;
};

static struct host_control host_control(void)
{
    struct host_control control = {.mxcsr = host_simd_mxcsr()};
    __asm__ volatile("fnstcw %0" : "=m"(control.x87));
    control.flags = __builtin_ia32_readeflags_u64() & (1u << 10 | MH_RFLAGS_AC);
    return control;
}

static void assert_host_control(const struct host_control *expected)
{
    const struct host_control control = host_control();
    assert_int_equal(control.flags, expected->flags);
    assert_int_equal(control.mxcsr, expected->mxcsr);
    assert_int_equal(control.x87, expected->x87);
}

/*
 * DF, AC, MXCSR and the control word of x87 are the guest's in the guest only, however it is left.
 *     push $0x40402; popf; ldmxcsr (%rsi); fldcw 4(%rsi); fld1; mov $1000,%ecx
 *     1: addsd %xmm1,%xmm0; addps %xmm3,%xmm2; add %ecx,%eax; dec %ecx; jnz 1b; ud2
 */
static void the_host_keeps_its_modes(void **state)
{
    static const uint32_t modes[] = {0xffc0, 0x0c7f};
    struct fixture *f = *state;
    const struct host_control before = host_control();
    soft_machine_put(f->machine, 0x8000, modes, sizeof modes);
    soft_machine_code(f->machine, CODE,
                      "\x68\x02\x04\x04\x00\x9d\x0f\xae\x16\xd9\x6e\x04\xd9\xe8\xb9\xe8\x03\x00\x00"
                      "\xf2\x0f\x58\xc1\x0f\x58\xd3\x01\xc8\xff\xc9\x75\xf3\x0f\x0b");
    f->machine->soft->gpr[MH_RSI] = 0x8000;
    f->machine->soft->gpr[MH_RSP] = 0x9000;
    f->machine->request.until = 2500;
    assert_int_equal(soft_machine_run(f->machine, CPU_UNTIL), CPU_EXIT_COUNT_REACHED);
    assert_true(stats_of(f).instructions > 2000);
    assert_host_control(&before);
    assert_int_equal(soft_machine_run(f->machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(boot_stub_at(f->machine->soft->rip), 6);
    assert_host_control(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_is_never_writable_and_executable),
        TEST(what_is_written_can_be_executed),
        TEST(loops_are_translated),
        TEST(what_is_executed_is_counted),
        TEST(cold_code_is_not),
        TEST(machines_without_an_arena_interpret_until_there_is_one),
        TEST(without_memory_for_code_everything_is_interpreted),
        TEST(names_are_written_for_perf),
        TEST(a_full_arena_is_emptied),
        TEST(points_are_met_on_a_known_way),
        TEST(a_kick_ends_an_endless_loop),
        TEST(calls_may_be_as_deep_as_the_guest_likes),
        TEST(a_return_without_a_call_leads_where_it_says),
        TEST(code_that_an_access_marks_is_decoded_again),
        TEST(a_base_may_move_as_far_as_it_likes),
        TEST(an_address_may_replace_a_part_of_itself),
        TEST(flags_survive_an_address_that_is_shifted),
        TEST(the_host_keeps_its_modes),
        TEST(an_access_that_is_not_aligned_marks_no_page),
        TEST(a_count_is_exact_where_the_interpreter_takes_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
