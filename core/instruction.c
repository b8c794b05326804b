#include "instruction.h"

#include <string.h>

/* An instruction taken apart as far as its memory operand. */
struct decoded {
    const uint8_t *code;
    size_t available, at;
    bool operand16, address32, repne, rep, wide; /* 66, 67, f2, f3, REX.W */
    uint8_t rex;
    uint64_t segment_base;
    unsigned map;            /* 1: one byte, 2: 0f, 3: 0f 38 and 0f 3a */
    bool has_immediate_byte; /* of map 3: 0f 3a */
    uint8_t opcode;
    bool is_vector; /* VEX or EVEX */
    uint32_t vector_length;
    bool is_evex, is_broadcast; /* EVEX: byte displacements count operands; one element is read for all */
    uint8_t modrm;
};

static uint8_t peek(const struct decoded *d)
{
    return d->at < d->available ? d->code[d->at] : 0;
}

static uint8_t take(struct decoded *d)
{
    uint8_t byte = peek(d);
    d->at++;
    return byte;
}

static bool take_legacy_prefix(struct decoded *d, const struct kvm_sregs *sregs)
{
    switch (peek(d)) {
    case 0x66:
        d->operand16 = true;
        break;
    case 0x67:
        d->address32 = true;
        break;
    case 0xf2:
        d->repne = true;
        break;
    case 0xf3:
        d->rep = true;
        break;
    case 0x64:
        d->segment_base = sregs != NULL ? sregs->fs.base : 0;
        break;
    case 0x65:
        d->segment_base = sregs != NULL ? sregs->gs.base : 0;
        break;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0xf0:
        break;
    default:
        return false;
    }
    d->at++;
    return true;
}

static void take_prefixes(struct decoded *d, const struct kvm_sregs *sregs)
{
    while (d->at < d->available && take_legacy_prefix(d, sregs)) {
    }
    if ((peek(d) & 0xf0) == 0x40)
        d->rex = take(d);
    d->wide = (d->rex & 8) != 0;
}

static void set_map(struct decoded *d, unsigned number)
{
    d->map = number == 1 ? 2 : 3;
    d->has_immediate_byte = number == 3;
}

static void set_vector_prefix(struct decoded *d, unsigned pp)
{
    d->is_vector = true;
    d->operand16 = pp == 1;
    d->rep = pp == 2;
    d->repne = pp == 3;
}

/* VEX and EVEX carry inverted REX bits; put them where REX has them. */
static void take_vex2(struct decoded *d)
{
    uint8_t byte = take(d);
    d->rex = (byte & 0x80) != 0 ? 0 : 4;
    d->vector_length = (byte & 4) != 0 ? 32 : 16;
    d->map = 2;
    set_vector_prefix(d, byte & 3u);
}

static void take_vex3(struct decoded *d)
{
    uint8_t first = take(d), second = take(d);
    d->rex = (uint8_t)((~first >> 5 & 7) | (second >> 4 & 8));
    d->wide = (second & 0x80) != 0;
    d->vector_length = (second & 4) != 0 ? 32 : 16;
    set_map(d, first & 0x1fu);
    set_vector_prefix(d, second & 3u);
}

static void take_evex(struct decoded *d)
{
    uint8_t first = take(d), second = take(d), third = take(d);
    d->rex = (uint8_t)((~first >> 5 & 7) | (second >> 4 & 8));
    d->wide = (second & 0x80) != 0;
    d->vector_length = 16u << (third >> 5 & 3);
    d->is_evex = true;
    d->is_broadcast = (third & 0x10) != 0;
    set_map(d, first & 7u);
    set_vector_prefix(d, second & 3u);
}

static void take_opcode(struct decoded *d)
{
    uint8_t byte = take(d);
    d->map = 1;
    if (byte == 0xc5)
        take_vex2(d);
    else if (byte == 0xc4)
        take_vex3(d);
    else if (byte == 0x62)
        take_evex(d);
    else if (byte == 0x0f && (peek(d) == 0x38 || peek(d) == 0x3a))
        set_map(d, take(d) == 0x3a ? 3 : 2);
    else if (byte == 0x0f)
        d->map = 2;
    else {
        d->opcode = byte;
        return;
    }
    d->opcode = take(d);
}

static bool in_range(uint8_t value, uint8_t first, uint8_t last)
{
    return value >= first && value <= last;
}

static bool one_byte_has_modrm(uint8_t op)
{
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || in_range(op, 0x80, 0x8f) || op == 0xc0 || op == 0xc1 ||
           op == 0xc6 || op == 0xc7 || in_range(op, 0xd0, 0xd3) || in_range(op, 0xd8, 0xdf) || op == 0xf6 ||
           op == 0xf7 || op == 0xfe || op == 0xff;
}

static bool two_byte_has_modrm(uint8_t op)
{
    return !(in_range(op, 0x05, 0x0b) || op == 0x0e || in_range(op, 0x30, 0x37) || op == 0x77 ||
             in_range(op, 0x80, 0x8f) || in_range(op, 0xa0, 0xa2) || in_range(op, 0xa8, 0xaa) ||
             in_range(op, 0xc8, 0xcf));
}

static uint64_t gpr(const struct kvm_regs *regs, unsigned number)
{
    const uint64_t values[] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp, regs->rsi, regs->rdi,
                               regs->r8,  regs->r9,  regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15};
    return values[number & 15];
}

static uint64_t take_number(struct decoded *d, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)take(d) << (8 * i);
    return value;
}

static int64_t take_displacement(struct decoded *d, unsigned size)
{
    uint64_t value = take_number(d, size);
    return size == 1 ? (int8_t)value : size == 4 ? (int32_t)value : 0;
}

/* Bytes of immediate behind the memory operand; they matter for addresses relative to the next instruction. */
static unsigned immediate_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    unsigned full = d->operand16 && !d->wide ? 2 : 4;
    if (d->map == 3)
        return d->has_immediate_byte ? 1 : 0;
    if (d->map == 2)
        return in_range(op, 0x70, 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
                       in_range(op, 0xc4, 0xc6)
                   ? 1
                   : 0;
    if (op == 0x69 || op == 0x81 || op == 0xc7 || (op == 0xf7 && reg < 2))
        return full;
    return op == 0x6b || op == 0x80 || op == 0x83 || op == 0xc0 || op == 0xc1 || op == 0xc6 || (op == 0xf6 && reg < 2)
               ? 1
               : 0;
}

/* The base and index of a SIB byte; *base_is_displacement tells that a 32-bit displacement stands for the base. */
static uint64_t take_sib(struct decoded *d, const struct kvm_regs *regs, bool *base_is_displacement)
{
    uint8_t sib = take(d);
    unsigned base = (sib & 7u) | (d->rex & 1u) << 3, index = (sib >> 3 & 7u) | (d->rex & 2u) << 2;
    uint64_t address = index == 4 ? 0 : gpr(regs, index) << (sib >> 6);
    *base_is_displacement = (sib & 7) == 5 && d->modrm >> 6 == 0;
    return *base_is_displacement ? address : address + gpr(regs, base);
}

/* The address of the memory operand, which has `size` bytes. */
static uint64_t take_address(struct decoded *d, const struct kvm_regs *regs, uint32_t size)
{
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7u;
    unsigned displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    bool bare = false, relative = mod == 0 && rm == 5;
    uint64_t address = 0;
    if (rm == 4)
        address = take_sib(d, regs, &bare);
    else if (!relative)
        address = gpr(regs, rm | (d->rex & 1u) << 3);
    if (bare || relative)
        displacement = 4;
    address += (uint64_t)take_displacement(d, displacement) * (d->is_evex && displacement == 1 ? size : 1);
    if (relative)
        address += regs->rip + d->at + immediate_size(d);
    return (d->address32 ? (uint32_t)address : address) + d->segment_base;
}

static bool x87_only_stores(uint8_t op, uint8_t reg)
{
    switch (op) {
    case 0xd9:
        return reg == 2 || reg == 3 || reg >= 6;
    case 0xdb:
        return reg >= 1 && reg != 5 && reg != 4 && reg != 6;
    case 0xdd:
    case 0xdf:
        return reg == 1 || reg == 2 || reg == 3 || reg >= 6;
    default:
        return false;
    }
}

static bool one_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x88 || op == 0x89 || op == 0x8c || op == 0x8d || op == 0x8f || op == 0xc6 || op == 0xc7)
        return false;
    return !x87_only_stores(op, reg);
}

static bool two_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x7e)
        return d->rep;
    if (op == 0x00) /* SLDT and STR store */
        return reg >= 2;
    if (op == 0x01) /* LGDT, LIDT, LMSW */
        return reg == 2 || reg == 3 || reg == 6;
    if (op == 0xae) /* FXRSTOR, LDMXCSR, XRSTOR */
        return reg == 1 || reg == 2 || reg == 5;
    if (op == 0xd6 || op == 0xe7 || op == 0x7f || op == 0xc3)
        return false;
    return !(in_range(op, 0x18, 0x1f) || op == 0x11 || op == 0x13 || op == 0x17 || op == 0x29 || op == 0x2b ||
             op == 0x0d || in_range(op, 0x90, 0x9f));
}

static uint32_t general_size(const struct decoded *d)
{
    return d->wide ? 8 : d->operand16 ? 2 : 4;
}

static uint32_t x87_size(uint8_t op, uint8_t reg)
{
    switch (op) {
    case 0xd9:
        return reg == 4 ? 28 : reg == 5 ? 2 : 4;
    case 0xdb:
        return reg == 5 ? 10 : 4;
    case 0xdc:
        return 8;
    case 0xdd:
        return reg == 4 ? 108 : 8;
    case 0xde:
        return 2;
    case 0xdf:
        return reg == 4 ? 10 : reg == 5 ? 8 : 2;
    default:
        return 4;
    }
}

static uint32_t one_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x63)
        return 4;
    if (op == 0x8e)
        return 2;
    if (op == 0xff && (reg == 2 || reg == 4 || reg == 6))
        return 8;
    if (in_range(op, 0xd8, 0xdf))
        return x87_size(op, reg);
    return (op & 1) == 0 ? 1 : general_size(d);
}

static bool is_scalar_sse(uint8_t op)
{
    return op == 0x10 || op == 0x2c || op == 0x2d || in_range(op, 0x51, 0x53) || in_range(op, 0x58, 0x5f) || op == 0xc2;
}

static uint32_t system_size(uint8_t op, uint8_t reg)
{
    if (op == 0x01)
        return reg == 6 ? 2 : 10;
    if (op == 0xae)
        return reg == 2 ? 4 : 512;
    return 2;
}

static uint32_t two_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op <= 0x03 || op == 0xae)
        return system_size(op, reg);
    if (op == 0xb0 || op == 0xb6 || op == 0xbe || op == 0xc0)
        return 1;
    if (op == 0xb7 || op == 0xbf || op == 0xc4)
        return 2;
    if (op == 0xc7)
        return d->wide ? 16 : 8;
    if (in_range(op, 0x40, 0x4f) || in_range(op, 0xa3, 0xaf) || in_range(op, 0xb1, 0xbd) || op == 0xc1)
        return general_size(d);
    if (op == 0x6e || (op == 0x2a && (d->rep || d->repne)))
        return d->wide ? 8 : 4;
    if (op == 0x2e || op == 0x2f)
        return d->operand16 ? 8 : 4;
    if (op == 0x7e || ((op == 0x12 || op == 0x16) && !d->rep))
        return 8;
    if (is_scalar_sse(op) && (d->rep || d->repne))
        return d->rep ? 4 : 8;
    return d->is_vector ? d->vector_length : 16;
}

/* 0f 38 and 0f 3a: what stores, and what gathers from many places, which no single address tells. */
static bool three_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode;
    if (d->has_immediate_byte)
        return !(in_range(op, 0x14, 0x17) || op == 0x19 || op == 0x1b || op == 0x1d || op == 0x39 || op == 0x3b);
    if (d->is_evex && d->rep && op < 0x40) /* narrowing moves */
        return false;
    if (!d->is_vector && op == 0xf1)
        return d->repne; /* CRC32 reads, MOVBE stores */
    return !(op == 0x2e || op == 0x2f || op == 0x8a || op == 0x8b || op == 0x8e || in_range(op, 0x90, 0x93) ||
             in_range(op, 0xa0, 0xa3) || op == 0xc6 || op == 0xc7 || op == 0xf9);
}

/* PMOVSX and PMOVZX read as many elements as they write, of a half, a quarter or an eighth of the size. */
static uint32_t widening_size(uint8_t op, uint32_t written)
{
    static const uint8_t parts[] = {2, 4, 8, 2, 4, 2};
    return written / parts[op & 7];
}

static uint32_t three_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode;
    uint32_t whole = d->is_vector ? d->vector_length : 16;
    if (d->has_immediate_byte)
        return op == 0x20 ? 1 : op == 0x0a || op == 0x21 ? 4 : op == 0x22 ? (d->wide ? 8 : 4) : op == 0x0b ? 8 : whole;
    if ((in_range(op, 0x20, 0x25) || in_range(op, 0x30, 0x35)) && !d->rep)
        return widening_size(op, whole);
    if (op == 0x78 || (op == 0xf0 && d->repne))
        return 1;
    if (op == 0x79)
        return 2;
    if (op == 0x18 || op == 0x58)
        return 4;
    if (op == 0x19 || op == 0x59)
        return 8;
    if (op == 0x1a || op == 0x5a)
        return 16;
    return op >= 0xf0 ? general_size(d) : whole;
}

static bool operand_is_read(const struct decoded *d)
{
    return d->map == 1 ? one_byte_reads(d) : d->map == 2 ? two_byte_reads(d) : three_byte_reads(d);
}

static uint32_t operand_size(const struct decoded *d)
{
    if (d->is_broadcast)
        return d->wide ? 8 : 4;
    return d->map == 1 ? one_byte_size(d) : d->map == 2 ? two_byte_size(d) : three_byte_size(d);
}

/* Reads that no ModRM byte names: the stack and string instructions, and absolute moves. */
static unsigned implicit_reads(struct decoded *d, const struct kvm_regs *regs, struct instruction_read *reads)
{
    uint8_t op = d->opcode;
    uint32_t size = (op & 1) == 0 ? 1 : general_size(d);
    if (d->map == 2 && (op == 0xa1 || op == 0xa9))
        reads[0] = (struct instruction_read){regs->rsp, 8};
    else if (d->map != 1)
        return 0;
    else if (in_range(op, 0x58, 0x5f) || op == 0xc2 || op == 0xc3 || op == 0x9d)
        reads[0] = (struct instruction_read){regs->rsp, 8};
    else if (op == 0xc9)
        reads[0] = (struct instruction_read){regs->rbp, 8};
    else if (op == 0xcf)
        reads[0] = (struct instruction_read){regs->rsp, 40};
    else if (op == 0xa4 || op == 0xa5 || op == 0xac || op == 0xad || op == 0x6e || op == 0x6f)
        reads[0] = (struct instruction_read){regs->rsi + d->segment_base, size};
    else if (op == 0xae || op == 0xaf)
        reads[0] = (struct instruction_read){regs->rdi, size};
    else if (op == 0xa6 || op == 0xa7) {
        reads[0] = (struct instruction_read){regs->rsi + d->segment_base, size};
        reads[1] = (struct instruction_read){regs->rdi, size};
        return 2;
    } else if (op == 0xa0 || op == 0xa1)
        reads[0] = (struct instruction_read){take_number(d, d->address32 ? 4 : 8) + d->segment_base, size};
    else if (op == 0xd7)
        reads[0] = (struct instruction_read){regs->rbx + (uint8_t)regs->rax + d->segment_base, 1};
    else
        return 0;
    return 1;
}

static bool is_string(const struct decoded *d)
{
    return d->map == 1 &&
           (in_range(d->opcode, 0xa4, 0xa7) || in_range(d->opcode, 0xac, 0xaf) || in_range(d->opcode, 0x6e, 0x6f));
}

static void decode_start(struct decoded *d, const uint8_t *code, size_t available, const struct kvm_sregs *sregs)
{
    *d = (struct decoded){.code = code, .available = available};
    take_prefixes(d, sregs);
}

uint8_t instruction_opcode(const uint8_t *code, size_t available)
{
    struct decoded d;
    decode_start(&d, code, available, NULL);
    return peek(&d);
}

unsigned instruction_reads(const uint8_t *code, size_t available, const struct kvm_regs *regs,
                           const struct kvm_sregs *sregs, struct instruction_read *reads)
{
    struct decoded d;
    decode_start(&d, code, available, sregs);
    take_opcode(&d);
    if (is_string(&d) && (d.rep || d.repne) && regs->rcx == 0)
        return 0;
    bool has_modrm = d.map == 3 || (d.map == 2 ? two_byte_has_modrm(d.opcode) : one_byte_has_modrm(d.opcode));
    if (!has_modrm)
        return implicit_reads(&d, regs, reads);
    d.modrm = take(&d);
    if (d.map == 1 && d.opcode == 0x8f) { /* pop to memory or register */
        reads[0] = (struct instruction_read){regs->rsp, 8};
        return 1;
    }
    if (d.modrm >> 6 == 3)
        return 0;
    if (!operand_is_read(&d))
        return 0;
    uint32_t size = operand_size(&d);
    reads[0] = (struct instruction_read){take_address(&d, regs, size), size};
    return 1;
}
