/*
 * The decoder against binutils and against the host.
 *
 * Every form of every opcode map, with several prefixes and addressing forms, stands in a slot of its own in one file,
 * which objdump disassembles at once; what does not fill its slot is NOPs. Where objdump and the decoder agree that it
 * is an instruction, the length has to be the same. Where they disagree whether it is one, the host decides, which
 * executes it. What is skipped there has a row in skipped.c.
 *
 *   decoder_test            MH_SEED and MH_ABUSE_FACTOR as in tests/support/abuse.h
 */
#include "abuse.h"
#include "both.h"
#include "cases.h"
#include "skipped.h"

#include "soft/soft_handlers.h"

#include <cpuid.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT 32u
#define SAMPLES_OF_A_FORM 4u
#define NOP 0x90
#define SKIP 77
#define PRINTED_MAX 40u
#define VECTOR_UNDEFINED 6
#define INSTRUCTIONS_MAX 1000u
#define LINE_MAX_LENGTH 512

struct sample {
    struct encoding encoding;
    uint8_t decoded_length; /* 0: no instruction */
    uint8_t objdump_length; /* 0: "(bad)" */
};

struct decoder_test {
    struct abuse abuse;
    struct form forms[FORMS_MAX];
    struct sample *samples;
    unsigned count;
    struct both both;
    struct test_case test;
};

static struct decoder_test decoder_test;

static void make_samples(struct decoder_test *test)
{
    unsigned forms = forms_all(test->forms);
    unsigned each = SAMPLES_OF_A_FORM * test->abuse.factor;
    struct chance chance = chance_of(test->abuse.seed, 0);
    test->samples = calloc((size_t)forms * each, sizeof *test->samples);
    if (test->samples == NULL)
        exit(1);
    for (unsigned i = 0; i < forms * each; i++)
        encoding_make(&chance, &test->forms[i / each], 0, &test->samples[test->count++].encoding);
}

/* ---- the decoder ---- */

static void decode(struct sample *sample)
{
    uint8_t bytes[SLOT];
    struct soft_insn insn;
    memset(bytes, NOP, sizeof bytes);
    memcpy(bytes, sample->encoding.bytes, sample->encoding.length);
    unsigned length = soft_decode(bytes, CPU_INSTRUCTION_MAX, &insn);
    sample->decoded_length = insn.run == soft_op_ud ? 0 : (uint8_t)length;
}

/* ---- objdump ---- */

static bool write_file(const struct decoder_test *test, const char *name)
{
    FILE *file = fopen(name, "wb");
    if (file == NULL)
        return false;
    for (unsigned i = 0; i < test->count; i++) {
        uint8_t bytes[SLOT];
        memset(bytes, NOP, sizeof bytes);
        memcpy(bytes, test->samples[i].encoding.bytes, test->samples[i].encoding.length);
        fwrite(bytes, 1, sizeof bytes, file);
    }
    return fclose(file) == 0;
}

/* A line of objdump: "  address:\tbytes \tinstruction". Prefixes that belong to nothing stand on lines of their own. */
static void take_line(struct decoder_test *test, const char *line)
{
    char *end;
    uint64_t address = strtoull(line, &end, 16);
    if (end == line || *end != ':' || address % SLOT != 0 || address / SLOT >= test->count)
        return;
    const char *bytes = end + 1, *text = strchr(bytes + 1, '\t');
    struct sample *sample = &test->samples[address / SLOT];
    unsigned length = 0;
    for (const char *at = bytes + 1; text != NULL && at + 2 < text && *at != ' '; at += 3)
        length++;
    sample->objdump_length =
        text == NULL || strstr(text, "(bad)") != NULL || strstr(text, ".byte") != NULL ? 0 : (uint8_t)length;
}

/* 66 makes near branches of AMD's 16 bits long, of Intel's not. */
static bool is_intel(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    __cpuid(0, eax, ebx, ecx, edx);
    return ebx == signature_INTEL_ebx;
}

static bool disassemble(struct decoder_test *test)
{
    char name[] = "/tmp/decoder_test-XXXXXX", command[128], line[LINE_MAX_LENGTH];
    int file = mkstemp(name);
    if (file < 0 || !write_file(test, name))
        return false;
    close(file);
    snprintf(command, sizeof command, "objdump -D -z -w --insn-width=15 -b binary -m i386:x86-64 -M %s %s",
             is_intel() ? "intel64" : "amd64", name);
    FILE *pipe = popen(command, "r");
    while (pipe != NULL && fgets(line, sizeof line, pipe) != NULL)
        take_line(test, line);
    unlink(name);
    return pipe != NULL && pclose(pipe) == 0;
}

/* ---- the host ---- */

/* Do both processors execute it, or neither? */
static bool processors_agree(struct decoder_test *test, const struct sample *sample)
{
    static const struct form nop = {.opcode = NOP};
    struct chance chance = chance_of(0, 0);
    struct both *both = &test->both;
    case_make(&chance, &nop, &test->test);
    both->start = test->test.start;
    both->start.rip = AREA_CODE + 0x800;
    memcpy(both->data, test->test.data, AREA_DATA_SIZE);
    both_set_code(both, 0x800, sample->encoding.bytes, sample->encoding.length);
    both_run(both, INSTRUCTIONS_MAX, 0);
    return (both->native_end.vector == VECTOR_UNDEFINED) == (both->soft_end.vector == VECTOR_UNDEFINED);
}

static void print_sample(const struct sample *sample, const char *what)
{
    printf("%s: decoder %u objdump %u bytes: ", what, sample->decoded_length, sample->objdump_length);
    both_print_code(sample->encoding.bytes, sample->encoding.length, 0);
    fflush(stdout);
}

/* What objdump gets wrong. */
static bool objdump_is_wrong(const struct encoding *encoding)
{
    /* prints prefixes of FWAIT as an instruction of their own, because FWAIT may be part of the next one (FINIT) */
    return encoding->form.map == FORM_ONE_BYTE && encoding->form.opcode == 0x9b;
}

static void check_sample(struct decoder_test *test, struct shared *shared, const struct sample *sample)
{
    int skipped = skipped_row(&test->both.soft, &sample->encoding);
    const char *what = NULL;
    if (skipped >= 0) {
        shared->skipped[skipped]++;
        return;
    }
    shared->done++;
    if (sample->decoded_length != 0 && sample->objdump_length != 0) {
        if (sample->decoded_length != sample->objdump_length && !objdump_is_wrong(&sample->encoding))
            what = "length";
    } else if (sample->decoded_length != sample->objdump_length) {
        shared->of_form[0]++;
        if (!processors_agree(test, sample))
            what = test->both.native_end.vector != VECTOR_UNDEFINED ? "an instruction of the host's"
                                                                    : "no instruction of the host's";
    }
    if (what == NULL)
        return;
    if (shared->differences++ < PRINTED_MAX)
        print_sample(sample, what);
}

static void work(void *context, struct shared *shared)
{
    struct decoder_test *test = context;
    if (!both_create(&test->both))
        _Exit(1);
    for (; shared->current < shared->end; shared->current++)
        check_sample(test, shared, &test->samples[shared->current]);
    soft_side_destroy(&test->both.soft);
}

int main(void)
{
    struct decoder_test *test = &decoder_test;
    abuse_begin(&test->abuse);
    make_samples(test);
    for (unsigned i = 0; i < test->count; i++)
        decode(&test->samples[i]);
    if (!disassemble(test)) {
        printf("cannot run objdump (binutils)\n");
        return SKIP;
    }
    struct shared *shared = both_shared();
    shared->end = test->count;
    both_in_children(shared, work, test);
    printf("%" PRIu64 " encodings; of %u the host had to say whether they are instructions; %" PRIu64 " differences\n",
           shared->done, shared->of_form[0], shared->differences);
    abuse_done((unsigned long)shared->done, "encodings compared with objdump");
    return shared->differences != 0;
}
