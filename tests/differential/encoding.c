/*
 * Lengths of immediates and the presence of a ModRM byte come from tables of their own here, written from the opcode
 * maps of the Intel SDM (volume 2, appendix A): the decoder under test must not be asked.
 */
#include "encoding.h"

#include <string.h>

/*
 * One character an opcode. Upper case: with ModRM.
 * n N none   b B one byte   w two bytes   e three bytes (ENTER)   z Z two or four   v as the operand
 * j four bytes whatever the operand size   o an address   g G group 3: bytes, words   p prefix, not an opcode
 */
static const char one_byte[16][17] = {
    "NNNNbznnNNNNbznp", /* 00 */
    "NNNNbznnNNNNbznn", /* 10 */
    "NNNNbzpnNNNNbzpn", /* 20 */
    "NNNNbzpnNNNNbzpn", /* 30 */
    "pppppppppppppppp", /* 40 */
    "nnnnnnnnnnnnnnnn", /* 50 */
    "nnpNppppzZbBnnnn", /* 60 */
    "bbbbbbbbbbbbbbbb", /* 70 */
    "BZnBNNNNNNNNNNNN", /* 80 */
    "nnnnnnnnnnnnnnnn", /* 90 */
    "oooonnnnbznnnnnn", /* a0 */
    "bbbbbbbbvvvvvvvv", /* b0 */
    "BBwnppBZenwnnbnn", /* c0 */
    "NNNNnnnnNNNNNNNN", /* d0 */
    "bbbbbbbbjjnbnnnn", /* e0 */
    "pnppnnGgnnnnnnNN", /* f0 */
};

static const char two_byte[16][17] = {
    "NNNNnnnnnnnnnNnB", /* 00 */
    "NNNNNNNNNNNNNNNN", /* 10 */
    "NNNNnnnnNNNNNNNN", /* 20 */
    "nnnnnnnnpnpnnnnn", /* 30 */
    "NNNNNNNNNNNNNNNN", /* 40 */
    "NNNNNNNNNNNNNNNN", /* 50 */
    "NNNNNNNNNNNNNNNN", /* 60 */
    "BBBBNNNnNNnnNNNN", /* 70 */
    "jjjjjjjjjjjjjjjj", /* 80 */
    "NNNNNNNNNNNNNNNN", /* 90 */
    "nnnNBNnnnnnNBNNN", /* a0 */
    "NNNNNNNNNNBNNNNN", /* b0 */
    "NNBNBBBNnnnnnnnn", /* c0 */
    "NNNNNNNNNNNNNNNN", /* d0 */
    "NNNNNNNNNNNNNNNN", /* e0 */
    "NNNNNNNNNNNNNNNN", /* f0 */
};

static char kind_of(const struct form *form)
{
    switch (form->map) {
    case FORM_ONE_BYTE:
        return one_byte[form->opcode >> 4][form->opcode & 15];
    case FORM_0F:
        return two_byte[form->opcode >> 4][form->opcode & 15];
    default:
        return form->map == FORM_0F3A ? 'B' : 'N';
    }
}

static void add(struct form *forms, unsigned *count, const struct form *form)
{
    if (kind_of(form) != 'p')
        forms[(*count)++] = *form;
}

unsigned forms_all(struct form *forms)
{
    unsigned count = 0;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        struct form form = {.opcode = (uint8_t)opcode};
        add(forms, &count, &form);
        for (form.map = FORM_0F; form.map <= FORM_0F3A; form.map++)
            for (form.prefix = FORM_NONE; form.prefix <= FORM_F2; form.prefix++) {
                form.vex = form.wide = form.w = false;
                add(forms, &count, &form);
                form.vex = true;
                for (unsigned bits = 0; bits < 4; bits++) {
                    form.wide = (bits & 1) != 0;
                    form.w = (bits & 2) != 0;
                    add(forms, &count, &form);
                }
            }
    }
    return count;
}

static void byte(struct encoding *encoding, unsigned value)
{
    encoding->bytes[encoding->length++] = (uint8_t)value;
}

static void random_bytes(struct chance *chance, struct encoding *encoding, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        byte(encoding, (unsigned)chance_next(chance) & 0xff);
}

/* Prefixes that may stand anywhere before REX, at random. */
static void loose_prefixes(struct chance *chance, struct encoding *encoding, unsigned options)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65};
    if (chance_percent(chance, 12)) {
        uint8_t prefix = segments[chance_below(chance, sizeof segments)];
        encoding->segment = prefix == 0x64 ? MH_FS : prefix == 0x65 ? MH_GS : encoding->segment;
        byte(encoding, prefix);
    }
    if (chance_percent(chance, 6)) {
        byte(encoding, 0x67);
        encoding->short_address = true;
    }
    encoding->lock = chance_percent(chance, (options & ENCODING_LIKELY) != 0 ? 0 : 5);
    if (encoding->lock)
        byte(encoding, 0xf0);
}

static void repeat_prefix(struct encoding *encoding, unsigned prefix)
{
    byte(encoding, prefix == FORM_F3 ? 0xf3 : 0xf2);
    encoding->prefix = (uint8_t)prefix;
    encoding->rep = true;
}

static bool is_string(const struct form *form)
{
    return form->map == FORM_ONE_BYTE && (form->opcode & 0xf0) == 0xa0 && form->opcode >= 0xa4 &&
           form->opcode != 0xa8 && form->opcode != 0xa9;
}

static void operand_prefixes(struct chance *chance, struct encoding *encoding, bool simple)
{
    const struct form *form = &encoding->form;
    unsigned prefix = form->prefix;
    bool also_66 = !simple && chance_percent(chance, 4);
    if (form->map == FORM_ONE_BYTE) {
        also_66 = chance_percent(chance, 20);
        if (chance_percent(chance, is_string(form) ? 60 : simple ? 0 : 4))
            prefix = chance_percent(chance, 50) ? FORM_F3 : FORM_F2;
    }
    if (prefix == FORM_66 || also_66) {
        byte(encoding, 0x66);
        encoding->prefix = FORM_66;
        encoding->short_operand = true;
    }
    if (prefix >= FORM_F3)
        repeat_prefix(encoding, prefix);
    if (!simple && prefix == FORM_NONE && chance_percent(chance, 1))
        repeat_prefix(encoding, FORM_F3);
}

struct extension {
    bool r, x, b;
};

static void legacy_head(struct chance *chance, struct encoding *encoding, unsigned options, struct extension *extension)
{
    const struct form *form = &encoding->form;
    bool simple = (options & ENCODING_SIMPLE) != 0;
    if (!simple)
        loose_prefixes(chance, encoding, options);
    operand_prefixes(chance, encoding, simple);
    if (chance_percent(chance, simple ? 30 : 50)) {
        unsigned rex = 0x40u | (unsigned)chance_below(chance, 16);
        if (simple)
            rex &= 0x48;
        byte(encoding, rex);
        encoding->rex_w = (rex & 8) != 0;
        *extension = (struct extension){(rex & 4) != 0, (rex & 2) != 0, (rex & 1) != 0};
    }
    if (form->map != FORM_ONE_BYTE)
        byte(encoding, 0x0f);
    if (form->map == FORM_0F38)
        byte(encoding, 0x38);
    if (form->map == FORM_0F3A)
        byte(encoding, 0x3a);
    byte(encoding, form->opcode);
}

static void vex_head(struct chance *chance, struct encoding *encoding, unsigned options, struct extension *extension)
{
    const struct form *form = &encoding->form;
    bool simple = (options & ENCODING_SIMPLE) != 0;
    if (!simple && chance_percent(chance, 15))
        loose_prefixes(chance, encoding, options);
    if (!simple && chance_percent(chance, 1))
        byte(encoding, chance_percent(chance, 50) ? 0x66 : 0xf3);
    unsigned vvvv = (unsigned)chance_below(chance, 16);
    if (simple)
        vvvv |= 8;
    if (chance_percent(chance, (options & ENCODING_LIKELY) != 0 ? 60 : 40))
        vvvv = 15; /* many forms allow no other */
    unsigned tail = vvvv << 3 | (form->wide ? 4u : 0) | form->prefix;
    unsigned bits = simple ? 0 : (unsigned)chance_below(chance, 8);
    encoding->prefix = form->prefix;
    encoding->rex_w = form->w;
    if (form->map == FORM_0F && !form->w && (bits & 3) == 0) {
        byte(encoding, 0xc5);
        byte(encoding, tail | ((bits & 4) != 0 ? 0 : 0x80));
    } else {
        byte(encoding, 0xc4);
        byte(encoding, form->map | (~bits & 7) << 5);
        byte(encoding, tail | (form->w ? 0x80u : 0));
    }
    *extension = (struct extension){(bits & 4) != 0, (bits & 2) != 0, (bits & 1) != 0};
    byte(encoding, form->opcode);
}

static void memory_operand(struct chance *chance, struct encoding *encoding, unsigned reg, struct extension extension)
{
    unsigned mod = (unsigned)chance_below(chance, 3);
    unsigned rm = (unsigned)chance_below(chance, 8);
    byte(encoding, mod << 6 | reg << 3 | rm);
    unsigned base = rm;
    encoding->has_memory = true;
    encoding->base = (uint8_t)(rm | (extension.b ? 8u : 0));
    if (rm == 4) {
        unsigned sib = (unsigned)chance_below(chance, 256);
        byte(encoding, sib);
        base = sib & 7;
        encoding->base = (uint8_t)(base | (extension.b ? 8u : 0));
        encoding->index = (uint8_t)((sib >> 3 & 7) | (extension.x ? 8u : 0));
        encoding->scale = (uint8_t)(sib >> 6);
        if (encoding->index == MH_RSP)
            encoding->index = NO_REGISTER;
    }
    encoding->displacement_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (mod == 0 && base == 5) {
        encoding->displacement_size = 4;
        encoding->base = NO_REGISTER;
        encoding->rip_relative = rm == 5;
    }
    encoding->displacement_at = (uint8_t)encoding->length;
    random_bytes(chance, encoding, encoding->displacement_size);
    int32_t displacement = 0;
    memcpy(&displacement, encoding->bytes + encoding->displacement_at, encoding->displacement_size);
    encoding->displacement = encoding->displacement_size == 1 ? (int8_t)displacement : displacement;
}

static void modrm_operand(struct chance *chance, struct encoding *encoding, unsigned options,
                          struct extension extension)
{
    unsigned reg = (unsigned)chance_below(chance, 8);
    encoding->has_modrm = true;
    encoding->reg = (uint8_t)(reg | (extension.r ? 8u : 0));
    unsigned at = encoding->length;
    if ((options & ENCODING_NO_MEMORY) != 0 || chance_percent(chance, 45)) {
        unsigned rm = (unsigned)chance_below(chance, 8);
        byte(encoding, 0xc0 | reg << 3 | rm);
        encoding->rm = (uint8_t)(rm | (extension.b ? 8u : 0));
    } else {
        memory_operand(chance, encoding, reg, extension);
    }
    encoding->modrm = encoding->bytes[at];
}

static unsigned immediate_size(const struct encoding *encoding, char kind)
{
    bool words = encoding->short_operand;
    bool test = (encoding->modrm >> 3 & 7) < 2; /* of group 3 only TEST has an immediate */
    switch (kind) {
    case 'b':
    case 'B':
        return 1;
    case 'w':
        return 2;
    case 'e':
        return 3;
    case 'z':
    case 'Z':
        return words && !encoding->rex_w ? 2 : 4;
    case 'v':
        return encoding->rex_w ? 8 : words ? 2 : 4;
    case 'j':
        return 4;
    case 'o':
        return encoding->short_address ? 4 : 8;
    case 'G':
        return test ? 1 : 0;
    case 'g':
        return !test ? 0 : words && !encoding->rex_w ? 2 : 4;
    default:
        return 0;
    }
}

void encoding_make(struct chance *chance, const struct form *form, unsigned options, struct encoding *encoding)
{
    *encoding = (struct encoding){.form = *form, .segment = MH_DS, .base = NO_REGISTER, .index = NO_REGISTER};
    struct extension extension = {0};
    if (form->vex)
        vex_head(chance, encoding, options, &extension);
    else
        legacy_head(chance, encoding, options, &extension);
    char kind = kind_of(form);
    /* opcodes with a register in their low bits */
    encoding->rm = (uint8_t)((form->opcode & 7) | (extension.b ? 8u : 0));
    if ((kind >= 'A' && kind <= 'Z') || kind == 'g')
        modrm_operand(chance, encoding, options, extension);
    unsigned size = immediate_size(encoding, kind);
    encoding->immediate_at = (uint8_t)encoding->length;
    encoding->immediate_size = (uint8_t)size;
    random_bytes(chance, encoding, size);
}

void encoding_set_displacement(struct encoding *encoding, int32_t displacement)
{
    encoding->displacement = displacement;
    memcpy(encoding->bytes + encoding->displacement_at, &displacement, encoding->displacement_size);
}
