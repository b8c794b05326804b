/*
 * Where a run is interrupted must not be visible. Random programs are run in one go, in slices, in steps, beside
 * points, and on a processor that gets a new state at each slice; registers and memory must end the same. And a run
 * meets the points that steps come to.
 */
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <stdlib.h>
#include <string.h>

#define PROGRAMS 150u
#define INSTRUCTIONS 1500u
#define PIECES 60u
#define START 0x1000u
#define STACK 0x80000u

struct piece {
    const char *code;
    size_t length;
};

#define PIECE(code)                                                                                                    \
    {                                                                                                                  \
        code, sizeof(code) - 1                                                                                         \
    }

/* Pieces of programs. All of them come out at their end whatever the registers are. */
static const struct piece pieces[] = {
    PIECE("\x90"),
    PIECE("\x48\x01\xc8"),                                         /* add rax, rcx */
    PIECE("\x48\x0f\xaf\xc3\x48\xff\xc3"),                         /* imul rax, rbx; inc rbx */
    PIECE("\x11\xd0\xd3\xe8"),                                     /* adc eax, edx; shr eax, cl */
    PIECE("\x50\x59\x9c\x5a"),                                     /* push rax; pop rcx; pushf; pop rdx */
    PIECE("\xb9\x25\x00\x00\x00\xbf\x00\x40\x00\x00\xf3\xaa"),     /* rep stosb */
    PIECE("\xb9\x21\x00\x00\x00\xbf\xf0\x4f\x00\x00\xf3\x48\xab"), /* rep stosq, across pages */
    PIECE("\xb1\x13\x0f\xb6\xc9\xbe\x00\x40\x00\x00\xbf\x03\x40\x00\x00\xf3\xa4"), /* rep movsb, overlapping */
    PIECE("\xb9\x30\x00\x00\x00\xbf\x00\x40\x00\x00\xf2\xae"),                     /* repne scasb */
    PIECE("\x89\x04\x25\x00\x40\x00\x00\x8b\x1c\x25\x08\x40\x00\x00"),             /* store; load */
    PIECE("\xff\x04\x25\x10\x40\x00\x00"),                                         /* inc dword [0x4010] */
    PIECE("\x89\x04\x25\xfe\x4f\x00\x00"),                                         /* a store across pages */
    PIECE("\xb8\x10\x00\x00\x00\x8e\xd0\x90"),                                     /* mov ss, eax */
    PIECE("\xfb\xfa"),                                                             /* sti; cli */
    PIECE("\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d"),                             /* set TF */
    PIECE("\x9c\x48\x81\x24\x24\xff\xfe\xff\xff\x9d"),                             /* clear TF */
    PIECE("\xcc"),
    PIECE("\x0f\x31\x31\xc2"),         /* rdtsc */
    PIECE("\x0f\x20\xd8\x0f\x22\xd8"), /* write CR3 */
    PIECE("\xe6\x10"),
    PIECE("\xe4\x11"),
    PIECE("\xb9\x03\x00\x00\x00\xbe\x00\x40\x00\x00\xf3\x6e"), /* rep outsb */
    PIECE("\xc6\x05\xff\xff\xff\xff\x77"),                     /* overwrites its own last byte */
    PIECE("\xf2\x0f\x2a\xc0\xf2\x0f\x58\xc8\xf2\x0f\x5e\xc1"), /* SSE */
    PIECE("\xe8\x00\x00\x00\x00\x58"),                         /* call; pop rax */
    PIECE("\x85\xc0\x74\x01\x90\x78\x02\x89\xc2"),             /* branches */
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static void put_program(struct soft_machine *machine, uint64_t seed)
{
    uint64_t at = START;
    for (unsigned i = 0; i < PIECES; i++) {
        const struct piece *piece = &pieces[next(&seed) % COUNT(pieces)];
        soft_machine_put(machine, at, piece->code, piece->length);
        at += piece->length;
    }
    int32_t back = (int32_t)START - (int32_t)(at + 5);
    soft_machine_put(machine, at, "\xe9", 1);
    soft_machine_put(machine, at + 1, &back, sizeof back);
    soft_machine_put(machine, MH_SYSTEM_AREA + BOOT_STUBS + 1 * BOOT_STUB_SIZE, "\x48\xcf", 2); /* #DB: iretq */
    soft_machine_put(machine, MH_SYSTEM_AREA + BOOT_STUBS + 3 * BOOT_STUB_SIZE, "\x48\xcf", 2); /* #BP */
    machine->soft->rip = START;
    machine->soft->gpr[MH_RSP] = STACK;
    machine->soft->gpr[MH_RBX] = seed;
}

static struct soft_machine *make(uint64_t seed)
{
    struct soft_machine *machine = aligned_alloc(64, (sizeof *machine + 63) / 64 * 64);
    assert_non_null(machine);
    assert_true(soft_machine_create(machine));
    put_program(machine, seed);
    return machine;
}

static void discard(struct soft_machine *machine)
{
    soft_machine_destroy(machine);
    free(machine);
}

/* Run until something other than a port ends it. */
static enum cpu_exit_kind run_through(struct soft_machine *machine, enum cpu_run_mode mode)
{
    while (soft_machine_run(machine, mode) == CPU_EXIT_IO) {
        machine->request.step_off = false;
        if (machine->exit.is_in)
            machine->exit.data[0] = (uint8_t)(machine->soft->instructions * 7);
    }
    return machine->exit.kind;
}

static void run_to(struct soft_machine *machine, uint64_t count)
{
    machine->request.until = count;
    if (run_through(machine, CPU_UNTIL) != CPU_EXIT_COUNT_REACHED)
        fail_msg("exit %u at 0x%llx: %s", machine->exit.kind, (unsigned long long)machine->soft->rip,
                 machine->exit.text);
}

/* ---- ways to get to the same place ---- */

static void in_one_go(struct soft_machine *machine, uint64_t seed)
{
    (void)seed;
    run_to(machine, INSTRUCTIONS);
}

static void in_slices(struct soft_machine *machine, uint64_t seed)
{
    for (uint64_t at = 0; at < INSTRUCTIONS; at += 1 + next(&seed) % 40)
        run_to(machine, at);
    run_to(machine, INSTRUCTIONS);
}

static void in_steps(struct soft_machine *machine, uint64_t seed)
{
    (void)seed;
    while (machine->soft->instructions < INSTRUCTIONS)
        assert_int_equal(run_through(machine, CPU_STEP), CPU_EXIT_STEP);
}

static void with_kicks(struct soft_machine *machine, uint64_t seed)
{
    machine->request.until = INSTRUCTIONS;
    do {
        machine->request.step_off = next(&seed) % 4 != 0;
        machine->cpu->ops->kick(machine->cpu);
    } while (run_through(machine, CPU_UNTIL) == CPU_EXIT_KICKED);
    machine->request.step_off = false;
    assert_int_equal(machine->exit.kind, CPU_EXIT_COUNT_REACHED);
}

static void beside_points(struct soft_machine *machine, uint64_t seed)
{
    struct cpu_point points[8];
    for (unsigned i = 0; i < COUNT(points); i++)
        points[i] = (struct cpu_point){.kind = (enum cpu_point_kind)(i % 4),
                                       .address = (i % 4 == 0 ? START : 0x4000) + next(&seed) % 256,
                                       .length = 1};
    assert_int_equal(machine->cpu->ops->arm(machine->cpu, points, COUNT(points), NULL), MH_OK);
    machine->request.until = INSTRUCTIONS;
    do
        machine->request.step_off = machine->exit.kind == CPU_EXIT_BREAKPOINT;
    while (run_through(machine, CPU_UNTIL) != CPU_EXIT_COUNT_REACHED);
    machine->request.step_off = false;
    assert_int_equal(machine->cpu->ops->arm(machine->cpu, NULL, 0, NULL), MH_OK);
}

static void with_reports(struct soft_machine *machine, uint64_t seed)
{
    (void)seed;
    machine->request.until = INSTRUCTIONS;
    machine->request.report = CPU_REPORT_CR3 | CPU_REPORT_FAULTS;
    while (run_through(machine, CPU_UNTIL) != CPU_EXIT_COUNT_REACHED)
        assert_true(machine->exit.kind == CPU_EXIT_CR3_WRITTEN || machine->exit.kind == CPU_EXIT_FAULT_DELIVERED);
}

static void with_new_states(struct soft_machine *machine, uint64_t seed)
{
    struct mh_cpu_state state;
    for (uint64_t at = 0; at < INSTRUCTIONS; at += 1 + next(&seed) % 40) {
        run_to(machine, at);
        assert_int_equal(machine->cpu->ops->save(machine->cpu, &state, NULL), MH_OK);
        memset(machine->soft->gpr, 0x55, sizeof machine->soft->gpr);
        assert_int_equal(machine->cpu->ops->restore(machine->cpu, &state, NULL), MH_OK);
    }
    run_to(machine, INSTRUCTIONS);
}

static void assert_same(const struct soft_machine *left, const struct soft_machine *right, uint64_t seed,
                        const char *way)
{
    struct mh_cpu_state a, b;
    left->cpu->ops->save(left->cpu, &a, NULL);
    right->cpu->ops->save(right->cpu, &b, NULL);
    bool same = memcmp(&a.general, &b.general, sizeof a.general) == 0 && a.dr6 == b.dr6 && a.shadow == b.shadow &&
                a.system.cr2 == b.system.cr2 && a.msrs.tsc == b.msrs.tsc && a.pending.valid == b.pending.valid &&
                memcmp(a.xsave, b.xsave, sizeof a.xsave) == 0;
    if (!same)
        fail_msg("program %llu, %s: rip 0x%llx, not 0x%llx; rflags 0x%llx, not 0x%llx", (unsigned long long)seed, way,
                 (unsigned long long)b.general.rip, (unsigned long long)a.general.rip,
                 (unsigned long long)b.general.rflags, (unsigned long long)a.general.rflags);
    size_t size = ram_pages(&left->ram) * PAGE_4K;
    if (memcmp(left->ram.host, right->ram.host, size) != 0)
        fail_msg("program %llu, %s: memory differs", (unsigned long long)seed, way);
}

static void the_way_to_a_place_is_not_visible_there(void **state)
{
    static const struct {
        void (*run)(struct soft_machine *machine, uint64_t seed);
        const char *name;
    } ways[] = {{in_slices, "in slices"},         {in_steps, "in steps"},         {with_kicks, "with kicks"},
                {beside_points, "beside points"}, {with_reports, "with reports"}, {with_new_states, "with new states"}};
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct soft_machine *expected = make(seed);
        in_one_go(expected, seed);
        for (unsigned i = 0; i < COUNT(ways); i++) {
            struct soft_machine *machine = make(seed);
            ways[i].run(machine, seed);
            assert_same(expected, machine, seed, ways[i].name);
            discard(machine);
        }
        discard(expected);
    }
}

#define HITS_MAX (2 * INSTRUCTIONS)

/* The counts of instructions at which points were met. */
struct hits {
    uint64_t at[HITS_MAX];
    unsigned count;
};

static void keep_hit(struct hits *hits, const struct soft_machine *machine)
{
    assert_true(hits->count < HITS_MAX);
    hits->at[hits->count++] = machine->soft->instructions;
}

static void meet_points_running(struct soft_machine *machine, struct hits *hits)
{
    machine->request.until = INSTRUCTIONS;
    while (run_through(machine, CPU_UNTIL) == CPU_EXIT_BREAKPOINT) {
        keep_hit(hits, machine);
        machine->request.step_off = true;
    }
    assert_int_equal(machine->exit.kind, CPU_EXIT_COUNT_REACHED);
}

/* A step ends before the points are looked at, and the next begins by stepping off; between two repetitions of a
 * string instruction there are none. */
static void meet_points_stepping(struct soft_machine *machine, const struct cpu_point *points, size_t count,
                                 struct hits *hits)
{
    while (machine->soft->instructions < INSTRUCTIONS) {
        for (size_t i = 0; i < count && !machine->soft->repeating; i++) {
            if (points[i].address == machine->soft->rip)
                keep_hit(hits, machine);
        }
        machine->request.step_off = true;
        assert_int_equal(run_through(machine, CPU_STEP), CPU_EXIT_STEP);
    }
}

static void a_run_meets_the_points_that_steps_come_to(void **state)
{
    (void)state;
    unsigned met = 0;
    for (uint64_t program = 1; program <= PROGRAMS; program++) {
        struct soft_machine *running = make(program), *stepping = make(program);
        struct hits run = {.count = 0}, steps = {.count = 0};
        struct cpu_point points[6];
        uint64_t seed = program;
        for (unsigned i = 0; i < COUNT(points); i++) /* different addresses */
            points[i] = (struct cpu_point){
                .kind = CPU_POINT_EXECUTE, .address = START + 64 * i + next(&seed) % 64, .length = 1};
        assert_int_equal(running->cpu->ops->arm(running->cpu, points, COUNT(points), NULL), MH_OK);
        meet_points_running(running, &run);
        meet_points_stepping(stepping, points, COUNT(points), &steps);
        assert_int_equal(run.count, steps.count);
        assert_memory_equal(run.at, steps.at, run.count * sizeof run.at[0]);
        met += run.count;
        discard(running);
        discard(stepping);
    }
    assert_true(met > PROGRAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_to_a_place_is_not_visible_there),
        cmocka_unit_test(a_run_meets_the_points_that_steps_come_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
