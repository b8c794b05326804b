/*
 * The decoder. It walks over prefixes, opcode, ModRM, SIB, displacement and immediates in the order in which they are
 * encoded (Intel SDM volume 2, 2.1 and 2.3), and takes what differs from opcode to opcode from a row of a table. Bytes
 * come one after another from a cursor, which notes when they run out: then the caller has to bring more.
 */
#include "host_x86_64_int.h"
#include "soft_handlers.h"
#include "soft_opcodes.h"
#include "x86/exceptions.h"

#include <string.h>

#define INSTRUCTION_MAX 15u

struct cursor {
    const uint8_t *bytes;
    unsigned available, at;
    bool exhausted; /* a byte was asked for that is not available */
    bool too_long;  /* a byte was asked for behind the 15th */
};

static uint8_t cursor_peek(struct cursor *cursor)
{
    if (cursor->at >= INSTRUCTION_MAX) {
        cursor->too_long = true;
        return 0;
    }
    if (cursor->at >= cursor->available) {
        cursor->exhausted = true;
        return 0;
    }
    return cursor->bytes[cursor->at];
}

static uint8_t cursor_next(struct cursor *cursor)
{
    uint8_t byte = cursor_peek(cursor);
    cursor->at++;
    return byte;
}

static uint64_t cursor_number(struct cursor *cursor, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value |= (uint64_t)cursor_next(cursor) << 8 * i;
    return value;
}

static uint64_t sign_extend(uint64_t value, unsigned length)
{
    const unsigned unused = 64 - 8 * length;
    return (uint64_t)((int64_t)(value << unused) >> unused);
}

static bool cursor_failed(const struct cursor *cursor)
{
    return cursor->exhausted || cursor->too_long;
}

/* What the prefixes said that struct soft_insn has no member for. */
struct prefix_bits {
    uint8_t rex;          /* the last byte, 0 without */
    uint8_t override;     /* MH_FS, MH_GS or MH_SEG_COUNT */
    bool has_vex, no_vex; /* no_vex: a prefix that is illegal before VEX */
};

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

static enum soft_result op_too_long(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
}

/* True when `byte` is a legacy prefix; notes it. Overrides with ES, CS, SS and DS have no effect in 64-bit code. */
static bool take_legacy_prefix(uint8_t byte, struct soft_insn *insn, struct prefix_bits *bits)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        return true;
    case 0x64:
        bits->override = MH_FS;
        return true;
    case 0x65:
        bits->override = MH_GS;
        return true;
    case 0x66:
        insn->prefixes |= SOFT_PREFIX_OPSIZE;
        return true;
    case 0x67:
        insn->address_size = 4;
        return true;
    case 0xf0:
        insn->prefixes |= SOFT_PREFIX_LOCK;
        return true;
    case 0xf2: /* of F2 and F3 the last one counts */
        insn->prefixes = (uint8_t)((insn->prefixes & ~SOFT_PREFIX_REP) | SOFT_PREFIX_REPNE);
        return true;
    case 0xf3:
        insn->prefixes = (uint8_t)((insn->prefixes & ~SOFT_PREFIX_REPNE) | SOFT_PREFIX_REP);
        return true;
    default:
        return false;
    }
}

/* A REX prefix counts only when the opcode follows it directly. */
static void decode_prefixes(struct cursor *cursor, struct soft_insn *insn, struct prefix_bits *bits)
{
    for (;;) {
        uint8_t byte = cursor_peek(cursor);
        if (cursor_failed(cursor))
            return;
        if ((byte & 0xf0) == 0x40)
            bits->rex = byte;
        else if (take_legacy_prefix(byte, insn, bits))
            bits->rex = 0;
        else
            break;
        cursor->at++;
    }
    if (bits->rex != 0)
        insn->prefixes |= SOFT_PREFIX_REX;
    bits->no_vex = (insn->prefixes & (SOFT_PREFIX_LOCK | SOFT_PREFIX_REP | SOFT_PREFIX_REPNE | SOFT_PREFIX_OPSIZE |
                                      SOFT_PREFIX_REX)) != 0;
    insn->rex_w = (bits->rex & REX_W) != 0;
}

/* VEX.pp stands for the prefix that the opcode would have without VEX. */
static void set_vex_prefix(struct soft_insn *insn, unsigned pp)
{
    static const uint8_t prefix[] = {0, SOFT_PREFIX_OPSIZE, SOFT_PREFIX_REP, SOFT_PREFIX_REPNE};
    insn->prefixes = (uint8_t)(prefix[pp] | SOFT_PREFIX_VEX);
}

/* C5 and C4 (Intel SDM volume 2, 2.3.5). False: a map that does not exist. */
static bool decode_vex(struct cursor *cursor, uint8_t first, struct soft_insn *insn, struct prefix_bits *bits)
{
    bits->has_vex = true;
    uint8_t second = cursor_next(cursor);
    uint8_t last = second;
    unsigned map = SOFT_MAP_0F;
    bits->rex = (uint8_t)(second & 0x80 ? 0 : REX_R);
    if (first == 0xc4) {
        map = second & 0x1fu;
        bits->rex |= (uint8_t)((second & 0x40 ? 0 : REX_X) | (second & 0x20 ? 0 : REX_B));
        last = cursor_next(cursor);
        insn->rex_w = (last & 0x80) != 0;
    }
    insn->vvvv = (uint8_t)(~last >> 3 & 0xf);
    insn->vex_256 = (last & 4) != 0;
    set_vex_prefix(insn, last & 3u);
    insn->map = (uint8_t)map;
    insn->opcode = cursor_next(cursor);
    return map >= SOFT_MAP_0F && map <= SOFT_MAP_0F3A;
}

/* The opcode with its escapes. False: not an instruction, whatever follows. */
static bool decode_opcode(struct cursor *cursor, struct soft_insn *insn, struct prefix_bits *bits)
{
    uint8_t byte = cursor_next(cursor);
    if (byte == 0xc4 || byte == 0xc5)
        return decode_vex(cursor, byte, insn, bits);
    insn->map = SOFT_MAP_ONE_BYTE;
    if (byte == 0x0f) {
        insn->map = SOFT_MAP_0F;
        byte = cursor_next(cursor);
        if (byte == 0x38 || byte == 0x3a) {
            insn->map = byte == 0x38 ? SOFT_MAP_0F38 : SOFT_MAP_0F3A;
            byte = cursor_next(cursor);
        }
    }
    insn->opcode = byte;
    return true;
}

static const struct soft_opcode *find_row(const struct soft_insn *insn, uint8_t modrm)
{
    const enum soft_map map = (enum soft_map)insn->map;
    const struct soft_opcode *row =
        insn->prefixes & SOFT_PREFIX_VEX
            ? soft_vex_integer_opcode(map, insn->opcode, insn->prefixes, modrm, insn->vex_256)
            : soft_integer_opcode(map, insn->opcode, insn->prefixes, modrm);
    if (row != NULL)
        return row;
    return soft_simd_opcode(map, insn->opcode, insn->prefixes, modrm, insn->rex_w, insn->vex_256);
}

static void decode_sib(struct cursor *cursor, struct soft_insn *insn, unsigned mod, uint8_t rex)
{
    const uint8_t sib = cursor_next(cursor);
    const uint8_t index = (uint8_t)((sib >> 3 & 7) | (rex & REX_X ? 8 : 0));
    insn->scale = sib >> 6;
    if (index != MH_RSP) /* 4 means none */
        insn->index = index;
    if ((sib & 7) == 5 && mod == 0)
        insn->displacement = (int32_t)cursor_number(cursor, 4);
    else
        insn->base = (uint8_t)((sib & 7) | (rex & REX_B ? 8 : 0));
}

static void decode_memory(struct cursor *cursor, struct soft_insn *insn, uint8_t rex)
{
    const unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7u;
    insn->has_memory = true;
    if (rm == 4) {
        decode_sib(cursor, insn, mod, rex);
    } else if (rm == 5 && mod == 0) {
        insn->rip_relative = true;
        insn->displacement = (int32_t)cursor_number(cursor, 4);
    } else {
        insn->base = (uint8_t)(rm | (rex & REX_B ? 8 : 0));
    }
    if (mod == 1)
        insn->displacement = (int32_t)((cursor_next(cursor) ^ 0x80u) - 0x80u);
    else if (mod == 2)
        insn->displacement = (int32_t)cursor_number(cursor, 4);
}

/* ModRM and what belongs to it (Intel SDM volume 2, 2.1.5 and 2.2.1). */
static void decode_modrm(struct cursor *cursor, struct soft_insn *insn, const struct soft_opcode *row, uint8_t rex)
{
    insn->modrm = cursor_next(cursor);
    insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (rex & REX_R ? 8 : 0));
    insn->rm = (uint8_t)((insn->modrm & 7) | (rex & REX_B ? 8 : 0));
    if (insn->modrm < 0xc0 && !(row->flags & SOFT_OP_MODRM_IS_REGISTERS))
        decode_memory(cursor, insn, rex);
}

static uint8_t operand_size(const struct soft_insn *insn, unsigned flags)
{
    if (flags & SOFT_OP_BYTE)
        return 1;
    if (insn->rex_w)
        return 8;
    const bool small = (insn->prefixes & (SOFT_PREFIX_OPSIZE | SOFT_PREFIX_VEX)) == SOFT_PREFIX_OPSIZE;
    if (flags & SOFT_OP_BRANCH)
        return small && host_is_amd() ? 2 : 8;
    if (small)
        return 2;
    return flags & SOFT_OP_DEFAULT_64 ? 8 : 4;
}

static void decode_immediate(struct cursor *cursor, struct soft_insn *insn, unsigned flags)
{
    const unsigned z = insn->operand_size == 2 ? 2 : 4;
    if (flags & SOFT_OP_MOFFS)
        insn->immediate = cursor_number(cursor, insn->address_size);
    if (flags & SOFT_OP_IMM16)
        insn->immediate = cursor_number(cursor, 2);
    if (flags & SOFT_OP_IMM_Z)
        insn->immediate = sign_extend(cursor_number(cursor, z), z);
    if (flags & SOFT_OP_IMM_FULL)
        insn->immediate = cursor_number(cursor, insn->operand_size);
    if (flags & SOFT_OP_IMM8_SIGNED)
        insn->immediate = sign_extend(cursor_next(cursor), 1);
    if (flags & SOFT_OP_IMM8)
        insn->immediate |= (uint64_t)cursor_next(cursor) << (flags & SOFT_OP_IMM16 ? 16 : 0);
}

static uint8_t operand_segment(const struct soft_insn *insn, const struct prefix_bits *bits)
{
    if (bits->override != MH_SEG_COUNT)
        return bits->override;
    return insn->has_memory && (insn->base == MH_RSP || insn->base == MH_RBP) ? MH_SS : MH_DS;
}

/* Is the instruction legal in this form? */
static bool form_is_legal(const struct soft_insn *insn, const struct soft_opcode *row)
{
    const unsigned flags = row->flags;
    if (flags & SOFT_OP_MODRM) {
        if (flags & SOFT_OP_MEMORY_ONLY && !insn->has_memory)
            return false;
        if (flags & SOFT_OP_REGISTER_ONLY && insn->has_memory)
            return false;
    }
    return !(insn->prefixes & SOFT_PREFIX_LOCK) || (flags & SOFT_OP_LOCK && insn->has_memory);
}

/* Opcodes of the map 0F that are not defined, and have no ModRM byte. */
static bool is_undefined_0f(uint8_t opcode, bool vex)
{
    static const uint8_t undefined[] = {0x04, 0x0a, 0x0c, 0x0e, 0x0f, 0x24, 0x25, 0x26, 0x27, 0x36, 0x37, 0x77, 0xaa};
    return memchr(undefined, opcode, sizeof undefined) != NULL || (vex && opcode >= 0x39 && opcode <= 0x3f);
}

/* Groups of the one-byte map of which not all are defined. */
static bool is_group(uint8_t opcode)
{
    return opcode == 0x82 || opcode == 0x8f || opcode == 0xc6 || opcode == 0xc7 || opcode == 0xfe || opcode == 0xff ||
           (opcode & 0xf8) == 0xd8;
}

/* AAM, AAD and the far branches with an immediate: bytes behind these opcodes that 64-bit mode does not define. */
static unsigned undefined_immediate(uint8_t opcode, unsigned prefixes)
{
    if (opcode == 0xd4 || opcode == 0xd5)
        return 1;
    if (opcode == 0x9a || opcode == 0xea)
        return prefixes & SOFT_PREFIX_OPSIZE ? 4 : 6;
    return 0;
}

static bool has_immediate_0f(uint8_t opcode)
{
    return (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xba || opcode == 0xc2 || (opcode >= 0xc4 && opcode <= 0xc6);
}

/*
 * The processor fetches the operands of what is no instruction, too: a page fault there comes before #UD. With VEX, the
 * map 0F has the operands that it has without.
 */
static void skip_operands(struct cursor *cursor, struct soft_insn *insn, uint8_t rex, uint8_t modrm)
{
    static const struct soft_opcode no_row = {.flags = SOFT_OP_MODRM};
    const struct soft_opcode *row = &no_row;
    const bool vex = (insn->prefixes & SOFT_PREFIX_VEX) != 0;
    if (insn->map == SOFT_MAP_ONE_BYTE && undefined_immediate(insn->opcode, insn->prefixes) != 0)
        cursor_number(cursor, undefined_immediate(insn->opcode, insn->prefixes));
    if (insn->map == SOFT_MAP_ONE_BYTE ? !is_group(insn->opcode)
                                       : insn->map == SOFT_MAP_0F && is_undefined_0f(insn->opcode, vex))
        return;
    if (insn->map == SOFT_MAP_0F && vex)
        row = soft_integer_opcode(SOFT_MAP_0F, insn->opcode, 0, modrm);
    if (row == NULL)
        row = &no_row;
    if (row->flags & SOFT_OP_MODRM)
        decode_modrm(cursor, insn, row, rex);
    if (insn->map == SOFT_MAP_0F3A || row->flags & SOFT_OP_IMM8 ||
        (insn->map == SOFT_MAP_0F && has_immediate_0f(insn->opcode)))
        cursor_next(cursor);
    if (row->flags & SOFT_OP_IMM_Z)
        cursor_number(cursor, 4);
    if (insn->map == SOFT_MAP_ONE_BYTE && ((insn->opcode & 0xfe) == 0xc6 || insn->opcode == 0x82))
        cursor_number(cursor, insn->opcode != 0xc7 ? 1 : insn->prefixes & SOFT_PREFIX_OPSIZE ? 2 : 4);
}

/* From the opcode on. False: not an instruction. */
static bool decode_rest(struct cursor *cursor, struct soft_insn *insn, struct prefix_bits *bits)
{
    if (!decode_opcode(cursor, insn, bits) || cursor_failed(cursor))
        return false;
    /* A row may depend on ModRM; an opcode at the very end of what is available may still need none. */
    struct cursor ahead = *cursor;
    const uint8_t modrm = cursor_peek(&ahead);
    const struct soft_opcode *row = bits->has_vex && bits->no_vex ? NULL : find_row(insn, modrm);
    if (row == NULL || row->run == NULL) {
        skip_operands(cursor, insn, bits->rex, modrm);
        return false;
    }
    if (row->flags & SOFT_OP_MODRM)
        decode_modrm(cursor, insn, row, bits->rex);
    insn->operand_size = operand_size(insn, row->flags);
    decode_immediate(cursor, insn, row->flags);
    insn->segment = operand_segment(insn, bits);
    if (!(row->flags & SOFT_OP_MODRM))
        insn->rm = (uint8_t)((insn->opcode & 7) | (bits->rex & REX_B ? 8 : 0));
    insn->run = row->run;
    insn->code = row->code;
    insn->data = row->data;
    return form_is_legal(insn, row);
}

unsigned soft_decode(const uint8_t *bytes, unsigned available, struct soft_insn *insn)
{
    struct cursor cursor = {.bytes = bytes, .available = available};
    struct prefix_bits bits = {.override = MH_SEG_COUNT};
    memset(insn, 0, sizeof *insn);
    insn->address_size = 8;
    insn->operand_size = 4;
    insn->base = SOFT_NO_REGISTER;
    insn->index = SOFT_NO_REGISTER;
    insn->segment = MH_DS;
    decode_prefixes(&cursor, insn, &bits);
    const bool legal = !cursor_failed(&cursor) && decode_rest(&cursor, insn, &bits);
    if (cursor.too_long || cursor.at > INSTRUCTION_MAX) {
        insn->run = op_too_long;
        insn->code = 0;
        cursor.at = INSTRUCTION_MAX;
    } else if (cursor.exhausted) {
        return 0;
    } else if (!legal) {
        insn->run = soft_op_ud;
        insn->code = 0;
    }
    insn->length = (uint8_t)cursor.at;
    return cursor.at;
}
