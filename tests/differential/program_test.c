/*
 * Short random programs, in ring 3, on the host and on the software processor: instructions in a row, branches forward,
 * loops, calls, and stores into code that runs later or is running. What one instruction alone cannot show is found
 * here: flags left for a later instruction, blocks of decoded code, code that changes.
 *
 * R14 counts loops and RSP is the stack pointer; no other instruction writes them. Where an instruction uses an
 * address, the registers are loaded before it. Exceptions end a program; most programs come to their INT3.
 */
#include "abuse.h"
#include "both.h"
#include "cases.h"
#include "probe_forms.h"
#include "skipped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAMS_IN_A_SHARE 10000u
#define CODE_START 0x100u
#define CODE_END 0xf00u
#define SUBROUTINES 0x1000u
#define SUBROUTINE_COUNT 4u
#define SUBROUTINE_SIZE 0x400u
#define BORDER (AREA_DATA + 0x2000)
#define INSTRUCTIONS_MAX 1000000u
#define PRINTED_MAX 10u
#define REPAIRS_MAX 30u
#define REPAIRED_PERCENT 85u

struct program_test {
    struct abuse abuse;
    uint64_t count;
    bool single;
    uint64_t which;
    struct form forms[FORMS_MAX];
    struct probe probes[FORMS_MAX];
    uint16_t usable[FORMS_MAX];
    unsigned usable_count;
    struct both both;
    struct test_case test;
};

static struct program_test program_test;

/* The program being written. */
struct writer {
    struct program_test *test;
    struct chance *chance;
    uint8_t code[AREA_CODE_SIZE];
    unsigned at;
    unsigned changeable[32]; /* offsets of one-byte instructions that another may be stored over */
    unsigned changeable_count;
    uint8_t length_at[AREA_CODE_SIZE]; /* of the random instruction that begins there */
};

static void emit(struct writer *writer, const void *bytes, unsigned length)
{
    memcpy(writer->code + writer->at, bytes, length);
    writer->at += length;
}

static void emit_byte(struct writer *writer, unsigned byte)
{
    writer->code[writer->at++] = (uint8_t)byte;
}

static void patch32(struct writer *writer, unsigned at, unsigned target)
{
    uint32_t displacement = target - (at + 4);
    memcpy(writer->code + at, &displacement, sizeof displacement);
}

/* mov $value, %reg */
static void emit_load(struct writer *writer, unsigned reg, uint64_t value)
{
    emit_byte(writer, reg < 8 ? 0x48 : 0x49);
    emit_byte(writer, 0xb8 | (reg & 7));
    emit(writer, &value, sizeof value);
}

static bool is_reserved(unsigned reg)
{
    return reg == MH_RSP || reg == MH_R14;
}

/* One-byte opcodes that leave the program, change RSP or TF, or cannot be used in ring 3. */
static bool is_control(const struct form *form)
{
    static const uint8_t opcodes[] = {0x5c, 0x8e, 0x8f, 0x9d, 0xc2, 0xc3, 0xc8, 0xc9,
                                      0xca, 0xcb, 0xcc, 0xcd, 0xcf, 0xf1, 0xff, 0xd7};
    if (form->map == FORM_0F && !form->vex)
        return (form->opcode & 0xf0) == 0x80 || form->opcode == 0xae || form->opcode < 4 || form->opcode == 0xf7 ||
               form->opcode == 0xa1 || form->opcode == 0xa9;
    if (form->map != FORM_ONE_BYTE)
        return false;
    return memchr(opcodes, form->opcode, sizeof opcodes) != NULL || (form->opcode & 0xf0) == 0x70 ||
           (form->opcode & 0xf0) == 0xe0;
}

static bool is_string(const struct encoding *encoding)
{
    uint8_t opcode = encoding->form.opcode;
    return encoding->form.map == FORM_ONE_BYTE && opcode >= 0xa4 && opcode <= 0xaf && (opcode & 0xfe) != 0xa8;
}

static bool is_usable(const struct encoding *encoding)
{
    const struct form *form = &encoding->form;
    if (form->vex && encoding->has_memory && form->map == FORM_0F38 && form->opcode >= 0x90 && form->opcode <= 0x93)
        return false; /* gathers: the vector would have to be loaded */
    if (encoding->segment != MH_DS || encoding->short_address)
        return false;
    if (encoding->has_modrm && (is_reserved(encoding->reg) || (!encoding->has_memory && is_reserved(encoding->rm))))
        return false;
    if (!encoding->has_modrm && is_reserved(encoding->rm))
        return false;
    if (form->map == FORM_ONE_BYTE && (form->opcode & 0xfc) == 0xa0)
        return false;
    if (encoding->has_memory && (is_reserved(encoding->base) || encoding->index == MH_R14 ||
                                 (encoding->base == encoding->index && encoding->base != NO_REGISTER)))
        return false;
    return !(form->map == FORM_ONE_BYTE && (form->opcode & 0xfe) == 0xf6 && (encoding->modrm >> 3 & 6) == 6);
}

static uint64_t some_place(struct chance *chance)
{
    uint64_t place = BORDER - 256 + chance_below(chance, 512);
    return chance_percent(chance, 50) ? place & ~31ull : place;
}

static void load_address(struct writer *writer, struct encoding *encoding)
{
    uint64_t place = some_place(writer->chance);
    if (encoding->base == NO_REGISTER && encoding->index == NO_REGISTER) {
        if (encoding->rip_relative)
            place -= AREA_CODE + writer->at + encoding->length;
        encoding_set_displacement(encoding, (int32_t)place);
        return;
    }
    if (encoding->displacement_size == 4)
        encoding_set_displacement(encoding, (int32_t)chance_below(writer->chance, 0x1000));
    place -= (uint64_t)(int64_t)encoding->displacement;
    if (encoding->index != NO_REGISTER) {
        uint64_t index = encoding->base == NO_REGISTER ? place >> encoding->scale : chance_below(writer->chance, 64);
        emit_load(writer, encoding->index, index);
        place -= index << encoding->scale;
    }
    if (encoding->base != NO_REGISTER)
        emit_load(writer, encoding->base, place);
}

static void emit_random(struct writer *writer)
{
    struct program_test *test = writer->test;
    for (unsigned attempt = 0; attempt < 20; attempt++) {
        struct encoding encoding;
        const struct form *form = &test->forms[test->usable[chance_below(writer->chance, test->usable_count)]];
        encoding_make(writer->chance, form, ENCODING_LIKELY, &encoding);
        if (!is_usable(&encoding) || skipped_row(&test->both.soft, &encoding) >= 0)
            continue;
        if (is_string(&encoding)) {
            emit_load(writer, MH_RSI, some_place(writer->chance));
            emit_load(writer, MH_RDI, some_place(writer->chance));
            if (encoding.rep)
                emit_load(writer, MH_RCX, chance_below(writer->chance, 20));
        }
        if (encoding.has_memory)
            load_address(writer, &encoding);
        writer->length_at[writer->at] = (uint8_t)encoding.length;
        emit(writer, encoding.bytes, encoding.length);
        return;
    }
}

static unsigned harmless(struct chance *chance)
{
    static const uint8_t opcodes[] = {0x90, 0xf5, 0xf8, 0xf9, 0xfc, 0x98, 0x99, 0x9e, 0x9f};
    return opcodes[chance_below(chance, sizeof opcodes)];
}

static void emit_changeable(struct writer *writer)
{
    if (writer->changeable_count < sizeof writer->changeable / sizeof writer->changeable[0])
        writer->changeable[writer->changeable_count++] = writer->at;
    emit_byte(writer, harmless(writer->chance));
}

/* movb $opcode, changeable(%rip): of an instruction written before, which a loop or a call may lead to again */
static void emit_change(struct writer *writer)
{
    if (writer->changeable_count == 0)
        return;
    unsigned target = writer->changeable[chance_below(writer->chance, writer->changeable_count)];
    emit(writer, "\xc6\x05", 2);
    uint32_t displacement = target - (writer->at + 5);
    emit(writer, &displacement, sizeof displacement);
    emit_byte(writer, harmless(writer->chance));
}

static unsigned some_register(struct chance *chance, unsigned other_than)
{
    for (;;) {
        const unsigned reg = (unsigned)chance_below(chance, MH_GPR_COUNT);
        if (!is_reserved(reg) && reg != other_than && reg != MH_R12) /* r12 as a base needs more bytes */
            return reg;
    }
}

/* An instruction with REX.W, a register and memory at a base and 8 bits, which repair() may take away. */
static void emit_based(struct writer *writer, unsigned opcode, unsigned reg, unsigned base)
{
    const unsigned start = writer->at;
    emit_byte(writer, 0x48 | (reg >= 8 ? 4 : 0) | (base >= 8 ? 1 : 0));
    emit_byte(writer, opcode);
    emit_byte(writer, 0x40 | (reg & 7) << 3 | (base & 7));
    emit_byte(writer, (unsigned)chance_below(writer->chance, 64) * 4);
    writer->length_at[start] = (uint8_t)(writer->at - start);
}

/* mov %reg, -n(%rsp) */
static void emit_below_stack(struct writer *writer, unsigned reg)
{
    emit_byte(writer, reg < 8 ? 0x48 : 0x4c);
    emit_byte(writer, 0x89);
    emit_byte(writer, 0x44 | (reg & 7) << 3);
    emit_byte(writer, 0x24);
    emit_byte(writer, 0x80 + (unsigned)chance_below(writer->chance, 15) * 8);
}

static void emit_push_or_pop(struct writer *writer, unsigned opcode, unsigned reg)
{
    if (reg >= 8)
        emit_byte(writer, 0x41);
    emit_byte(writer, opcode | (reg & 7));
}

/* Accesses with one base, and to the stack, as functions have them: they are near each other, and the base moves. */
static void emit_group(struct writer *writer)
{
    static const uint8_t opcodes[] = {0x8b, 0x89, 0x01, 0x3b, 0x38, 0x2a, 0x33, 0x8a};
    const unsigned base = some_register(writer->chance, MH_RSP);
    unsigned depth = 0;
    emit_load(writer, base, some_place(writer->chance));
    for (uint64_t n = chance_below(writer->chance, 10) + 2; n > 0; n--) {
        const unsigned reg = some_register(writer->chance, base);
        const uint64_t kind = chance_below(writer->chance, 12);
        if (kind < 7) {
            emit_based(writer, opcodes[chance_below(writer->chance, sizeof opcodes)], reg, base);
        } else if (kind == 7) { /* add $8, %base */
            emit_byte(writer, base < 8 ? 0x48 : 0x49);
            emit_byte(writer, 0x83);
            emit_byte(writer, 0xc0 | (base & 7));
            emit_byte(writer, 8);
        } else if (kind < 10 || depth == 0) {
            emit_push_or_pop(writer, 0x50, reg);
            depth++;
        } else if (kind == 10) {
            emit_push_or_pop(writer, 0x58, reg);
            depth--;
        } else {
            emit_below_stack(writer, reg);
        }
    }
    for (; depth > 0; depth--)
        emit_push_or_pop(writer, 0x58, some_register(writer->chance, base));
}

static void emit_some(struct writer *writer)
{
    for (uint64_t n = chance_below(writer->chance, 6) + 1; n > 0; n--) {
        uint64_t kind = chance_below(writer->chance, 20);
        if (kind == 0)
            emit_changeable(writer);
        else if (kind == 1)
            emit_change(writer);
        else if (kind < 5)
            emit_group(writer);
        else
            emit_random(writer);
    }
}

static void emit_branch(struct writer *writer)
{
    emit_byte(writer, 0x0f);
    emit_byte(writer, 0x80 | (unsigned)chance_below(writer->chance, 16));
    unsigned at = writer->at;
    writer->at += 4;
    emit_some(writer);
    patch32(writer, at, writer->at);
}

static void emit_call(struct writer *writer)
{
    emit_byte(writer, 0xe8);
    writer->at += 4;
    patch32(writer, writer->at - 4,
            SUBROUTINES + (unsigned)chance_below(writer->chance, SUBROUTINE_COUNT) * SUBROUTINE_SIZE);
}

static void emit_loop(struct writer *writer)
{
    emit(writer, "\x41\xbe", 2); /* mov $n, %r14d */
    uint32_t count = (uint32_t)chance_below(writer->chance, 6) + 1;
    emit(writer, &count, sizeof count);
    unsigned top = writer->at;
    emit_some(writer);
    if (chance_percent(writer->chance, 30))
        emit_branch(writer);
    if (chance_percent(writer->chance, 30))
        emit_call(writer);
    emit(writer, "\x41\xff\xce\x0f\x85", 5); /* dec %r14d; jnz top */
    writer->at += 4;
    patch32(writer, writer->at - 4, top);
}

static void write_program(struct writer *writer)
{
    for (unsigned i = 0; i < SUBROUTINE_COUNT; i++) {
        writer->at = SUBROUTINES + i * SUBROUTINE_SIZE;
        emit_some(writer);
        emit_byte(writer, 0xc3);
    }
    writer->at = CODE_START;
    uint64_t parts = chance_below(writer->chance, 8) + 2;
    for (; parts > 0 && writer->at < CODE_END - 0x600; parts--) {
        uint64_t kind = chance_below(writer->chance, 8);
        if (kind < 3)
            emit_some(writer);
        else if (kind < 5)
            emit_branch(writer);
        else if (kind < 7)
            emit_loop(writer);
        else
            emit_call(writer);
    }
}

static void mask_exceptions(struct start *start)
{
    start->xsave[0] |= 0x3f;
    start->xsave[2] &= 0x7f;
    start->xsave[3] &= 0x7f;
    start->xsave[24] |= 0x80;
    start->xsave[25] |= 0x1f;
}

/*
 * Most programs would end early, with an instruction that is none, or not aligned as it has to be. Replace such
 * instructions by NOPs while the program is run on the host alone.
 */
static void repair(struct writer *writer, struct both *both)
{
    for (unsigned attempt = 0; attempt < REPAIRS_MAX; attempt++) {
        both_set_code(both, 0, writer->code, sizeof writer->code);
        memcpy(native_data(), both->data, AREA_DATA_SIZE);
        native_run(&both->start, &both->native_end);
        uint64_t at = both->native_end.rip - AREA_CODE;
        if (both->native_end.vector == 3 || at >= AREA_CODE_SIZE || writer->length_at[at] == 0)
            return;
        memset(writer->code + at, 0x90, writer->length_at[at]);
        writer->length_at[at] = 0;
    }
}

static void run_program(struct program_test *test, struct shared *shared, uint64_t number)
{
    static const struct form nop = {.opcode = 0x90};
    struct chance chance = chance_of(test->abuse.seed, number);
    static struct writer writer;
    case_make(&chance, &nop, &test->test); /* for registers and memory */
    writer.test = test;
    writer.chance = &chance;
    writer.changeable_count = 0;
    memset(writer.code, 0xcc, sizeof writer.code);
    memset(writer.length_at, 0, sizeof writer.length_at);
    write_program(&writer);
    struct both *both = &test->both;
    both->start = test->test.start;
    both->start.rip = AREA_CODE + CODE_START;
    both->start.gpr[MH_RSP] = BORDER - 512;
    both->start.rflags &= ~(uint64_t)RFLAGS_AC;
    if (chance_percent(&chance, 90))
        mask_exceptions(&both->start);
    memcpy(both->data, test->test.data, AREA_DATA_SIZE);
    if (chance_percent(&chance, REPAIRED_PERCENT))
        repair(&writer, both);
    both_set_code(both, 0, writer.code, sizeof writer.code);
    bool equal = both_run(both, INSTRUCTIONS_MAX, TOLERATE_PE);
    shared->done++;
    shared->of_form[both->native_end.vector]++;
    if (!equal)
        shared->differences++;
    if (test->single || (!equal && shared->differences <= PRINTED_MAX)) {
        printf("MH_SEED=%" PRIu64 " program_test --case %" PRIu64 ": ", test->abuse.seed, number);
        if (test->single)
            both_print_code(writer.code + CODE_START, writer.at - CODE_START, both->start.rip);
        both_print(both);
    }
}

static void find_usable(struct program_test *test)
{
    unsigned count = forms_all(test->forms);
    probe_forms(&test->both, test->forms, count, &test->test, test->probes);
    test->usable_count = 0;
    for (unsigned i = 0; i < count; i++)
        if (!is_control(&test->forms[i]) && test->probes[i].done >= PROBE_DONE_ENOUGH)
            test->usable[test->usable_count++] = (uint16_t)i;
}

static void work(void *context, struct shared *shared)
{
    struct program_test *test = context;
    if (!both_create(&test->both))
        _Exit(1);
    find_usable(test);
    for (; shared->current < shared->end; shared->current++)
        run_program(test, shared, shared->current);
    soft_side_destroy(&test->both.soft);
}

int main(int argc, char **argv)
{
    struct program_test *test = &program_test;
    abuse_begin(&test->abuse);
    struct shared *shared = both_shared();
    shared->end = (uint64_t)PROGRAMS_IN_A_SHARE * test->abuse.factor;
    if (argc == 3 && strcmp(argv[1], "--case") == 0) {
        test->single = true;
        shared->current = strtoull(argv[2], NULL, 10);
        shared->end = shared->current + 1;
    } else if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        shared->end = strtoull(argv[2], NULL, 10);
    }
    both_in_children(shared, work, test);
    printf("%" PRIu64 " programs, of which %u came to their end; %" PRIu64 " differences\n", shared->done,
           shared->of_form[3], shared->differences);
    abuse_done((unsigned long)shared->done, "programs compared with the host");
    return shared->differences != 0;
}
