/*
 * SSE and AVX: instructions that calculate.
 *
 * The host executes the very instruction. A row of soft_simd_table.c has the address of a stub, which is the opcode
 * with its operands in registers that are always the same (host_x86_64_simd.S). A handler brings the guest's operands
 * there, calls the stub, and stores the result: so results, flags and exceptions are those of the silicon.
 *
 * Memory operands are read first and given to the stub as a register. That is the same for all instructions that come
 * here; those whose memory form does something else, or that only move data, are in soft_simd_move.c, and those that
 * touch memory by elements in soft_simd_memory.c.
 *
 * VEX.128 uses the stubs of SSE: the result is calculated from another first operand, and bits 128 to 255 are cleared.
 */
#include "soft_simd.h"

#include "soft_flags.h"

/* ---- operands ---- */

bool simd_read_memory(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned size)
{
    switch (size) {
    case 4:
        return soft_read32(cpu, segment, address, to);
    case 8:
        return soft_read64(cpu, segment, address, to);
    case 16:
        return simd_read128(cpu, segment, address, to);
    default:
        return soft_read(cpu, segment, address, to, size);
    }
}

bool simd_write_memory(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned size)
{
    uint32_t word;
    uint64_t quadword;
    switch (size) {
    case 4:
        memcpy(&word, from, sizeof word);
        return soft_write32(cpu, segment, address, word);
    case 8:
        memcpy(&quadword, from, sizeof quadword);
        return soft_write64(cpu, segment, address, quadword);
    case 16:
        return simd_write128(cpu, segment, address, from);
    default:
        return soft_write(cpu, segment, address, from, size);
    }
}

/* Operands of a size that is no power of two are not checked for alignment, so take the last byte by itself. */
bool simd_read_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned size)
{
    if ((cpu->rflags & MH_RFLAGS_AC) == 0)
        return simd_read_memory(cpu, segment, address, to, size);
    return soft_read(cpu, segment, address, to, size - 1) &&
           soft_read(cpu, segment, address + size - 1, (uint8_t *)to + size - 1, 1);
}

bool simd_write_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned size)
{
    if ((cpu->rflags & MH_RFLAGS_AC) == 0)
        return simd_write_memory(cpu, segment, address, from, size);
    return simd_probe_element(cpu, segment, address, size) && soft_write(cpu, segment, address, from, size - 1) &&
           soft_write(cpu, segment, address + size - 1, (const uint8_t *)from + size - 1, 1);
}

bool simd_probe_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned size)
{
    return soft_probe(cpu, segment, address, size - 1, true) && soft_probe(cpu, segment, address + size - 1, 1, true);
}

bool simd_memory_address(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind, unsigned size,
                         uint64_t *address)
{
    const unsigned flags = simd_info(insn)->flags;
    *address = soft_address(cpu, insn);
    if ((*address & (size - 1)) == 0 || size < 16)
        return true;
    if ((flags & SIMD_ALIGNED) == 0 && (kind != SIMD_LEGACY || (flags & SIMD_UNALIGNED) != 0))
        return true;
    soft_raise_error(cpu, EXCEPTION_GP, 0);
    return false;
}

const uint8_t *simd_source(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind, uint8_t *buffer,
                           enum soft_result *result)
{
    if (!insn->has_memory) {
        if (kind != SIMD_VEX256)
            return simd_xmm(cpu, insn->rm);
        simd_read_ymm(cpu, insn->rm, buffer);
        return buffer;
    }
    const unsigned size = simd_info(insn)->size[kind];
    uint64_t address;
    if (!simd_memory_address(cpu, insn, kind, size, &address)) {
        *result = SOFT_FAULT;
        return NULL;
    }
    if (size < 32)
        memset(buffer, 0, 32);
    const bool done = (simd_info(insn)->flags & SIMD_NO_AC) != 0
                          ? simd_read_element(cpu, insn->segment, address, buffer, size)
                          : simd_read_memory(cpu, insn->segment, address, buffer, size);
    if (!done) {
        *result = soft_mem_result(cpu);
        return NULL;
    }
    return buffer;
}

/* The number of the first source: VEX.vvvv, or the destination. */
static unsigned first_source(const struct soft_insn *insn, enum simd_kind kind)
{
    return kind != SIMD_LEGACY && (simd_info(insn)->flags & SIMD_NDS) != 0 ? insn->vvvv : insn->reg;
}

/* Fill in vector `i` with a register. */
static void put_register(struct soft_cpu *cpu, enum simd_kind kind, struct host_simd_operands *operands, unsigned i,
                         unsigned n)
{
    memcpy(operands->vector[i], simd_xmm(cpu, n), 16);
    if (kind == SIMD_VEX256)
        memcpy(operands->vector[i] + 16, simd_ymmh(cpu, n), 16);
}

/* Fill in vector 1 with what ModRM.rm names. */
static bool put_source(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
                       struct host_simd_operands *operands, enum soft_result *result)
{
    const uint8_t *source = simd_source(cpu, insn, kind, operands->vector[1], result);
    if (source != NULL && source != operands->vector[1])
        memcpy(operands->vector[1], source, 16);
    return source != NULL;
}

static void write_vector(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind, unsigned n,
                         const void *from)
{
    if (kind == SIMD_VEX256)
        simd_write_ymm(cpu, n, from);
    else
        simd_write_xmm(cpu, insn, n, from);
}

static const uint8_t *stub_of(const struct soft_insn *insn, enum simd_kind kind)
{
    return simd_info(insn)->stub[kind] + (size_t)(insn->immediate & 0xff) * HOST_SIMD_STRIDE;
}

/* ---- destination, first source, second source ---- */

static enum soft_result vector_checked(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
                                       const uint8_t *source)
{
    struct host_simd_operands operands;
    put_register(cpu, kind, &operands, 0, first_source(insn, kind));
    memcpy(operands.vector[1], source, kind == SIMD_VEX256 ? 32 : 16);
    if (!simd_call(cpu, insn, kind, &operands, stub_of(insn, kind)))
        return SOFT_FAULT;
    write_vector(cpu, insn, kind, insn->reg, operands.vector[0]);
    return SOFT_NEXT;
}

static enum soft_result vector_any(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    alignas(32) uint8_t buffer[32];
    enum soft_result result;
    const uint8_t *source = simd_source(cpu, insn, kind, buffer, &result);
    if (source == NULL)
        return result;
    if ((simd_info(insn)->flags & SIMD_FP) != 0 && !simd_mxcsr_ready(cpu))
        return vector_checked(cpu, insn, kind, source);

    const unsigned first = first_source(insn, kind);
    if (kind == SIMD_VEX256) {
        alignas(32) uint8_t to[32];
        simd_read_ymm(cpu, first, to);
        host_simd_binary_256(to, to, source, stub_of(insn, kind));
        simd_write_ymm(cpu, insn->reg, to);
        return SOFT_NEXT;
    }
    host_simd_binary(simd_xmm(cpu, insn->reg), simd_xmm(cpu, first), source, stub_of(insn, kind));
    if (kind == SIMD_VEX128)
        memset(simd_ymmh(cpu, insn->reg), 0, 16);
    return SOFT_NEXT;
}

/* With the encodings of SSE and memory that is at hand. */
static enum soft_result vector_from_memory(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const struct simd_info *info = simd_info(insn);
    const uint64_t address = soft_address(cpu, insn);
    const unsigned size = info->size[SIMD_LEGACY];
    const uint8_t *source = simd_at_hand(cpu, address, size);
    uint8_t *to = simd_xmm(cpu, insn->reg);
    if (source == NULL)
        return vector_any(cpu, insn);
    if (size == 8)
        return host_simd_binary_8(to, to, source, stub_of(insn, SIMD_LEGACY));
    if (size == 4)
        return host_simd_binary_4(to, to, source, stub_of(insn, SIMD_LEGACY));
    if (size == 16 && (address & 15) == 0)
        return host_simd_binary(to, to, source, stub_of(insn, SIMD_LEGACY));
    return vector_any(cpu, insn);
}

/* Most instructions: reg = operation(reg or vvvv, rm [, imm8]), or reg = operation(rm [, imm8]). */
enum soft_result simd_vector(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    /* The fast loop waits for MXCSR to be loaded, so load it for integers, too. */
    if (!simd_is_plain_sse(cpu, insn) || (!simd_mxcsr_ready(cpu) && (simd_info(insn)->flags & SIMD_FP) != 0))
        return vector_any(cpu, insn);
    if (insn->has_memory)
        return vector_from_memory(cpu, insn);
    uint8_t *to = simd_xmm(cpu, insn->reg);
    return host_simd_binary(to, to, simd_xmm(cpu, insn->rm), stub_of(insn, SIMD_LEGACY));
}

/* Fused multiply and add: the destination is a source, too. */
enum soft_result simd_fma(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands;
    enum soft_result result;
    put_register(cpu, kind, &operands, 0, insn->reg);
    put_register(cpu, kind, &operands, 2, insn->vvvv);
    if (!put_source(cpu, insn, kind, &operands, &result))
        return result;
    if (!simd_call(cpu, insn, kind, &operands, stub_of(insn, kind)))
        return SOFT_FAULT;
    write_vector(cpu, insn, kind, insn->reg, operands.vector[0]);
    return SOFT_NEXT;
}

/* ---- variable blends ---- */

static enum soft_result blend(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
                              unsigned selector)
{
    struct host_simd_operands operands;
    enum soft_result result;
    put_register(cpu, kind, &operands, 0, first_source(insn, kind));
    put_register(cpu, kind, &operands, 3, selector);
    if (!put_source(cpu, insn, kind, &operands, &result))
        return result;
    simd_call(cpu, insn, kind, &operands, simd_info(insn)->stub[kind]);
    write_vector(cpu, insn, kind, insn->reg, operands.vector[0]);
    return SOFT_NEXT;
}

/* PBLENDVB, BLENDVPS, BLENDVPD: xmm0 selects. */
enum soft_result simd_blend(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_allowed(cpu, insn, SIMD_LEGACY))
        return simd_refuse(cpu, insn);
    return blend(cpu, insn, SIMD_LEGACY, 0);
}

/* Their forms with VEX: bits 4 to 7 of the immediate name the register that selects. */
enum soft_result simd_blend_is4(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    return blend(cpu, insn, kind, insn->immediate >> 4 & 15);
}

/* ---- shifts by an immediate: the destination is rm, or vvvv with VEX ---- */

static unsigned shift_destination(const struct soft_insn *insn, enum simd_kind kind)
{
    return kind == SIMD_LEGACY ? insn->rm : insn->vvvv;
}

/* The stub is that of the shift by a register, which reads its count from 64 bits. */
enum soft_result simd_shift_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands = {.vector[1][0] = (uint8_t)insn->immediate};
    put_register(cpu, kind, &operands, 0, insn->rm);
    simd_call(cpu, insn, kind, &operands, simd_info(insn)->stub[kind]);
    write_vector(cpu, insn, kind, shift_destination(insn, kind), operands.vector[0]);
    return SOFT_NEXT;
}

/* PSRLDQ, PSLLDQ: each half of a ymm register by itself. */
enum soft_result simd_shift_bytes(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const size_t count = insn->immediate > 16 ? 16 : insn->immediate;
    const bool is_right = (insn->modrm >> 3 & 7) == 3;
    uint8_t from[32], to[32] = {0};
    simd_read_ymm(cpu, insn->rm, from);
    for (size_t half = 0; half < sizeof to; half += 16)
        memcpy(to + half + (is_right ? 0 : count), from + half + (is_right ? count : 0), 16 - count);
    write_vector(cpu, insn, kind, shift_destination(insn, kind), to);
    return SOFT_NEXT;
}

/* ---- results in flags and general registers ---- */

/* COMISS, UCOMISS, PTEST, VTESTPS and the like. */
enum soft_result simd_compare(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands;
    enum soft_result result;
    put_register(cpu, kind, &operands, 0, insn->reg);
    if (!put_source(cpu, insn, kind, &operands, &result))
        return result;
    if (!simd_call(cpu, insn, kind, &operands, simd_info(insn)->stub[kind]))
        return SOFT_FAULT;
    soft_set_arithmetic(cpu, (uint32_t)operands.flags & SOFT_ARITHMETIC);
    return SOFT_NEXT;
}

/* The length of a string operand: its absolute value, at most 16, counts. */
static uint64_t string_length(uint64_t value, bool is_64)
{
    const int64_t length = is_64 ? (int64_t)value : (int32_t)(uint32_t)value;
    return length < -16 || length > 16 ? 16 : (uint64_t)(length < 0 ? -length : length);
}

/* PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI: opcodes 60 to 63. */
enum soft_result simd_string(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands = {.rax = string_length(cpu->gpr[MH_RAX], insn->rex_w),
                                          .rdx = string_length(cpu->gpr[MH_RDX], insn->rex_w)};
    enum soft_result result;
    put_register(cpu, kind, &operands, 0, insn->reg);
    if (!put_source(cpu, insn, kind, &operands, &result))
        return result;
    simd_call(cpu, insn, kind, &operands, stub_of(insn, kind));
    if ((insn->opcode & 1) != 0)
        cpu->gpr[MH_RCX] = operands.rcx;
    else
        simd_write_xmm(cpu, insn, 0, operands.vector[0]);
    soft_set_arithmetic(cpu, (uint32_t)operands.flags & SOFT_ARITHMETIC);
    return SOFT_NEXT;
}

/* CVTSI2SS and the like with REX.W have stubs of their own. */
static const uint8_t *convert_stub(const struct soft_insn *insn, enum simd_kind kind)
{
    if (!insn->rex_w || insn->opcode < 0x2a || insn->opcode > 0x2d)
        return simd_info(insn)->stub[kind];
    const uint8_t *table =
        (insn->prefixes & SOFT_PREFIX_REPNE) != 0 ? host_simd_convert_64_f2 : host_simd_convert_64_f3;
    return table + (size_t)(insn->opcode - 0x2a) * HOST_SIMD_STRIDE;
}

/* CVTSS2SI and the like, MOVMSKPS, PMOVMSKB. */
enum soft_result simd_to_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands;
    enum soft_result result;
    if (!put_source(cpu, insn, kind, &operands, &result))
        return result;
    if (!simd_call(cpu, insn, kind, &operands, convert_stub(insn, kind)))
        return SOFT_FAULT;
    cpu->gpr[insn->reg] = operands.rax;
    return SOFT_NEXT;
}

/* CVTSI2SS, CVTSI2SD. */
enum soft_result simd_from_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct host_simd_operands operands;
    operands.rcx = 0;
    if (!insn->has_memory)
        operands.rcx = cpu->gpr[insn->rm];
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), &operands.rcx, insn->rex_w ? 8 : 4))
        return soft_mem_result(cpu);
    put_register(cpu, kind, &operands, 0, first_source(insn, kind));
    if (!simd_call(cpu, insn, kind, &operands, convert_stub(insn, kind)))
        return SOFT_FAULT;
    write_vector(cpu, insn, kind, insn->reg, operands.vector[0]);
    return SOFT_NEXT;
}

/* ---- two whose memory form differs ---- */

#define INSERTPS_DESTINATION 0x3fu /* without the number of the source's element: memory has only one */

enum soft_result simd_insertps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct soft_insn other = *insn;
    if (insn->has_memory)
        other.immediate &= INSERTPS_DESTINATION;
    return simd_vector(cpu, &other);
}

/* VCVTPS2PH: from reg to rm. Its exceptions come before those of the store, and stay in MXCSR when that fails. */
enum soft_result simd_cvtps2ph(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const unsigned size = kind == SIMD_VEX256 ? 16 : 8;
    struct host_simd_operands operands = {.rax = 0};
    put_register(cpu, kind, &operands, 0, insn->reg);
    if (!simd_call(cpu, insn, kind, &operands, stub_of(insn, kind)))
        return SOFT_FAULT;
    if (!insn->has_memory)
        simd_write_xmm(cpu, insn, insn->rm, operands.vector[1]);
    else if (!simd_write_element(cpu, insn->segment, soft_address(cpu, insn), operands.vector[1], size))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}
