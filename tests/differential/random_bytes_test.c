/*
 * Random bytes as guests in ring 0. Handlers of exceptions skip a few bytes and return, so that a guest runs on through
 * whatever there is. Nothing is known about where it comes to; but it must come there without a crash, come there again
 * when it is run again, in single steps as well as in one run, and as generated code, at once and in slices.
 *
 *   random_bytes_test --case N     one guest again (needs MH_SEED)
 */
#include "abuse.h"
#include "both.h"
#include "encoding.h"
#include "loop_code.h"

#include "x86/boot_state.h"
#include "x86/paging.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESTS_IN_A_SHARE 2000u
#define INSTRUCTIONS_MAX 2000u
#define STEPS_MAX (4 * INSTRUCTIONS_MAX)
#define RAM_SIZE 0x200000u
#define CODE_SIZE 0x2000u
#define DATA_SIZE 0x4000u /* of RAM from 0 that is not 0 at the start */
#define ENTRY 0x400u

struct machine {
    struct guest_ram ram;
    struct cpu *cpu;
    uint64_t ports; /* what IN reads next, and a hash of what OUT wrote */
};

struct random_bytes_test {
    struct abuse abuse;
    struct x86_cpuid cpuid;
    struct form forms[FORMS_MAX];
    unsigned form_count;
    uint8_t image[DATA_SIZE];
    struct mh_cpu_state boot;
    struct host_code *code;
};

static struct random_bytes_test random_bytes_test;

static uint64_t hash(uint64_t start, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t value = start ^ 0xcbf29ce484222325u;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        value = (value ^ word) * 0x9e3779b97f4a7c15u;
        value ^= value >> 29;
    }
    for (; size > 0; size--, at++)
        value = (value ^ *at) * 0x100000001b3u;
    return value;
}

/* ---- the guest ---- */

static void fill_with_loops(struct random_bytes_test *test, struct chance *chance)
{
    for (unsigned at = ENTRY; at + LOOP_CODE_MAX < CODE_SIZE;)
        at += loop_code_make(chance, RAM_SIZE, test->image + at);
}

static void fill_image(struct random_bytes_test *test, struct chance *chance)
{
    uint64_t kind = chance_below(chance, 6);
    for (unsigned at = 0; at < DATA_SIZE; at += 8) {
        uint64_t bytes = kind == 3 ? chance_integer(chance) : chance_next(chance);
        memcpy(test->image + at, &bytes, sizeof bytes);
    }
    if (kind == 0)
        return;
    if (kind >= 4) {
        fill_with_loops(test, chance);
        return;
    }
    for (unsigned at = 0; at < CODE_SIZE - 32;) {
        struct encoding encoding;
        unsigned form = (unsigned)chance_below(chance, test->form_count);
        if (chance_percent(chance, 50)) /* one-byte opcodes are few among the forms, and many in programs */
            form = (unsigned)chance_below(chance, 3000) % test->form_count;
        encoding_make(chance, &test->forms[form], 0, &encoding);
        memcpy(test->image + at, encoding.bytes, encoding.length);
        at += encoding.length;
    }
}

static void random_registers(struct chance *chance, struct mh_cpu_state *state)
{
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        if (i != MH_RSP)
            state->general.gpr[i] =
                chance_percent(chance, 50) ? chance_below(chance, RAM_SIZE) : chance_integer(chance);
    state->general.rip = ENTRY;
    state->general.rflags = chance_rflags(chance) & ~(uint64_t)MH_RFLAGS_IF;
    if (chance_percent(chance, 5))
        state->general.rflags |= MH_RFLAGS_TF;
    if (chance_percent(chance, 20))
        state->dr7 |= chance_next(chance) & 0xffff03ff;
    for (unsigned i = 0; i < 4; i++)
        state->dr[i] = chance_below(chance, CODE_SIZE);
    chance_xsave(chance, state->xsave);
}

/*
 * Handlers: skip an error code, move the return address on by 3, return. With the I/O map and the stacks of the system
 * area, as every guest has them.
 */
static void write_handlers(const struct machine *machine)
{
    static const uint8_t plain[] = {0x48, 0x83, 0x04, 0x24, 0x03, 0x48, 0xcf};
    static const uint8_t with_error[] = {0x48, 0x83, 0xc4, 0x08, 0x48, 0x83, 0x04, 0x24, 0x03, 0x48, 0xcf};
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++) {
        uint8_t *stub = ram_system_area(&machine->ram) + BOOT_STUBS + vector * BOOT_STUB_SIZE;
        bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
        memcpy(stub, has_error ? with_error : plain, has_error ? sizeof with_error : sizeof plain);
    }
}

static bool machine_start(const struct random_bytes_test *test, struct machine *machine)
{
    struct mh_error err;
    *machine = (struct machine){.ports = 1};
    if (ram_create(&machine->ram, RAM_SIZE, &err) != MH_OK)
        return false;
    boot_write_system_area(&machine->ram, (test->image[0] & 1) != 0 ? PAGE_4K : PAGE_2M);
    write_handlers(machine);
    memcpy(machine->ram.host, test->image, DATA_SIZE);
    return soft_cpu_create(&machine->ram, &test->cpuid, &test->boot, &machine->cpu, &err) == MH_OK;
}

static void machine_end(struct machine *machine)
{
    if (machine->cpu != NULL)
        machine->cpu->ops->destroy(machine->cpu);
    ram_free(&machine->ram);
}

/* ---- running it ---- */

static void serve_port(struct machine *machine, const struct cpu_exit *exit)
{
    size_t size = (size_t)exit->count * exit->width;
    if (exit->is_in) {
        for (size_t i = 0; i < size; i++)
            exit->data[i] = (uint8_t)(machine->ports >> i % 8);
        machine->ports = machine->ports * 0x9e3779b97f4a7c15u + exit->port;
    } else {
        machine->ports = hash(machine->ports + exit->port, exit->data, size);
    }
}

static uint64_t instructions(const struct machine *machine)
{
    uint64_t count = 0;
    machine->cpu->ops->instructions(machine->cpu, &count);
    return count;
}

/*
 * Run until `until`, or until the guest can do no more. *kind is how it ended, where `until` itself counts as
 * CPU_EXIT_COUNT_REACHED however it was reached.
 */
static uint64_t run(struct machine *machine, enum cpu_run_mode mode, uint64_t until, enum cpu_exit_kind *kind)
{
    const struct cpu_request request = {.mode = mode, .until = until};
    struct cpu_exit exit = {0};
    for (unsigned steps = 0; steps < STEPS_MAX && instructions(machine) < until; steps++) {
        machine->cpu->ops->run(machine->cpu, &request, &exit);
        *kind = exit.kind;
        if (exit.kind == CPU_EXIT_IO) {
            serve_port(machine, &exit);
            machine->cpu->ops->finish_io(machine->cpu);
        } else if (exit.kind != CPU_EXIT_STEP && exit.kind != CPU_EXIT_COUNT_REACHED) {
            return instructions(machine);
        }
    }
    *kind = CPU_EXIT_COUNT_REACHED;
    return instructions(machine);
}

static uint64_t hash_machine(const struct machine *machine)
{
    struct mh_cpu_state state;
    struct mh_error err;
    memset(&state, 0, sizeof state);
    if (machine->cpu->ops->save(machine->cpu, &state, &err) != MH_OK)
        return 0;
    uint64_t value = hash(machine->ports, &state.general, sizeof state.general);
    value = hash(value, state.system.seg, sizeof state.system.seg);
    value = hash(value, &state.system.cr0, sizeof(uint64_t) * 6);
    value = hash(value, &state.msrs, sizeof state.msrs);
    value = hash(value, state.dr, sizeof state.dr + sizeof state.dr6 + sizeof state.dr7);
    value = hash(value, state.xsave, sizeof state.xsave);
    return hash(value, machine->ram.host, RAM_SIZE + MH_SYSTEM_AREA_SIZE);
}

struct end {
    enum cpu_exit_kind kind;
    uint64_t count, hash, rip;
    uint64_t counts_hash; /* of how often each instruction was retired; 0: that was not counted */
};

/* Every other guest is counted, so that both ways are tried. */
static bool is_counted(const struct random_bytes_test *test)
{
    return (test->image[0] & 2) != 0;
}

static bool begin_to_count(const struct random_bytes_test *test, struct machine *machine)
{
    return !is_counted(test) || machine->cpu->ops->count_calls(machine->cpu, NULL) == MH_OK;
}

static uint64_t hash_calls(const struct machine *machine, uint64_t value)
{
    struct mh_calls calls;
    uint64_t sum = 0;
    if (machine->cpu->ops->read_calls(machine->cpu, &calls, NULL) != MH_OK)
        return 0;
    for (size_t i = 0; i < calls.length; i++) {
        value = hash(value, &calls.calls[i].address, sizeof calls.calls[i].address);
        value = hash(value, &calls.calls[i].spent, sizeof calls.calls[i].spent);
        value = hash(value, &calls.calls[i].calls, sizeof calls.calls[i].calls);
        sum += calls.calls[i].spent;
    }
    if (sum != instructions(machine))
        printf("  %" PRIu64 " instructions in the tree of calls, of %" PRIu64 "\n", sum, instructions(machine));
    return sum == instructions(machine) ? value : hash(value, &sum, sizeof sum);
}

/* Lengths are left out: of an instruction that always faulted, only some ways of running a guest know it. */
static uint64_t hash_counts(const struct random_bytes_test *test, const struct machine *machine)
{
    struct mh_counts counts;
    uint64_t value = 1, sum = 0;
    if (!is_counted(test) || machine->cpu->ops->read_counts(machine->cpu, &counts, NULL) != MH_OK)
        return 0;
    for (size_t i = 0; i < counts.length; i++) {
        value = hash(value, &counts.counts[i].address, sizeof counts.counts[i].address);
        value = hash(value, &counts.counts[i].count, sizeof counts.counts[i].count);
        sum += counts.counts[i].count;
    }
    if (sum != instructions(machine))
        printf("  counted %" PRIu64 " instructions of %" PRIu64 "\n", sum, instructions(machine));
    return hash_calls(machine, sum == instructions(machine) ? value : hash(value, &sum, sizeof sum));
}

/* `code`: translate blocks from the first time on, or NULL. */
static struct end run_guest(const struct random_bytes_test *test, struct host_code *code, enum cpu_run_mode mode,
                            uint64_t until)
{
    struct machine machine;
    struct end end = {0};
    if (machine_start(test, &machine) && begin_to_count(test, &machine)) {
        soft_cpu_use_code(machine.cpu, code, 0);
        end.count = run(&machine, mode, until, &end.kind);
        end.hash = hash_machine(&machine);
        end.counts_hash = hash_counts(test, &machine);
        machine.cpu->ops->rip_at_hand(machine.cpu, &end.rip);
    }
    machine_end(&machine);
    return end;
}

/* The same as generated code, in slices of a few instructions. */
static struct end run_guest_in_slices(const struct random_bytes_test *test)
{
    struct machine machine;
    struct end end = {0};
    if (machine_start(test, &machine) && begin_to_count(test, &machine)) {
        soft_cpu_use_code(machine.cpu, test->code, 0);
        for (uint64_t until = 1, size = 1; end.count < INSTRUCTIONS_MAX; until += size) {
            const uint64_t wanted = until < INSTRUCTIONS_MAX ? until : INSTRUCTIONS_MAX;
            size = size * 13 % 101;
            end.count = run(&machine, CPU_UNTIL, wanted, &end.kind);
            if (end.kind != CPU_EXIT_COUNT_REACHED)
                break;
        }
        end.hash = hash_machine(&machine);
        end.counts_hash = hash_counts(test, &machine);
        machine.cpu->ops->rip_at_hand(machine.cpu, &end.rip);
    }
    machine_end(&machine);
    return end;
}

static bool ends_equal(const struct end *a, const struct end *b)
{
    return a->kind == b->kind && a->count == b->count && a->hash == b->hash && a->counts_hash == b->counts_hash;
}

static void print_end(const char *how, const struct end *end)
{
    printf("  %s: exit %d after %" PRIu64 " instructions at %" PRIx64 ", state %016" PRIx64 ", counts %016" PRIx64 "\n",
           how, (int)end->kind, end->count, end->rip, end->hash, end->counts_hash);
}

static bool check_guest(const struct random_bytes_test *test, bool print)
{
    struct end first = run_guest(test, NULL, CPU_UNTIL, INSTRUCTIONS_MAX);
    struct end again = run_guest(test, NULL, CPU_UNTIL, INSTRUCTIONS_MAX);
    struct end steps = run_guest(test, NULL, CPU_STEP, INSTRUCTIONS_MAX);
    struct end translated = run_guest(test, test->code, CPU_UNTIL, INSTRUCTIONS_MAX);
    struct end slices = run_guest_in_slices(test);
    bool equal = ends_equal(&first, &again) && ends_equal(&first, &steps) && ends_equal(&first, &translated) &&
                 ends_equal(&first, &slices);
    if (print || !equal) {
        print_end("run", &first);
        print_end("run again", &again);
        print_end("in steps", &steps);
        print_end("translated", &translated);
        print_end("translated, in slices", &slices);
    }
    return equal;
}

static void make_guest(struct random_bytes_test *test, uint64_t number)
{
    struct chance chance = chance_of(test->abuse.seed, number);
    struct guest_ram ram = {.ram_size = RAM_SIZE};
    test->boot = (struct mh_cpu_state){.general = boot_general(&ram, ENTRY),
                                       .system = boot_system(test->cpuid.xcr0 != 0),
                                       .xcr0 = test->cpuid.xcr0,
                                       .dr6 = 0xffff0ff0,
                                       .dr7 = 0x400};
    test->boot.msrs.pat = 0x0007040600070406;
    fill_image(test, &chance);
    random_registers(&chance, &test->boot);
}

/* The first count at which a run, translated or not, and as many steps come to different states. */
static uint64_t find_first(const struct random_bytes_test *test)
{
    uint64_t equal = 0, different = INSTRUCTIONS_MAX;
    while (different - equal > 1) {
        uint64_t middle = (equal + different) / 2;
        struct end run_end = run_guest(test, NULL, CPU_UNTIL, middle);
        struct end steps_end = run_guest(test, NULL, CPU_STEP, middle);
        struct end translated = run_guest(test, test->code, CPU_UNTIL, middle);
        if (ends_equal(&run_end, &steps_end) && ends_equal(&translated, &steps_end))
            equal = middle;
        else
            different = middle;
    }
    return different;
}

static void report(struct random_bytes_test *test, uint64_t number)
{
    uint64_t count = find_first(test);
    struct end before = run_guest(test, NULL, CPU_STEP, count - 1);
    printf("MH_SEED=%" PRIu64 " random_bytes_test --case %" PRIu64 ": first seen after instruction %" PRIu64 ": ",
           test->abuse.seed, number, count);
    if (before.rip < DATA_SIZE - 15)
        both_print_code(test->image + before.rip, 15, before.rip);
    else
        printf("at %" PRIx64 "\n", before.rip);
    fflush(stdout);
}

static void work(void *context, struct shared *shared)
{
    struct random_bytes_test *test = context;
    bool single = shared->end - shared->current == 1;
    x86_cpuid_init(&test->cpuid);
    test->code = host_code_create();
    if (test->code == NULL)
        _Exit(1);
    for (; shared->current < shared->end; shared->current++) {
        make_guest(test, shared->current);
        shared->done++;
        if (check_guest(test, single))
            continue;
        shared->differences++;
        report(test, shared->current);
    }
}

int main(int argc, char **argv)
{
    struct random_bytes_test *test = &random_bytes_test;
    abuse_begin(&test->abuse);
    test->form_count = forms_all(test->forms);
    struct shared *shared = both_shared();
    shared->end = (uint64_t)GUESTS_IN_A_SHARE * test->abuse.factor;
    if (argc == 3 && strcmp(argv[1], "--case") == 0) {
        shared->current = strtoull(argv[2], NULL, 10);
        shared->end = shared->current + 1;
    } else if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        shared->end = strtoull(argv[2], NULL, 10);
    }
    both_in_children(shared, work, test);
    printf("%" PRIu64 " guests, %" PRIu64 " differences\n", shared->done, shared->differences);
    abuse_done((unsigned long)shared->done, "guests of random bytes");
    return shared->differences != 0;
}
