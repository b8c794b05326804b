#include "instruction.h"

#include "opcodes.h"

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
        address += regs->rip + d->at + opcode_immediate_size(d);
    return (d->address32 ? (uint32_t)address : address) + d->segment_base;
}

/* Reads that no ModRM byte names: the stack and string instructions, and absolute moves. */
static unsigned implicit_reads(struct decoded *d, const struct kvm_regs *regs, struct instruction_read *reads)
{
    uint8_t op = d->opcode;
    uint32_t size = (op & 1) == 0 ? 1 : opcode_general_size(d);
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
    if (!opcode_has_modrm(&d))
        return implicit_reads(&d, regs, reads);
    d.modrm = take(&d);
    if (d.map == 1 && d.opcode == 0x8f) { /* pop to memory or register */
        reads[0] = (struct instruction_read){regs->rsp, 8};
        return 1;
    }
    if (d.modrm >> 6 == 3)
        return 0;
    if (!opcode_reads(&d))
        return 0;
    uint32_t size = opcode_operand_size(&d);
    reads[0] = (struct instruction_read){take_address(&d, regs, size), size};
    return 1;
}
