/* SSE and AVX: instructions that only move data. They change no flag and depend on no mode, so plain C does them. */
#include "soft_simd.h"

/* ---- whole registers ---- */

static enum soft_result load_register(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind)
{
    memcpy(simd_xmm(cpu, insn->reg), simd_xmm(cpu, insn->rm), 16);
    if (kind == SIMD_VEX256)
        memcpy(simd_ymmh(cpu, insn->reg), simd_ymmh(cpu, insn->rm), 16);
    else if (kind == SIMD_VEX128)
        memset(simd_ymmh(cpu, insn->reg), 0, 16);
    return SOFT_NEXT;
}

static enum soft_result load_any(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    if (!insn->has_memory)
        return load_register(cpu, insn, kind);
    uint64_t address;
    if (!simd_memory_address(cpu, insn, kind, simd_info(insn)->size[kind], &address))
        return SOFT_FAULT;
    if (kind == SIMD_VEX256) {
        uint8_t buffer[32];
        if (!soft_read(cpu, insn->segment, address, buffer, sizeof buffer))
            return soft_mem_result(cpu);
        simd_write_ymm(cpu, insn->reg, buffer);
        return SOFT_NEXT;
    }
    uint8_t buffer[16];
    if (!simd_read128(cpu, insn->segment, address, buffer))
        return soft_mem_result(cpu);
    simd_write_xmm(cpu, insn, insn->reg, buffer);
    return SOFT_NEXT;
}

/* MOVAPS, MOVUPS, MOVDQA, LDDQU and the like: to a register. */
enum soft_result simd_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_is_plain_sse(cpu, insn))
        return load_any(cpu, insn);
    const uint8_t *from = simd_xmm(cpu, insn->rm);
    if (insn->has_memory) {
        const uint64_t address = soft_address(cpu, insn);
        from = simd_at_hand(cpu, address, 16);
        if (from == NULL || ((address & 15) != 0 && (simd_info(insn)->flags & SIMD_ALIGNED) != 0))
            return load_any(cpu, insn);
    }
    memcpy(simd_xmm(cpu, insn->reg), from, 16);
    return SOFT_NEXT;
}

static enum soft_result store_register(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind)
{
    memcpy(simd_xmm(cpu, insn->rm), simd_xmm(cpu, insn->reg), 16);
    if (kind == SIMD_VEX256)
        memcpy(simd_ymmh(cpu, insn->rm), simd_ymmh(cpu, insn->reg), 16);
    else if (kind == SIMD_VEX128)
        memset(simd_ymmh(cpu, insn->rm), 0, 16);
    return SOFT_NEXT;
}

/* The same to rm, and MOVNTPS, MOVNTDQ. */
enum soft_result simd_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    if (!insn->has_memory)
        return store_register(cpu, insn, kind);
    uint64_t address;
    if (!simd_memory_address(cpu, insn, kind, simd_info(insn)->size[kind], &address))
        return SOFT_FAULT;
    uint8_t buffer[32];
    bool done;
    if (kind == SIMD_VEX256) {
        simd_read_ymm(cpu, insn->reg, buffer);
        done = soft_write(cpu, insn->segment, address, buffer, sizeof buffer);
    } else {
        done = simd_write128(cpu, insn->segment, address, simd_xmm(cpu, insn->reg));
    }
    return done ? SOFT_NEXT : soft_mem_result(cpu);
}

/* VZEROUPPER, VZEROALL (VEX.L). */
enum soft_result simd_vzero(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    memset(simd_ymmh(cpu, 0), 0, 256);
    if (kind == SIMD_VEX256)
        memset(simd_xmm(cpu, 0), 0, 256);
    return SOFT_NEXT;
}

/* ---- scalars ---- */

/* Is vvvv given where this form has no use for it? Register and memory forms of one opcode differ in that. */
static bool has_stray_vvvv(const struct soft_insn *insn)
{
    return (insn->prefixes & SOFT_PREFIX_VEX) != 0 && insn->vvvv != 0;
}

/* The register whose other bytes a partial move keeps: vvvv with VEX, else `legacy`. */
static const uint8_t *kept_register(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned legacy)
{
    return simd_xmm(cpu, (insn->prefixes & SOFT_PREFIX_VEX) != 0 ? insn->vvvv : legacy);
}

/* `size` is 4 or 8. */
static inline bool read_scalar(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t *value)
{
    if (size == 8)
        return soft_read64(cpu, insn->segment, soft_address(cpu, insn), value);
    uint32_t word = 0;
    const bool done = soft_read32(cpu, insn->segment, soft_address(cpu, insn), &word);
    *value = word;
    return done;
}

static inline bool write_scalar(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
    const uint8_t *from = simd_xmm(cpu, insn->reg);
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return size == 8 ? soft_write64(cpu, insn->segment, soft_address(cpu, insn), value)
                     : soft_write32(cpu, insn->segment, soft_address(cpu, insn), (uint32_t)value);
}

/* To `to` of the register `rest` with its first element from `from`. */
static enum soft_result merge_scalar(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned to,
                                     const uint8_t *rest, unsigned from)
{
    uint8_t merged[16];
    memcpy(merged, rest, sizeof merged);
    if (simd_info(insn)->size[SIMD_LEGACY] == 8)
        memcpy(merged, simd_xmm(cpu, from), 8);
    else
        memcpy(merged, simd_xmm(cpu, from), 4);
    simd_write_xmm(cpu, insn, to, merged);
    return SOFT_NEXT;
}

/* MOVSS, MOVSD to a register: from memory it clears the rest, from a register it keeps it. */
enum soft_result simd_load_scalar(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (insn->has_memory && has_stray_vvvv(insn))
        return soft_raise(cpu, EXCEPTION_UD);
    if (!simd_is_plain_sse(cpu, insn) && !simd_allowed(cpu, insn, simd_kind(insn)))
        return simd_refuse(cpu, insn);
    if (!insn->has_memory)
        return merge_scalar(cpu, insn, insn->reg, kept_register(cpu, insn, insn->reg), insn->rm);
    uint64_t to[2] = {0};
    if (!read_scalar(cpu, insn, simd_info(insn)->size[SIMD_LEGACY], &to[0]))
        return soft_mem_result(cpu);
    simd_write_xmm(cpu, insn, insn->reg, to);
    return SOFT_NEXT;
}

enum soft_result simd_store_scalar(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (insn->has_memory && has_stray_vvvv(insn))
        return soft_raise(cpu, EXCEPTION_UD);
    if (!simd_is_plain_sse(cpu, insn) && !simd_allowed(cpu, insn, simd_kind(insn)))
        return simd_refuse(cpu, insn);
    if (!insn->has_memory)
        return merge_scalar(cpu, insn, insn->rm, kept_register(cpu, insn, insn->rm), insn->reg);
    return write_scalar(cpu, insn, simd_info(insn)->size[SIMD_LEGACY]) ? SOFT_NEXT : soft_mem_result(cpu);
}

/* ---- halves of a register ---- */

/* MOVLPS, MOVHPS, MOVLPD, MOVHPD from memory, MOVHLPS, MOVLHPS. */
enum soft_result simd_load_half(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const size_t half = (simd_info(insn)->flags & SIMD_HALF) != 0 ? 8 : 0;
    uint8_t source[8];
    if (!insn->has_memory)
        memcpy(source, simd_xmm(cpu, insn->rm) + (8 - half), sizeof source);
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), source, sizeof source))
        return soft_mem_result(cpu);
    uint8_t to[16];
    memcpy(to, kept_register(cpu, insn, insn->reg), sizeof to);
    memcpy(to + half, source, sizeof source);
    simd_write_xmm(cpu, insn, insn->reg, to);
    return SOFT_NEXT;
}

enum soft_result simd_store_half(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const size_t half = (simd_info(insn)->flags & SIMD_HALF) != 0 ? 8 : 0;
    if (!simd_write_memory(cpu, insn->segment, soft_address(cpu, insn), simd_xmm(cpu, insn->reg) + half, 8))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

/* ---- MOVD, MOVQ ---- */

/* 66 0F 6E: from a general register or memory of 4 or 8 bytes. */
enum soft_result simd_movd_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const unsigned size = insn->rex_w ? 8 : 4;
    uint8_t to[16] = {0};
    if (!insn->has_memory)
        memcpy(to, &cpu->gpr[insn->rm], size);
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), to, size))
        return soft_mem_result(cpu);
    simd_write_xmm(cpu, insn, insn->reg, to);
    return SOFT_NEXT;
}

/* Store the first `size` bytes of `from` to memory, or zero-extended to a general register. */
static enum soft_result store_general(struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *from,
                                      unsigned size)
{
    if (insn->has_memory)
        return simd_write_memory(cpu, insn->segment, soft_address(cpu, insn), from, size) ? SOFT_NEXT
                                                                                          : soft_mem_result(cpu);
    uint64_t value = 0;
    memcpy(&value, from, size);
    cpu->gpr[insn->rm] = value;
    return SOFT_NEXT;
}

/* 66 0F 7E */
enum soft_result simd_movd_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    return store_general(cpu, insn, simd_xmm(cpu, insn->reg), insn->rex_w ? 8 : 4);
}

/* F3 0F 7E */
enum soft_result simd_movq_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    uint8_t to[16] = {0};
    if (!insn->has_memory)
        memcpy(to, simd_xmm(cpu, insn->rm), 8);
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), to, 8))
        return soft_mem_result(cpu);
    simd_write_xmm(cpu, insn, insn->reg, to);
    return SOFT_NEXT;
}

/* 66 0F D6 */
enum soft_result simd_movq_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    if (insn->has_memory)
        return simd_write_memory(cpu, insn->segment, soft_address(cpu, insn), simd_xmm(cpu, insn->reg), 8)
                   ? SOFT_NEXT
                   : soft_mem_result(cpu);
    uint8_t to[16] = {0};
    memcpy(to, simd_xmm(cpu, insn->reg), 8);
    simd_write_xmm(cpu, insn, insn->rm, to);
    return SOFT_NEXT;
}

/* ---- elements ---- */

/* Bytes of the element that PINSR, PEXTR and EXTRACTPS move; PINSRD and PEXTRD become PINSRQ and PEXTRQ by W. */
static unsigned element_size(const struct soft_insn *insn)
{
    const unsigned size = simd_info(insn)->size[simd_kind(insn)];
    const bool can_be_64 = insn->opcode == 0x22 || insn->opcode == 0x16;
    return can_be_64 && insn->rex_w ? 8 : size;
}

/* PINSRB, PINSRW, PINSRD, PINSRQ */
enum soft_result simd_pinsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const unsigned size = element_size(insn);
    uint8_t element[8], to[16];
    if (!insn->has_memory)
        memcpy(element, &cpu->gpr[insn->rm], sizeof element);
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), element, size))
        return soft_mem_result(cpu);
    memcpy(to, kept_register(cpu, insn, insn->reg), sizeof to);
    memcpy(to + (insn->immediate * size & 15), element, size);
    simd_write_xmm(cpu, insn, insn->reg, to);
    return SOFT_NEXT;
}

/* PEXTRB, PEXTRW (to rm), PEXTRD, PEXTRQ, EXTRACTPS */
enum soft_result simd_pextr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const unsigned size = element_size(insn);
    return store_general(cpu, insn, simd_xmm(cpu, insn->reg) + (insn->immediate * size & 15), size);
}

/* PEXTRW of SSE2: 0F C5, from rm to reg. */
enum soft_result simd_pextrw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    uint16_t value;
    memcpy(&value, simd_xmm(cpu, insn->rm) + (insn->immediate * sizeof value & 15), sizeof value);
    cpu->gpr[insn->reg] = value;
    return SOFT_NEXT;
}

/* ---- AVX: repeated elements and halves ---- */

/* VBROADCASTSS and the like; the element is as long as a memory operand. */
enum soft_result simd_broadcast(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!insn->has_memory && !simd_has_feature(cpu, AVX2))
        return soft_raise(cpu, EXCEPTION_UD);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const size_t size = simd_info(insn)->size[kind];
    uint8_t element[16], to[32] = {0};
    if (!insn->has_memory)
        memcpy(element, simd_xmm(cpu, insn->rm), size);
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), element, (unsigned)size))
        return soft_mem_result(cpu);
    for (size_t i = 0; i < (kind == SIMD_VEX256 ? 32u : 16u); i += size)
        memcpy(to + i, element, size);
    simd_write_ymm(cpu, insn->reg, to);
    return SOFT_NEXT;
}

/* VINSERTF128, VINSERTI128 */
enum soft_result simd_insert128(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    uint8_t source[16], to[32];
    if (!insn->has_memory)
        memcpy(source, simd_xmm(cpu, insn->rm), sizeof source);
    else if (!simd_read128(cpu, insn->segment, soft_address(cpu, insn), source))
        return soft_mem_result(cpu);
    simd_read_ymm(cpu, insn->vvvv, to);
    memcpy(to + (insn->immediate & 1) * 16, source, sizeof source);
    simd_write_ymm(cpu, insn->reg, to);
    return SOFT_NEXT;
}

/* VEXTRACTF128, VEXTRACTI128 */
enum soft_result simd_extract128(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    uint8_t from[16];
    memcpy(from, (insn->immediate & 1) != 0 ? simd_ymmh(cpu, insn->reg) : simd_xmm(cpu, insn->reg), sizeof from);
    if (!insn->has_memory)
        simd_write_xmm(cpu, insn, insn->rm, from);
    else if (!simd_write128(cpu, insn->segment, soft_address(cpu, insn), from))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}
