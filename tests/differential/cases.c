/*
 * Registers are random first; then those the instruction uses as addresses are made to lead somewhere, mostly into
 * the window around the border of two writable pages, sometimes to where an access faults.
 */
#include "cases.h"

#include <string.h>

#define BORDER (AREA_DATA + 0x2000) /* between the two writable pages */
#define NEAR 192u
#define CODE_MIDDLE 0x800u

static uint64_t writable_place(struct chance *chance)
{
    uint64_t place = BORDER - NEAR + chance_below(chance, 2 * NEAR);
    unsigned alignment = (unsigned)chance_below(chance, 8);
    return alignment < 3 ? place & ~31ull : alignment < 5 ? place & ~7ull : alignment == 5 ? place & ~63ull : place;
}

/* Where a memory operand lies. */
static uint64_t some_place(struct chance *chance)
{
    uint64_t kind = chance_below(chance, 100);
    if (kind < 88)
        return writable_place(chance);
    uint64_t offset = chance_below(chance, 96);
    if (kind < 92) /* the end of what is mapped */
        return AREA_DATA + AREA_DATA_SIZE - 64 + offset;
    if (kind < 94)
        return AREA_DATA + AREA_DATA_WRITABLE - 64 + offset;
    if (kind < 95)
        return AREA_DATA - 64 + offset;
    if (kind < 97)
        return AREA_NOTHING + offset;
    if (kind < 98) /* long operands must not lie on both sides: in which order they are accessed is not known */
        return 0x800000000000 + chance_below(chance, 64) - (chance_percent(chance, 50) ? 1024 : 0);
    return 0x8000000000000000 + (chance_next(chance) >> 4);
}

static uint64_t some_code(struct chance *chance)
{
    return AREA_CODE + 0x400 + chance_below(chance, 0x1000);
}

static void random_registers(struct chance *chance, struct start *start)
{
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        start->gpr[i] = chance_integer(chance);
    start->gpr[MH_RSP] = writable_place(chance);
    if (chance_percent(chance, 85))
        start->gpr[MH_RSP] &= ~7ull;
    else if (chance_percent(chance, 30))
        start->gpr[MH_RSP] = some_place(chance);
    start->fs_base = chance_percent(chance, 70) ? chance_below(chance, 0x1000) : chance_next(chance) >> 20;
    start->gs_base = chance_percent(chance, 70) ? AREA_DATA : 0;
    start->rflags = chance_rflags(chance);
    chance_xsave(chance, start->xsave);
}

static void fill_window(struct chance *chance, uint8_t *data)
{
    for (unsigned at = CASE_WINDOW_START; at < CASE_WINDOW_START + CASE_WINDOW_SIZE; at += 32) {
        if (at % 128 == 0 && chance_percent(chance, 30)) {
            chance_extended(chance, data + at);
            chance_extended(chance, data + at + 16);
        } else {
            chance_vector(chance, data + at);
        }
    }
}

/* The register operands that count bits or repetitions are small more often than chance makes them. */
static void tame_counts(struct chance *chance, struct test_case *test)
{
    const struct form *form = &test->encoding.form;
    struct start *start = &test->start;
    bool string = form->map == FORM_ONE_BYTE &&
                  ((form->opcode >= 0xa4 && form->opcode <= 0xaf) || (form->opcode >= 0x6c && form->opcode <= 0x6f));
    if (string && test->encoding.rep)
        start->gpr[MH_RCX] = (chance_percent(chance, 5) ? 1ull << 32 : 0) + chance_below(chance, 24);
    else if (chance_percent(chance, 40))
        start->gpr[MH_RCX] = chance_below(chance, 72);
    bool bit_test = form->map == FORM_0F && !form->vex && (form->opcode & 0xc7) == 0x83 && form->opcode >= 0xa3;
    if (bit_test && chance_percent(chance, 85))
        start->gpr[test->encoding.reg] = chance_below(chance, 3000) - 1500;
}

static void implicit_addresses(struct chance *chance, struct test_case *test)
{
    static const uint8_t registers[] = {MH_RSI, MH_RDI, MH_RBX, MH_RBP};
    const struct form *form = &test->encoding.form;
    bool needed = (form->map == FORM_ONE_BYTE &&
                   ((form->opcode & 0xf0) == 0xa0 || (form->opcode & 0xfe) == 0xc8 || form->opcode == 0xd7)) ||
                  (form->map == FORM_0F && form->opcode == 0xf7);
    for (unsigned i = 0; i < sizeof registers; i++)
        if (chance_percent(chance, needed ? 92 : 10))
            test->start.gpr[registers[i]] = some_place(chance);
    if (form->map == FORM_ONE_BYTE && form->opcode == 0xd7)
        test->start.gpr[MH_RBX] -= test->start.gpr[MH_RAX] & 0xff;
}

static bool fits(uint64_t value, unsigned size)
{
    int64_t number = (int64_t)value;
    return size == 4 ? number == (int32_t)number : size == 1 ? number == (int8_t)number : number == 0;
}

static bool is_gather(const struct form *form)
{
    return form->vex && form->map == FORM_0F38 && form->opcode >= 0x90 && form->opcode <= 0x93;
}

/* Small indices, or some that lead elsewhere, in the vector register. */
static void gather_indices(struct chance *chance, struct test_case *test)
{
    unsigned index = test->encoding.index == NO_REGISTER ? 4 : test->encoding.index;
    bool words = (test->encoding.form.opcode & 1) == 0;
    for (unsigned i = 0; i < (words ? 8u : 4u); i++) {
        int64_t value = (int64_t)chance_below(chance, 40) - 20;
        if (chance_percent(chance, 3))
            value = (int64_t)chance_integer(chance);
        unsigned offset = i * (words ? 4 : 8);
        uint8_t *at = test->start.xsave + (offset < 16 ? 160 + offset : 576 + offset - 16) + index * 16;
        memcpy(at, &value, words ? 4 : 8);
    }
}

static uint64_t segment_base(const struct test_case *test)
{
    if (test->encoding.segment == MH_FS)
        return test->start.fs_base;
    return test->encoding.segment == MH_GS ? test->start.gs_base : 0;
}

/* Choose registers and displacement so that the memory operand lies at `place`, where that can be. */
static void lead_to(struct chance *chance, struct test_case *test, uint64_t place)
{
    struct encoding *encoding = &test->encoding;
    uint64_t *gpr = test->start.gpr;
    uint64_t effective = place - segment_base(test);
    bool vector_index = is_gather(&encoding->form);
    if (encoding->rip_relative || (encoding->base == NO_REGISTER && encoding->index == NO_REGISTER) ||
        (encoding->base == NO_REGISTER && vector_index)) {
        uint64_t displacement = effective;
        if (encoding->rip_relative)
            displacement -= AREA_CODE + test->at + encoding->length;
        if (fits(displacement, 4))
            encoding_set_displacement(encoding, (int32_t)displacement);
        return;
    }
    if (encoding->displacement_size == 4 && chance_percent(chance, 60))
        encoding_set_displacement(encoding, (int32_t)chance_below(chance, 0x2000) - 0x1000);
    uint64_t rest = effective - (uint64_t)(int64_t)encoding->displacement;
    uint64_t high = encoding->short_address ? chance_next(chance) << 32 : 0;
    if (vector_index || encoding->index == NO_REGISTER) {
        gpr[encoding->base] = rest + high;
    } else if (encoding->base == NO_REGISTER) {
        gpr[encoding->index] = (rest >> encoding->scale) + high;
    } else if (encoding->base == encoding->index) {
        gpr[encoding->base] = rest / ((1u << encoding->scale) + 1) + high;
    } else {
        if (encoding->base != MH_RSP || chance_percent(chance, 50))
            gpr[encoding->index] = chance_percent(chance, 80) ? chance_below(chance, 64) : chance_next(chance);
        gpr[encoding->base] = rest - (gpr[encoding->index] << encoding->scale);
    }
}

static void put(struct test_case *test, uint64_t address, const void *from, size_t size)
{
    uint64_t offset = address - AREA_DATA;
    if (offset >= CASE_WINDOW_START && offset + size <= CASE_WINDOW_START + CASE_WINDOW_SIZE)
        memcpy(test->data + offset, from, size);
}

static uint64_t code_selector(struct chance *chance)
{
    static const uint16_t selectors[] = {AREA_CS, AREA_CS, AREA_CS, AREA_CS, 0x30, 0x2b, 0, 0x10, 0x37, 0x50, 0xfffb};
    return selectors[chance_below(chance, sizeof selectors / sizeof selectors[0])];
}

/* An image that the instructions which load one accept, mostly. */
static void put_image(struct chance *chance, struct test_case *test, uint64_t place)
{
    uint8_t image[MH_XSAVE_SIZE];
    chance_xsave(chance, image);
    image[512] = (uint8_t)chance_below(chance, 8);
    if (test->encoding.form.map == FORM_ONE_BYTE) { /* FLDENV, FRSTOR: words 4 bytes apart */
        uint8_t environment[108] = {0};
        memcpy(environment, image, 2);
        memcpy(environment + 4, image + 2, 2);
        memcpy(environment + 8, image + 4, 1);
        memcpy(environment + 9, image + 40, 1);
        for (unsigned i = 0; i < 8; i++)
            memcpy(environment + 28 + 10 * i, image + 32 + 16 * i, 10);
        put(test, place, environment, sizeof environment);
    } else {
        put(test, place, image, sizeof image);
    }
}

/* What lies in memory for instructions that demand something of it. */
static void arrange_memory(struct chance *chance, struct test_case *test, uint64_t place)
{
    const struct form *form = &test->encoding.form;
    unsigned reg = test->encoding.modrm >> 3 & 7;
    unsigned size = test->encoding.rex_w ? 8 : test->encoding.short_operand ? 2 : 4;
    if (form->vex || !test->encoding.has_memory || chance_percent(chance, 25))
        return;
    uint64_t target = some_code(chance);
    if (form->map == FORM_0F && (form->opcode == 0x02 || form->opcode == 0x03)) {
        uint64_t selector = chance_below(chance, 0x78);
        put(test, place, &selector, 2);
    } else if (form->map == FORM_ONE_BYTE && form->opcode == 0xff && (reg == 3 || reg == 5)) {
        uint64_t selector = code_selector(chance);
        put(test, place, &target, size);
        put(test, place + size, &selector, 2);
    } else if (form->map == FORM_ONE_BYTE && form->opcode == 0xff) {
        put(test, place, &target, 8);
    } else if ((form->map == FORM_ONE_BYTE && (form->opcode == 0xd9 || form->opcode == 0xdd) && reg == 4) ||
               (form->map == FORM_0F && form->opcode == 0xae && (reg == 1 || reg == 5))) {
        put_image(chance, test, place);
    } else if (form->map == FORM_0F && form->opcode == 0xc7 && reg == 1) {
        uint64_t value[2] = {test->start.gpr[MH_RAX], test->start.gpr[MH_RDX]};
        if (!test->encoding.rex_w)
            value[0] = (uint32_t)value[0] | value[1] << 32;
        put(test, place, value, sizeof value);
    } else if (form->map == FORM_0F && (form->opcode & 0xfe) == 0xb0) {
        put(test, place, &test->start.gpr[MH_RAX], 8);
    }
}

/* A frame on the stack for returns. */
static void arrange_stack(struct chance *chance, struct test_case *test)
{
    const struct encoding *encoding = &test->encoding;
    uint8_t opcode = encoding->form.opcode;
    if (encoding->form.map != FORM_ONE_BYTE || chance_percent(chance, 15))
        return;
    bool near = opcode == 0xc2 || opcode == 0xc3;
    if (!near && opcode != 0xca && opcode != 0xcb && opcode != 0xcf)
        return;
    unsigned size = encoding->rex_w || near ? 8 : encoding->short_operand ? 2 : 4;
    uint64_t frame[5] = {some_code(chance), code_selector(chance), chance_rflags(chance), writable_place(chance),
                         AREA_SS};
    if (chance_percent(chance, 5))
        frame[2] ^= chance_next(chance);
    if (chance_percent(chance, 5))
        frame[4] = code_selector(chance);
    if (chance_percent(chance, 3))
        frame[0] = some_place(chance);
    unsigned count = near ? 1 : opcode == 0xcf ? 5 : 2;
    for (unsigned i = 0; i < count; i++)
        put(test, test->start.gpr[MH_RSP] + i * size, &frame[i], size);
}

static void choose_immediate(struct chance *chance, struct test_case *test)
{
    struct encoding *encoding = &test->encoding;
    const struct form *form = &encoding->form;
    uint8_t *immediate = encoding->bytes + encoding->immediate_at;
    if (encoding->immediate_size == 0)
        return;
    if (form->map == FORM_ONE_BYTE && (form->opcode & 0xfc) == 0xa0) {
        uint64_t place = some_place(chance) - segment_base(test);
        memcpy(immediate, &place, encoding->immediate_size);
        return;
    }
    bool near_branch = (form->map == FORM_ONE_BYTE && (form->opcode & 0xfe) == 0xe8) ||
                       (form->map == FORM_0F && (form->opcode & 0xf0) == 0x80);
    if (near_branch && chance_percent(chance, 80)) {
        uint64_t displacement = some_code(chance) - (AREA_CODE + test->at + encoding->length);
        memcpy(immediate, &displacement, encoding->immediate_size);
        return;
    }
    if (chance_percent(chance, 30) && encoding->immediate_size != 3) {
        uint64_t value = chance_integer(chance);
        memcpy(immediate, &value, encoding->immediate_size);
    }
    bool short_branch = form->map == FORM_ONE_BYTE &&
                        ((form->opcode & 0xf0) == 0x70 || (form->opcode & 0xfc) == 0xe0 || form->opcode == 0xeb);
    if (short_branch && (int8_t)immediate[0] < 0 && (int8_t)immediate[0] >= -(int)encoding->length)
        immediate[0] = 5;                                              /* a branch into itself need not end */
    if (encoding->immediate_size == 3 && chance_percent(chance, 80)) { /* ENTER */
        immediate[1] = 0;
        immediate[2] &= 7;
    }
}

static void register_targets(struct chance *chance, struct test_case *test)
{
    const struct encoding *encoding = &test->encoding;
    const struct form *form = &encoding->form;
    if (form->map == FORM_ONE_BYTE && form->opcode == 0xff && !encoding->has_memory && encoding->rm != MH_RSP &&
        chance_percent(chance, 70))
        test->start.gpr[encoding->rm] = some_code(chance);
    /* selectors */
    bool loads = (form->map == FORM_ONE_BYTE && form->opcode == 0x8e) ||
                 (form->map == FORM_0F && form->opcode < 4 && form->opcode != 1);
    if (loads && !encoding->has_memory && encoding->rm != MH_RSP && chance_percent(chance, 85))
        test->start.gpr[encoding->rm] = (test->start.gpr[encoding->rm] & ~0xffffull) | chance_below(chance, 0x78);
}

static unsigned some_code_offset(struct chance *chance, unsigned length)
{
    uint64_t kind = chance_below(chance, 100);
    if (kind < 90)
        return CODE_MIDDLE + (unsigned)chance_below(chance, 16);
    if (kind < 97) /* across two pages */
        return 0x1000 - (unsigned)chance_below(chance, length + 1);
    return AREA_CODE_SIZE - (unsigned)chance_below(chance, length + 1); /* ... the second of which is missing */
}

void case_make(struct chance *chance, const struct form *form, struct test_case *test)
{
    encoding_make(chance, form, 0, &test->encoding);
    test->at = some_code_offset(chance, test->encoding.length);
    random_registers(chance, &test->start);
    test->start.rip = AREA_CODE + test->at;
    fill_window(chance, test->data);
    tame_counts(chance, test);
    implicit_addresses(chance, test);
    register_targets(chance, test);
    choose_immediate(chance, test);
    if (test->encoding.has_memory) {
        uint64_t place = some_place(chance);
        bool exact = form->map == FORM_0F && form->opcode == 0xae; /* FXSAVE, XSAVE demand alignment */
        if (exact && chance_percent(chance, 75))
            place = (BORDER - 256) & ~63ull;
        if (is_gather(form))
            gather_indices(chance, test);
        lead_to(chance, test, place);
        arrange_memory(chance, test, place);
    }
    if (form->map == FORM_0F && form->opcode == 0xae) {
        test->start.gpr[MH_RAX] &= ~0xffff8ull; /* components that the host may have and the guest has not */
        if (chance_percent(chance, 50))
            test->start.gpr[MH_RAX] = 7;
    }
    arrange_stack(chance, test);
}
