/*
 * Random guests come to the same end in software and on this host's KVM: with the same registers, memory, output and
 * exceptions. What KVM cannot execute, software executes, as with --accel kvm.
 *
 * KVM does not count, so each guest has to end: it is first executed in software, in steps. What KVMs are known to do
 * otherwise (kvm_known.c) is replaced by NOPs, and where it has executed too many instructions, a HLT takes the place
 * of the next. That is repeated until nothing is replaced any more. Then it runs once more in software, and on KVM.
 *
 *   kvm_test --case N       one guest again (needs MH_SEED)
 *   kvm_test --count N      so many
 *   kvm_test --seconds N    none begins later
 *
 * Without a usable /dev/kvm it exits with 77, which counts as skipped.
 */
#include "abuse.h"
#include "both.h"
#include "kvm_known.h"
#include "kvm_side.h"

#include "accel/accel.h"
#include "kvm/kvm_probe.h"
#include "soft/soft.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GUESTS_IN_A_SHARE 1000u
#define SECONDS_OF_A_SHARE 60u
#define INSTRUCTIONS_MAX 3000u
#define INSTRUCTIONS_BEYOND 200u /* in which a handler comes to its end */
#define PASSES_MAX 12u
#define SKIPPED 77

#define HLT 0xf4
#define NOP 0x90

/* Places where a HLT ends the guest: the first instruction executed at each address of its code. */
struct places {
    unsigned count;
    uint64_t rip[INSTRUCTIONS_MAX + INSTRUCTIONS_BEYOND];
    bool is_there[GUEST_RAM_SIZE];
};

struct kvm_test {
    struct abuse abuse;
    struct mh_host *host;
    struct form forms[FORMS_MAX];
    unsigned form_count;
    struct kvm_side steps, soft, kvm;
    struct kvm_guest guest;
    time_t end; /* no guest begins later; CLOCK_MONOTONIC */
    pthread_t thread;
    bool is_emulator; /* this KVM executes ring 0 in its emulator */
    struct places places;
};

static struct kvm_test kvm_test;

#define TABLE_ENTRIES (GUEST_RAM_SIZE / PAGE_4K)

/* The page table of a guest's RAM. */
struct table {
    uint64_t entries[TABLE_ENTRIES];
};

/* ---- guests that end ---- */

/* Write `length` bytes of `value` over the guest's code, for the next time and for now. False: it is no code of it. */
static bool replace(struct kvm_test *test, uint64_t rip, size_t length, uint8_t value)
{
    struct kvm_side *side = &test->steps;
    if (rip >= GUEST_RAM_SIZE || length > GUEST_RAM_SIZE - rip)
        return false;
    memset(test->guest.image + rip, value, length);
    memset(side->ram.host + rip, value, length);
    side->cpu->ops->memory_changed(side->cpu, mh_gpa_of(rip), length);
    return true;
}

/* The instruction at rip, if it is the guest's own. Returns its length, or 0. */
static unsigned read_instruction(const struct kvm_side *side, struct mh_x86_general *general, struct soft_insn *insn)
{
    struct mh_x86_regs regs;
    side->cpu->ops->read_regs(side->cpu, MH_REGS_GENERAL, &regs, NULL);
    *general = regs.general;
    if (general->rip >= GUEST_RAM_SIZE - CPU_INSTRUCTION_MAX)
        return 0;
    return soft_decode(side->ram.host + general->rip, CPU_INSTRUCTION_MAX, insn);
}

/* Executes one instruction in software. */
static void step(struct kvm_side *side, struct cpu_exit *exit)
{
    const struct cpu_request request = {.mode = CPU_STEP, .report = CPU_REPORT_FAULTS};
    side->cpu->ops->run(side->cpu, &request, exit);
    if (kvm_side_serve(side, exit))
        side->cpu->ops->finish_io(side->cpu);
}

/* The page of the data whose page table entry is another one now than in *table, which is brought up to date. */
static bool page_changed(const struct kvm_side *side, struct table *table, uint64_t *page)
{
    struct table now;
    bool changed = false;
    memcpy(now.entries, ram_system_area(&side->ram) + BOOT_RAM_PT, sizeof now.entries);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        if (((now.entries[i] ^ table->entries[i]) & ~(uint64_t)(PAGING_ACCESSED | PAGING_DIRTY)) == 0)
            continue;
        changed = true;
        *page = i;
    }
    *table = now;
    return changed;
}

/* An instruction that a pass has executed. */
struct executed {
    struct mh_x86_general before;
    struct soft_insn insn;
    unsigned length; /* 0: it is not the guest's own */
    uint64_t page;   /* whose page table entry it has changed ... */
    bool changed;    /* ... if it has */
};

/*
 * Has the guest changed its code here? QEMU may execute in a nested guest what was there before, and twice what
 * changes itself; and how often a string instruction that overwrites itself is repeated is the processor's own affair.
 */
static bool is_other_code(const struct kvm_test *test, uint64_t rip, unsigned length)
{
    return length > 0 && memcmp(test->steps.ram.host + rip, test->guest.image + rip, length) != 0;
}

/* Executes one instruction of a pass, in the place of which there may be another then. */
static bool pass_step(struct kvm_test *test, struct executed *one, struct table *table, struct cpu_exit *exit)
{
    struct kvm_side *side = &test->steps;
    const struct executed last = *one;
    bool replaced = false;
    one->length = read_instruction(side, &one->before, &one->insn);
    const uint64_t rip = one->before.rip;
    if (is_other_code(test, rip, one->length))
        replaced |= replace(test, last.before.rip, 1, HLT);
    if (last.length > 0 && (one->before.rflags & MH_RFLAGS_TF) != 0) /* QEMU loses steps in nested guests */
        replaced |= replace(test, last.before.rip, last.length, NOP);
    if (last.changed && (one->length == 0 || !kvm_known_invalidates(&one->insn, &one->before, last.page)))
        replaced |= replace(test, last.before.rip, last.length, NOP);
    if (one->length > 0 &&
        kvm_known_instruction(&one->insn, side->ram.host + rip, &one->before, test->is_emulator) != NULL)
        replaced |= replace(test, rip, one->length, NOP);
    step(side, exit);
    if (one->length > 0 && kvm_known_result(&one->insn, &one->before, exit, test->is_emulator) != NULL)
        replaced |= replace(test, rip, one->length, NOP);
    if (is_other_code(test, rip, one->length))
        replaced |= replace(test, rip, one->length, NOP);
    one->changed = page_changed(side, table, &one->page);
    return replaced;
}

/* One pass. *replaced: the guest is another one now. False: it does not end. */
static bool pass(struct kvm_test *test, bool *replaced)
{
    struct executed one = {0};
    struct table table;
    struct cpu_exit exit = {0};
    uint64_t page, rip = 0;
    *replaced = false;
    if (!kvm_side_start(&test->steps, &test->guest))
        return false;
    page_changed(&test->steps, &table, &page);
    for (unsigned count = 0; count < INSTRUCTIONS_MAX + INSTRUCTIONS_BEYOND; count++) {
        test->steps.cpu->ops->rip_at_hand(test->steps.cpu, &rip);
        if (count >= INSTRUCTIONS_MAX)
            *replaced |= replace(test, rip, 1, HLT);
        *replaced |= pass_step(test, &one, &table, &exit);
        if (kvm_side_end_kind(&exit) != KVM_END_NONE)
            return true;
    }
    return false;
}

/* Changes the guest until it is one that ends, and does nothing on its way that KVMs are known to do otherwise. */
static bool prepare(struct kvm_test *test)
{
    bool replaced = true;
    for (unsigned passes = 0; passes < PASSES_MAX && replaced; passes++)
        if (!pass(test, &replaced) && !replaced)
            return false;
    return !replaced;
}

/* ---- comparing ---- */

/* Runs the guest in software and on KVM. True when both come to the same end. */
static bool compare(struct kvm_test *test, char *text, size_t size)
{
    struct kvm_end soft, kvm;
    uint64_t count = 0;
    if (!kvm_side_start(&test->soft, &test->guest) || !kvm_side_start(&test->kvm, &test->guest))
        return false;
    test->soft.cpu->ops->instructions(test->soft.cpu, &count);
    if (!kvm_side_run(&test->soft, count + INSTRUCTIONS_MAX + INSTRUCTIONS_BEYOND, &soft) ||
        !kvm_side_run(&test->kvm, UINT64_MAX, &kvm))
        return false;
    return kvm_sides_equal(&test->soft, &soft, &test->kvm, &kvm, text, size);
}

/* Does the run in software come to the same end as the steps did? */
static bool compare_steps(struct kvm_test *test, char *text, size_t size)
{
    struct kvm_end steps, soft;
    const struct cpu_exit none = {0};
    uint64_t count = 0;
    if (!kvm_side_end(&test->steps, KVM_END_HALT, &none, &steps) || !kvm_side_start(&test->soft, &test->guest))
        return false;
    test->soft.cpu->ops->instructions(test->soft.cpu, &count);
    if (!kvm_side_run(&test->soft, count + INSTRUCTIONS_MAX + INSTRUCTIONS_BEYOND, &soft))
        return false;
    steps.kind = soft.kind;
    return kvm_sides_equal(&test->steps, &steps, &test->soft, &soft, text, size);
}

/* ---- what a difference is due to ---- */

static void find_places(struct kvm_test *test, struct places *places)
{
    struct cpu_exit exit = {0};
    memset(places, 0, sizeof *places);
    if (!kvm_side_start(&test->steps, &test->guest))
        return;
    for (unsigned i = 0; i < INSTRUCTIONS_MAX + INSTRUCTIONS_BEYOND; i++) {
        uint64_t rip = 0;
        test->steps.cpu->ops->rip_at_hand(test->steps.cpu, &rip);
        if (rip < GUEST_RAM_SIZE && !places->is_there[rip]) {
            places->is_there[rip] = true;
            places->rip[places->count++] = rip;
        }
        step(&test->steps, &exit);
        if (kvm_side_end_kind(&exit) != KVM_END_NONE)
            return;
    }
}

/* The index of the last place up to which both agree; *text says how they differ at the next. */
static unsigned find_last_equal(struct kvm_test *test, const struct places *places, char *text, size_t size)
{
    unsigned equal = 0, different = places->count;
    char last[512];
    while (different - equal > 1) {
        const unsigned middle = (equal + different) / 2;
        uint8_t *byte = &test->guest.image[places->rip[middle]];
        const uint8_t was = *byte;
        *byte = HLT;
        if (compare(test, last, sizeof last)) {
            equal = middle;
        } else {
            different = middle;
            snprintf(text, size, "%s", last);
        }
        *byte = was;
    }
    return equal;
}

static void print_code(const struct kvm_test *test, const char *what, uint64_t rip)
{
    printf("  %s %" PRIx64 ": ", what, rip);
    if (rip < GUEST_RAM_SIZE - CPU_INSTRUCTION_MAX)
        both_print_code(test->guest.image + rip, CPU_INSTRUCTION_MAX, rip);
    else
        printf("\n");
}

static void print_exception_code(const struct kvm_test *test, const char *what, const struct kvm_side *side,
                                 unsigned index)
{
    unsigned count;
    const struct guest_exception *log = kvm_side_log(side, &count);
    if (index < count)
        print_code(test, what, log[index].rip);
}

static void report(struct kvm_test *test, uint64_t number, const char *text)
{
    const struct places *places = &test->places;
    const unsigned first = kvm_sides_first_exception(&test->soft, &test->kvm);
    printf("MH_SEED=%" PRIu64 " kvm_test --case %" PRIu64 ": soft, kvm: %s\n", test->abuse.seed, number, text);
    print_exception_code(test, "in software at", &test->soft, first);
    print_exception_code(test, "on KVM at", &test->kvm, first);
    find_places(test, &test->places);
    if (places->count > 0) {
        char first_text[512] = "";
        const unsigned equal = find_last_equal(test, places, first_text, sizeof first_text);
        print_code(test, "they agree until", places->rip[equal]);
        if (equal + 1 < places->count) {
            print_code(test, "but not until", places->rip[equal + 1]);
            printf("  there: %s\n", first_text);
        }
    }
    fflush(stdout);
}

/* ---- all of them ---- */

static bool side_create(struct kvm_side *side, const char *name, struct mh_host *host, const struct x86_cpuid *cpuid,
                        const struct mh_cpu_state *boot)
{
    struct mh_error err;
    side->name = name;
    enum mh_status status = ram_create(&side->ram, GUEST_RAM_SIZE, &err);
    if (status == MH_OK && host == NULL)
        status = soft_cpu_create(&side->ram, cpuid, boot, &side->cpu, &err);
    else if (status == MH_OK)
        status = accel_create_cpu(host, &side->ram, boot, &side->cpu, &err);
    if (status != MH_OK)
        printf("%s: %s\n", name, err.text);
    return status == MH_OK;
}

/* An INT3 there is an internal error to KVMs whose emulator meets it. */
static bool probe(struct kvm_test *test)
{
    struct kvm_host *host = NULL;
    struct kvm_quirks quirks = {0};
    struct mh_error err;
    enum mh_status status = accel_prepare(test->host, &err);
    if (status == MH_OK)
        status = kvm_host_open(&host, &err);
    if (status == MH_OK)
        status = kvm_probe(host, accel_cpuid(test->host), &quirks, &err);
    kvm_host_close(host);
    if (status != MH_OK)
        printf("%s\n", err.text);
    test->is_emulator = quirks.int3_in_ring_0 == KVM_INT3_ERROR;
    return status == MH_OK;
}

static bool create_sides(struct kvm_test *test)
{
    if (!probe(test))
        return false;
    test->guest.for_emulator = test->is_emulator;
    const struct x86_cpuid *cpuid = accel_cpuid(test->host);
    struct chance chance = chance_of(0, 0);
    kvm_guest_make(&chance, test->forms, test->form_count, cpuid, &test->guest);
    return side_create(&test->steps, "steps", NULL, cpuid, &test->guest.boot) &&
           side_create(&test->soft, "soft", NULL, cpuid, &test->guest.boot) &&
           side_create(&test->kvm, "kvm", test->host, cpuid, &test->guest.boot);
}

/* Ends what runs too long, a second at a time. */
static void on_tick(union sigval value)
{
    struct kvm_test *test = value.sival_ptr;
    test->kvm.cpu->ops->kick(test->kvm.cpu);
    pthread_kill(test->thread, MH_KICK_SIGNAL);
}

static bool start_ticks(struct kvm_test *test)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_tick};
    const struct itimerspec every = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
    timer_t timer;
    event.sigev_value.sival_ptr = test;
    test->thread = pthread_self();
    accel_install_signals();
    return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0;
}

static bool is_late(const struct kvm_test *test)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec >= test->end;
}

static void try_guest(struct kvm_test *test, struct shared *shared)
{
    char text[512] = "it cannot be run";
    const char *name = NULL;
    uint64_t moves_before, moves;
    struct chance chance = chance_of(test->abuse.seed, shared->current);
    kvm_guest_make(&chance, test->forms, test->form_count, accel_cpuid(test->host), &test->guest);
    if (!prepare(test)) {
        shared->skipped[0]++;
        return;
    }
    shared->done++;
    test->kvm.cpu->ops->current(test->kvm.cpu, &moves_before);
    const bool steps_equal = compare_steps(test, text, sizeof text);
    const bool equal = steps_equal && compare(test, text, sizeof text);
    name = test->kvm.cpu->ops->current(test->kvm.cpu, &moves);
    shared->skipped[1] += strcmp(name, "kvm") == 0;
    if (equal)
        return;
    shared->differences++;
    if (!steps_equal)
        printf("in steps, in one run: ");
    report(test, shared->current, text);
}

static void work(void *context, struct shared *shared)
{
    struct kvm_test *test = context;
    if (!create_sides(test) || !start_ticks(test))
        exit(1);
    for (; shared->current < shared->end && !is_late(test); shared->current++)
        try_guest(test, shared);
    shared->end = shared->current;
}

static void parse(struct kvm_test *test, struct shared *shared, int argc, char **argv)
{
    struct timespec now;
    uint64_t seconds = (uint64_t)SECONDS_OF_A_SHARE * test->abuse.factor;
    clock_gettime(CLOCK_MONOTONIC, &now);
    shared->end = (uint64_t)GUESTS_IN_A_SHARE * test->abuse.factor;
    for (int i = 1; i + 1 < argc; i += 2) {
        const uint64_t number = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--case") == 0) {
            shared->current = number;
            shared->end = number + 1;
        } else if (strcmp(argv[i], "--count") == 0) {
            shared->end = number;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            seconds = number;
        }
    }
    test->end = now.tv_sec + (time_t)seconds;
}

int main(int argc, char **argv)
{
    struct kvm_test *test = &kvm_test;
    struct mh_error err;
    if (mh_host_open(MH_ACCEL_KVM, &test->host, &err) != MH_OK) {
        printf("SKIP: the whole file: %s\n", err.text);
        return SKIPPED;
    }
    abuse_begin(&test->abuse);
    test->form_count = forms_all(test->forms);
    struct shared *shared = both_shared();
    parse(test, shared, argc, argv);
    both_in_children(shared, work, test);
    mh_host_close(test->host);
    printf("%" PRIu64 " guests, %" PRIu64 " of them wholly on KVM, %" PRIu64 " left out, %" PRIu64 " differences\n",
           shared->done, shared->skipped[1], shared->skipped[0], shared->differences);
    abuse_done((unsigned long)shared->done, "random guests with the same end in software and on KVM");
    return shared->differences != 0;
}
