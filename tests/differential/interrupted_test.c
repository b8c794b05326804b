/*
 * Guests of loops, interpreted and translated, with the same things done to both from outside: runs of any length,
 * steps, breakpoints and watchpoints, memory and registers that are written, states that are saved and restored, kicks.
 * After each run everything must be equal: how it ended and where, registers, flags, counts, and the pages that count
 * as written. Before long, memory as well, and in every other guest how often each instruction was retired;
 * in half of these also the tree of calls.
 *
 *   interrupted_test --case N     one guest again, with what was done to it (needs MH_SEED)
 */
#include "abuse.h"
#include "alias_guest.h"
#include "both.h"
#include "loop_guest.h"

#include "x86/boot_state.h"
#include "x86/paging.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESTS_IN_A_SHARE 250u
#define RUNS 40u
#define EXITS_MAX 2000u /* in a run */
#define RAM_SIZE 0x200000u
#define HANDLER 0x9000u
#define POINTS 5u

struct machine {
    struct guest_ram ram;
    struct cpu *cpu;
    uint64_t ports; /* what IN reads next, and a hash of what OUT wrote */
    bool is_counted, has_calls;
    uint64_t skipped; /* instructions by which the count was set further */
    struct cpu_point points[POINTS];
    bool step_off;
    struct cpu_exit exit;
};

struct interrupted_test {
    struct abuse abuse;
    bool is_single;
    struct x86_cpuid cpuid;
    struct form forms[FORMS_MAX];
    struct loop_guest guest;
    struct mh_cpu_state boot;
    struct host_code *code;
    struct machine machines[2]; /* interpreted, translated */
};

static struct interrupted_test interrupted_test;

/* ---- the guest ---- */

/*
 * All exceptions come here, and skip 3 bytes; an alias of the code is left; where a guest got lost, it begins again:
 *     addq $3,(%rsp); andl $0x1fffff,(%rsp); cmpw $1,2(%rsp); jne 1f; cmpl $0,4(%rsp); je 2f
 *     1: movq $LOOP_CODE,(%rsp); movq $LOOP_STACK,24(%rsp)
 *     2: orb $1,18(%rsp); andb $~1,17(%rsp); iretq        (RF, TF)
 */
static const uint8_t handler[] = {0x48, 0x83, 0x04, 0x24, 0x03, 0x81, 0x24, 0x24, 0xff, 0xff, 0x1f, 0x00, 0x66, 0x83,
                                  0x7c, 0x24, 0x02, 0x01, 0x75, 0x07, 0x83, 0x7c, 0x24, 0x04, 0x00, 0x74, 0x11, 0x48,
                                  0xc7, 0x04, 0x24, 0x00, 0x00, 0x01, 0x00, 0x48, 0xc7, 0x44, 0x24, 0x18, 0x00, 0xe0,
                                  0x03, 0x00, 0x80, 0x4c, 0x24, 0x12, 0x01, 0x80, 0x64, 0x24, 0x11, 0xfe, 0x48, 0xcf};
#define HANDLER_OF_TRAPS (HANDLER + 0x2cu) /* 2 */

static void write_handlers(const struct machine *machine)
{
    memcpy(machine->ram.host + HANDLER, handler, sizeof handler);
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++) {
        const uint32_t at = BOOT_STUBS + vector * BOOT_STUB_SIZE;
        const bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
        uint8_t *stub = ram_system_area(&machine->ram) + at;
        if (has_error)
            memcpy(stub, "\x48\x83\xc4\x08", 4); /* add $8, %rsp */
        stub += has_error ? 4 : 0;
        const uint32_t target = vector == 1 || vector == 3 ? HANDLER_OF_TRAPS : HANDLER;
        const uint32_t distance = target - (MH_SYSTEM_AREA + at + (has_error ? 9 : 5));
        *stub = 0xe9;
        memcpy(stub + 1, &distance, sizeof distance);
    }
}

static void make_boot(struct interrupted_test *test, struct chance *chance, bool is_kernel)
{
    const struct guest_ram ram = {.ram_size = RAM_SIZE};
    struct mh_cpu_state *boot = &test->boot;
    *boot = (struct mh_cpu_state){.general = boot_general(&ram, LOOP_CODE),
                                  .system = boot_system(test->cpuid.xcr0 != 0),
                                  .xcr0 = test->cpuid.xcr0,
                                  .dr6 = BOOT_DR6,
                                  .dr7 = BOOT_DR7,
                                  .msrs = boot_msrs()};
    chance_xsave(chance, boot->xsave);
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        boot->general.gpr[i] = chance_integer(chance);
    boot->general.gpr[MH_RSP] = LOOP_STACK;
    if (is_kernel)
        return;
    struct mh_x86_segment *cs = &boot->system.seg[MH_CS], *ss = &boot->system.seg[MH_SS];
    cs->selector = MH_SEL_USER_CODE;
    ss->selector = MH_SEL_USER_DATA;
    cs->attributes |= 0x60;
    ss->attributes |= 0x60;
}

static void make_guest(struct interrupted_test *test, struct chance *chance)
{
    struct loop_guest *guest = &test->guest;
    guest->chance = chance;
    guest->forms = test->forms;
    guest->is_kernel = chance_percent(chance, 70);
    make_boot(test, chance, guest->is_kernel);
    if (chance_percent(chance, 50))
        loop_guest_write(guest);
    else
        alias_guest_write(guest);
}

static bool machine_start(const struct interrupted_test *test, struct machine *machine, uint32_t page_size)
{
    struct mh_error err;
    *machine = (struct machine){.ports = 1};
    if (ram_create(&machine->ram, RAM_SIZE, &err) != MH_OK)
        return false;
    boot_write_system_area(&machine->ram, page_size);
    alias_guest_map(ram_system_area(&machine->ram), page_size);
    write_handlers(machine);
    memcpy(machine->ram.host + LOOP_CODE, test->guest.code, LOOP_CODE_SIZE);
    for (unsigned i = 0; i < LOOP_DATA_SIZE; i++)
        machine->ram.host[LOOP_DATA + i] = (uint8_t)(i * 0x9d >> 3);
    return soft_cpu_create(&machine->ram, &test->cpuid, &test->boot, &machine->cpu, &err) == MH_OK;
}

static void machine_end(struct machine *machine)
{
    if (machine->cpu != NULL)
        machine->cpu->ops->destroy(machine->cpu);
    ram_free(&machine->ram);
}

static uint64_t count_of(const struct machine *machine)
{
    uint64_t count = 0;
    machine->cpu->ops->instructions(machine->cpu, &count);
    return count;
}

/* ---- what is done to both ---- */

static uint64_t some_address(struct chance *chance)
{
    static const struct {
        uint32_t start, size;
    } areas[] = {{LOOP_CODE, LOOP_CODE_SIZE}, {LOOP_DATA, LOOP_DATA_SIZE}, {LOOP_STACK - 64, 64},
                 {LOOP_COUNTERS, 0x40},       {LOOP_PAGE_TABLE, 0x200},    {LOOP_CODE, LOOP_CODE_SIZE}};
    const uint64_t area = chance_below(chance, sizeof areas / sizeof areas[0]);
    return areas[area].start + chance_below(chance, areas[area].size);
}

static void arm(struct machine *machine, struct chance *chance)
{
    const size_t count = 1 + chance_below(chance, POINTS);
    for (size_t i = 0; i < count; i++)
        machine->points[i] = (struct cpu_point){.kind = (enum cpu_point_kind)chance_below(chance, 4),
                                                .address = some_address(chance),
                                                .length = 1 + chance_below(chance, 8)};
    machine->cpu->ops->arm(machine->cpu, machine->points, count, NULL);
}

static void write_memory(struct machine *machine, struct chance *chance)
{
    const uint64_t address = some_address(chance) & ~7ull, value = chance_next(chance);
    const size_t length = 1 + chance_below(chance, 4);
    uint8_t *const to = ram_at(&machine->ram, mh_gpa_of(address), length);
    if (address >= LOOP_PAGE_TABLE)
        *to = (uint8_t)(*to ^ 1u << (value % 3)); /* present, writable, for ring 3 */
    else
        memcpy(to, &value, length);
    machine->cpu->ops->memory_changed(machine->cpu, mh_gpa_of(address), length);
}

static void write_registers(struct machine *machine, struct chance *chance)
{
    struct mh_x86_regs regs;
    machine->cpu->ops->read_regs(machine->cpu, MH_REGS_GENERAL, &regs, NULL);
    regs.general.gpr[chance_below(chance, 4)] = chance_integer(chance);
    if (chance_percent(chance, 30))
        regs.general.rip = LOOP_CODE;
    if (chance_percent(chance, 10))
        regs.general.rflags ^= MH_RFLAGS_TF;
    if (chance_percent(chance, 10))
        regs.general.rflags ^= 1u << chance_below(chance, 12);
    machine->cpu->ops->write_regs(machine->cpu, MH_REGS_GENERAL, &regs, NULL);
}

static void save_and_restore(struct machine *machine)
{
    struct mh_cpu_state state;
    if (machine->cpu->ops->save(machine->cpu, &state, NULL) == MH_OK)
        machine->cpu->ops->restore(machine->cpu, &state, NULL);
}

static void collect(struct machine *machine)
{
    machine->cpu->ops->track_writes(machine->cpu, NULL);
    machine->cpu->ops->collect_writes(machine->cpu, NULL);
    memset(machine->ram.changed, 0, sizeof machine->ram.changed);
}

static const char *const actions[] = {"nothing", "arm",     "disarm", "memory", "registers",
                                      "state",   "collect", "kick",   "count",  "nothing"};

static void skip(struct machine *machine, uint64_t count)
{
    machine->skipped += count;
    machine->cpu->ops->set_instructions(machine->cpu, count_of(machine) + count);
}

static void act(struct machine *machine, struct chance *chance, unsigned action)
{
    switch (action) {
    case 1:
        arm(machine, chance);
        break;
    case 2:
        machine->cpu->ops->arm(machine->cpu, NULL, 0, NULL);
        break;
    case 3:
        write_memory(machine, chance);
        break;
    case 4:
        write_registers(machine, chance);
        break;
    case 5:
        save_and_restore(machine);
        break;
    case 6:
        collect(machine);
        break;
    case 7:
        machine->cpu->ops->kick(machine->cpu);
        break;
    case 8:
        skip(machine, chance_below(chance, 1000));
        break;
    default:
        break;
    }
}

/* ---- running both ---- */

static void serve_port(struct machine *machine)
{
    struct cpu_exit *exit = &machine->exit;
    const size_t size = (size_t)exit->count * exit->width;
    for (size_t i = 0; i < size; i++) {
        if (exit->is_in)
            exit->data[i] = (uint8_t)(machine->ports >> i % 8);
        else
            machine->ports = (machine->ports ^ exit->data[i]) * 0x100000001b3u;
    }
    machine->ports = machine->ports * 0x9e3779b97f4a7c15u + exit->port;
    machine->cpu->ops->finish_io(machine->cpu);
}

/* Until something other than a port ends it. */
static void run(struct machine *machine, const struct cpu_request *wanted)
{
    struct cpu_request request = *wanted;
    request.step_off = machine->step_off;
    for (unsigned i = 0; i < EXITS_MAX; i++) {
        machine->cpu->ops->run(machine->cpu, &request, &machine->exit);
        if (machine->exit.kind != CPU_EXIT_IO)
            break;
        serve_port(machine);
        request.step_off = false;
    }
    machine->step_off = machine->exit.kind == CPU_EXIT_BREAKPOINT;
}

static struct cpu_request some_run(const struct machine *machine, struct chance *chance)
{
    static const uint32_t lengths[] = {4, 30, 300, 3000, 3000, 20000};
    const uint64_t length = lengths[chance_below(chance, sizeof lengths / sizeof lengths[0])];
    struct cpu_request request = {.mode = CPU_UNTIL, .until = count_of(machine) + 1 + chance_below(chance, length)};
    if (chance_percent(chance, 10))
        request = (struct cpu_request){.mode = CPU_STEP};
    if (chance_percent(chance, 10))
        request.report = CPU_REPORT_FAULTS | CPU_REPORT_CR3;
    return request;
}

/* ---- comparing them ---- */

static const char *states_differ(const struct mh_cpu_state *a, const struct mh_cpu_state *b)
{
    if (memcmp(&a->general, &b->general, sizeof a->general) != 0)
        return "general registers";
    if (memcmp(a->system.seg, b->system.seg, sizeof a->system.seg) != 0 || a->system.cr0 != b->system.cr0 ||
        a->system.cr2 != b->system.cr2 || a->system.cr3 != b->system.cr3 || a->system.cr4 != b->system.cr4)
        return "system registers";
    if (memcmp(&a->msrs, &b->msrs, sizeof a->msrs) != 0)
        return "MSRs";
    if (memcmp(a->dr, b->dr, sizeof a->dr) != 0 || a->dr6 != b->dr6 || a->dr7 != b->dr7)
        return "debug registers";
    if (a->pending.valid != b->pending.valid || a->pending.vector != b->pending.vector || a->shadow != b->shadow ||
        a->is_repeating != b->is_repeating)
        return "what is pending";
    return memcmp(a->xsave, b->xsave, sizeof a->xsave) != 0 ? "x87, SSE and AVX" : NULL;
}

static const char *exits_differ(const struct machine *a, const struct machine *b)
{
    const struct cpu_exit *one = &a->exit, *other = &b->exit;
    if (one->kind != other->kind)
        return "exits";
    if (count_of(a) != count_of(b))
        return "counts";
    const bool has_point = one->kind == CPU_EXIT_BREAKPOINT || one->kind == CPU_EXIT_WATCHPOINT;
    if ((has_point && one->point != other->point) ||
        (one->kind == CPU_EXIT_FAULT_DELIVERED && one->vector != other->vector))
        return "points or vectors";
    return a->ports != b->ports ? "ports" : NULL;
}

static uint64_t sum_of(const struct mh_counts *counts)
{
    uint64_t sum = counts->elsewhere;
    for (size_t i = 0; i < counts->length; i++)
        sum += counts->counts[i].count;
    return sum;
}

static void print_counts(const struct mh_counts *a, const struct mh_counts *b)
{
    for (size_t i = 0, j = 0; i < a->length || j < b->length;) {
        const struct mh_count *one = i < a->length ? &a->counts[i] : NULL,
                              *other = j < b->length ? &b->counts[j] : NULL;
        const bool is_one = one != NULL && (other == NULL || one->address <= other->address);
        const bool is_other = other != NULL && (one == NULL || other->address <= one->address);
        const uint64_t count = is_one ? one->count : 0, other_count = is_other ? other->count : 0;
        if (count != other_count)
            printf("  at %" PRIx64 ": retired %" PRIu64 " times, translated %" PRIu64 "\n",
                   is_one ? one->address : other->address, count, other_count);
        i += is_one;
        j += is_other;
    }
}

/* What differs in how often instructions were retired; NULL: nothing. */
static const char *counts_differ(const struct machine *a, const struct machine *b)
{
    struct mh_counts one, other;
    if (!a->is_counted)
        return NULL;
    if (a->cpu->ops->read_counts(a->cpu, &one, NULL) != MH_OK ||
        b->cpu->ops->read_counts(b->cpu, &other, NULL) != MH_OK)
        return "counts that cannot be read";
    bool differ = one.length != other.length || one.elsewhere != other.elsewhere;
    for (size_t i = 0; i < one.length && !differ; i++)
        differ = one.counts[i].address != other.counts[i].address || one.counts[i].count != other.counts[i].count ||
                 one.counts[i].length != other.counts[i].length;
    if (differ)
        print_counts(&one, &other);
    if (sum_of(&one) + a->skipped != count_of(a))
        return "the sum of counts and the count";
    return differ ? "counts of instructions" : NULL;
}

/* The same in the tree of calls. */
static const char *calls_differ(const struct machine *a, const struct machine *b)
{
    struct mh_calls one, other;
    if (!a->has_calls)
        return NULL;
    if (a->cpu->ops->read_calls(a->cpu, &one, NULL) != MH_OK || b->cpu->ops->read_calls(b->cpu, &other, NULL) != MH_OK)
        return "calls that cannot be read";
    bool differ = one.length != other.length;
    for (size_t i = 0; i < one.length && !differ; i++)
        differ = one.calls[i].address != other.calls[i].address || one.calls[i].spent != other.calls[i].spent ||
                 one.calls[i].calls != other.calls[i].calls || one.calls[i].depth != other.calls[i].depth;
    return differ ? "trees of calls" : NULL;
}

/* What differs; NULL: nothing. */
static const char *machines_differ(const struct machine *a, const struct machine *b, bool with_memory)
{
    struct mh_cpu_state one = {0}, other = {0};
    a->cpu->ops->save(a->cpu, &one, NULL);
    b->cpu->ops->save(b->cpu, &other, NULL);
    const char *what = exits_differ(a, b);
    if (what == NULL)
        what = states_differ(&one, &other);
    if (what == NULL && memcmp(a->ram.changed, b->ram.changed, sizeof a->ram.changed) != 0)
        what = "written pages";
    if (what == NULL && with_memory && memcmp(a->ram.host, b->ram.host, RAM_SIZE + MH_SYSTEM_AREA_SIZE) != 0)
        what = "memory";
    if (what == NULL && with_memory)
        what = counts_differ(a, b);
    return what == NULL && with_memory ? calls_differ(a, b) : what;
}

static void print_machine(const char *name, const struct machine *machine)
{
    struct mh_x86_regs regs;
    machine->cpu->ops->read_regs(machine->cpu, MH_REGS_GENERAL, &regs, NULL);
    printf("  %s: exit %d after %" PRIu64 " at %" PRIx64 ", rflags %" PRIx64 "\n   ", name, (int)machine->exit.kind,
           count_of(machine), regs.general.rip, regs.general.rflags);
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        printf(" %" PRIx64, regs.general.gpr[i]);
    printf("\n");
}

static void print_written(const struct machine *a, const struct machine *b)
{
    for (size_t page = 0; page < RAM_PAGES_MAX; page++) {
        const bool one = a->ram.changed[page / 64] >> page % 64 & 1, other = b->ram.changed[page / 64] >> page % 64 & 1;
        if (one != other)
            printf("  page %zx is written %s\n", page, one ? "only when interpreted" : "only when translated");
    }
}

static void print_memory(const struct machine *a, const struct machine *b)
{
    unsigned shown = 0;
    for (size_t i = 0; i < RAM_SIZE + MH_SYSTEM_AREA_SIZE && shown < 32; i++) {
        if (a->ram.host[i] == b->ram.host[i])
            continue;
        printf("  at %" PRIx64 ": interpreted %02x, translated %02x\n", ram_gpa(&a->ram, a->ram.host + i).v,
               a->ram.host[i], b->ram.host[i]);
        shown++;
    }
}

static void print_both(const struct interrupted_test *test, unsigned number, unsigned action,
                       const struct cpu_request *request)
{
    printf("run %u, after: %s; mode %d until %" PRIu64 "\n", number, actions[action], (int)request->mode,
           request->until);
    print_machine("interpreted", &test->machines[0]);
    print_machine("translated ", &test->machines[1]);
    print_written(&test->machines[0], &test->machines[1]);
    print_memory(&test->machines[0], &test->machines[1]);
}

/* What differs in the end; NULL: nothing. */
static const char *run_both(struct interrupted_test *test, struct chance *chance)
{
    struct machine *const machines = test->machines;
    for (unsigned i = 0; i < RUNS; i++) {
        const unsigned action = (unsigned)chance_below(chance, sizeof actions / sizeof actions[0]);
        struct chance same = *chance;
        act(&machines[0], chance, action);
        act(&machines[1], &same, action);
        const struct cpu_request request = some_run(&machines[0], chance);
        run(&machines[0], &request);
        run(&machines[1], &request);
        const char *what = machines_differ(&machines[0], &machines[1], i % 8 == 7);
        if (what != NULL || test->is_single)
            print_both(test, i, action, &request);
        if (what != NULL)
            return what;
    }
    return NULL;
}

static void count(struct machine *machine, bool calls)
{
    const struct cpu_ops *ops = machine->cpu->ops;
    machine->is_counted = ops->count_instructions(machine->cpu, NULL) == MH_OK;
    machine->has_calls = calls && ops->count_calls(machine->cpu, NULL) == MH_OK;
}

static const char *compare_guest(struct interrupted_test *test, uint64_t number, uint64_t *translated)
{
    struct chance chance = chance_of(test->abuse.seed, number);
    const uint32_t page_size = chance_percent(&chance, 70) ? PAGE_4K : PAGE_2M;
    const uint32_t hot = (uint32_t)chance_below(&chance, 4);
    const char *what = "machines that were not made";
    make_guest(test, &chance);
    if (machine_start(test, &test->machines[0], page_size) && machine_start(test, &test->machines[1], page_size)) {
        struct cpu_code_stats stats = {0};
        for (unsigned i = 0; i < 2 && number % 2 != 0; i++)
            count(&test->machines[i], number % 4 == 3);
        soft_cpu_use_code(test->machines[1].cpu, test->code, hot);
        collect(&test->machines[0]); /* without, all pages count as written */
        collect(&test->machines[1]);
        what = run_both(test, &chance);
        test->machines[1].cpu->ops->code_stats(test->machines[1].cpu, &stats);
        *translated += stats.instructions;
    }
    machine_end(&test->machines[0]);
    machine_end(&test->machines[1]);
    return what;
}

static void work(void *context, struct shared *shared)
{
    struct interrupted_test *test = context;
    x86_cpuid_init(&test->cpuid);
    test->code = host_code_create();
    if (test->code == NULL)
        _Exit(1);
    for (; shared->current < shared->end; shared->current++) {
        uint64_t translated = 0;
        const char *what = compare_guest(test, shared->current, &translated);
        shared->done++;
        shared->translated += translated;
        if (what == NULL)
            continue;
        shared->differences++;
        printf("MH_SEED=%" PRIu64 " interrupted_test --case %" PRIu64 ": %s differ\n", test->abuse.seed,
               shared->current, what);
        fflush(stdout);
    }
    host_code_destroy(test->code);
}

int main(int argc, char **argv)
{
    struct interrupted_test *test = &interrupted_test;
    abuse_begin(&test->abuse);
    test->guest.form_count = forms_all(test->forms);
    struct shared *shared = both_shared();
    shared->end = (uint64_t)GUESTS_IN_A_SHARE * test->abuse.factor;
    if (argc == 3 && strcmp(argv[1], "--case") == 0) {
        test->is_single = true;
        shared->current = strtoull(argv[2], NULL, 10);
        shared->end = shared->current + 1;
    } else if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        shared->end = strtoull(argv[2], NULL, 10);
    }
    both_in_children(shared, work, test);
    printf("%" PRIu64 " guests, %" PRIu64 " instructions in generated code; %" PRIu64 " differences\n", shared->done,
           shared->translated, shared->differences);
    abuse_done((unsigned long)shared->done, "guests interrupted, interpreted and translated");
    return shared->differences != 0;
}
