/*
 * Every instruction form, with random and edge-case operands, on the host and on the software processor.
 *
 *   host_test                      MH_SEED and MH_ABUSE_FACTOR as in tests/support/abuse.h
 *   host_test --case N             one case again, with all it starts with (needs MH_SEED)
 *   host_test --only MAP OPCODE    only this opcode (MAP 0 to 3; OPCODE in hexadecimal)
 *   host_test --count N            so many cases
 *
 * A first pass finds out which forms are instructions on this host. They get most of the cases; the rest, which both
 * sides have to refuse, get a few.
 */
#include "abuse.h"
#include "both.h"
#include "cases.h"
#include "known.h"
#include "probe_forms.h"
#include "skipped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES_IN_A_SHARE 600000u
#define INVALID_PERCENT 5u
#define PRINTED_OF_A_FORM 1u
#define INSTRUCTIONS_MAX 100000u

struct host_test {
    struct abuse abuse;
    uint64_t count;
    bool single, only;
    uint64_t which;
    struct form form;
    struct form forms[FORMS_MAX];
    struct probe probes[FORMS_MAX];
    unsigned form_count;
    /* indices into forms; some stand there several times */
    uint16_t valid[FORMS_MAX * 4], invalid[FORMS_MAX];
    unsigned valid_count, invalid_count;
    struct both both;
    struct test_case test;
};

static struct host_test host_test; /* too large for the stack */

/* How often a valid form stands in the list: what ModRM.reg makes eight instructions of counts more. */
static unsigned weight(const struct form *form)
{
    static const uint8_t groups[] = {0x80, 0x81, 0x83, 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6,
                                     0xf7, 0xff, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf};
    if (form->vex)
        return 1;
    if (form->map == FORM_ONE_BYTE)
        return memchr(groups, form->opcode, sizeof groups) != NULL ? 12 : 2;
    return form->map == FORM_0F && (form->opcode == 0xae || form->opcode == 0xba) ? 4 : 1;
}

static void sort_forms(struct host_test *test)
{
    probe_forms(&test->both, test->forms, test->form_count, &test->test, test->probes);
    test->valid_count = test->invalid_count = 0;
    for (unsigned i = 0; i < test->form_count; i++) {
        const struct form *form = &test->forms[i];
        if (test->probes[i].defined == 0) {
            test->invalid[test->invalid_count++] = (uint16_t)i;
            continue;
        }
        for (unsigned n = weight(form); n > 0; n--)
            test->valid[test->valid_count++] = (uint16_t)i;
    }
}

static unsigned chosen_forms(struct host_test *test)
{
    unsigned count = forms_all(test->forms), chosen = 0;
    for (unsigned i = 0; i < count; i++)
        if (!test->only || (test->forms[i].map == test->form.map && test->forms[i].opcode == test->form.opcode))
            test->forms[chosen++] = test->forms[i];
    return chosen;
}

static unsigned choose_form(struct host_test *test, struct chance *chance)
{
    bool invalid = chance_percent(chance, INVALID_PERCENT);
    if (test->valid_count == 0 || (invalid && test->invalid_count != 0))
        return test->invalid[chance_below(chance, test->invalid_count)];
    return test->valid[chance_below(chance, test->valid_count)];
}

static void print_case(struct host_test *test, uint64_t number)
{
    const struct encoding *encoding = &test->test.encoding;
    printf("MH_SEED=%" PRIu64 " host_test --case %" PRIu64 "%s: ", test->abuse.seed, number,
           test->only ? " --only ..." : "");
    both_print_code(encoding->bytes, encoding->length, test->test.start.rip);
    both_print(&test->both);
    fflush(stdout);
}

static void run_case(struct host_test *test, struct shared *shared, uint64_t number)
{
    struct both *both = &test->both;
    struct chance chance = chance_of(test->abuse.seed, number);
    unsigned form = choose_form(test, &chance);
    case_make(&chance, &test->forms[form], &test->test);
    int skipped = skipped_row(&both->soft, &test->test.encoding);
    if (skipped >= 0) {
        shared->skipped[skipped]++;
        return;
    }
    both_set_code(both, test->test.at, test->test.encoding.bytes, test->test.encoding.length);
    both->start = test->test.start;
    memcpy(both->data, test->test.data, AREA_DATA_SIZE);
    bool equal = both_run(both, INSTRUCTIONS_MAX, known_of(&test->test.encoding));
    if (!equal && soft_side_is_unsupported(&both->soft_end)) {
        shared->unsupported++;
        return;
    }
    shared->done++;
    if (!equal) {
        shared->differences++;
        if (shared->of_form[form]++ < PRINTED_OF_A_FORM)
            print_case(test, number);
    } else if (test->single) {
        print_case(test, number);
    }
}

static void work(void *context, struct shared *shared)
{
    struct host_test *test = context;
    if (!both_create(&test->both))
        _Exit(1);
    sort_forms(test);
    for (; shared->current < shared->end; shared->current++)
        run_case(test, shared, shared->current);
    soft_side_destroy(&test->both.soft);
}

static void read_arguments(struct host_test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
            test->single = true;
            test->which = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc) {
            test->count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && i + 2 < argc) {
            test->only = true;
            test->form.map = (uint8_t)strtoul(argv[++i], NULL, 10);
            test->form.opcode = (uint8_t)strtoul(argv[++i], NULL, 16);
        } else {
            fprintf(stderr, "unexpected argument '%s'\n", argv[i]);
            exit(2);
        }
    }
}

static void print_skipped(const struct shared *shared)
{
    for (unsigned row = 0; row < skipped_rows(); row++) {
        uint64_t count = shared->skipped[row];
        bool first = row == 0 || strcmp(skipped_name(row), skipped_name(row - 1)) != 0;
        for (unsigned next = row + 1; next < skipped_rows() && first; next++)
            if (strcmp(skipped_name(row), skipped_name(next)) == 0)
                count += shared->skipped[next];
        if (count != 0 && first)
            printf("skipped %8" PRIu64 "  %s\n", count, skipped_name(row));
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct host_test *test = &host_test;
    read_arguments(test, argc, argv);
    abuse_begin(&test->abuse);
    test->form_count = chosen_forms(test);
    struct shared *shared = both_shared();
    shared->current = test->single ? test->which : 0;
    shared->end = test->single       ? test->which + 1
                  : test->count != 0 ? test->count
                                     : (uint64_t)CASES_IN_A_SHARE * test->abuse.factor;
    double start = now();
    both_in_children(shared, work, test);
    double seconds = now() - start;
    print_skipped(shared);
    if (shared->unsupported != 0)
        printf("skipped %8" PRIu64 "  branches to 32-bit code (compatibility mode)\n", shared->unsupported);
    printf("%" PRIu64 " cases in %.1f s, %.0f a second; %" PRIu64 " differences\n", shared->done, seconds,
           (double)shared->done / seconds, shared->differences);
    abuse_done((unsigned long)shared->done, "instructions compared with the host");
    return shared->differences != 0;
}
