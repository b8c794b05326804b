/*
 * SSE and AVX: instructions that touch memory by elements, of which a mask names those that count. What the mask
 * leaves out is not accessed, and AVX raises no fault for it.
 */
#include "soft_simd.h"

/* Bytes of an element: VMASKMOVPS and VMASKMOVPD differ by opcode, the others by VEX.W. */
static unsigned masked_element_size(const struct soft_insn *insn)
{
    const bool by_opcode = insn->opcode <= 0x2f;
    return (by_opcode ? (insn->opcode & 1) != 0 : insn->rex_w) ? 8 : 4;
}

static unsigned width_of(enum simd_kind kind)
{
    return kind == SIMD_VEX256 ? 32 : 16;
}

/* The most significant bit of the element that begins at byte `i` of a mask. */
static bool is_selected(const uint8_t *mask, unsigned i, unsigned size)
{
    return (mask[i + size - 1] & 0x80) != 0;
}

/* VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ from memory. */
enum soft_result simd_maskmov_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    const unsigned size = masked_element_size(insn);
    const uint64_t address = soft_address(cpu, insn);
    uint8_t mask[32], to[32] = {0};
    simd_read_ymm(cpu, insn->vvvv, mask);
    for (unsigned i = 0; i < width_of(kind); i += size)
        if (is_selected(mask, i, size) && !simd_read_element(cpu, insn->segment, address + i, to + i, size))
            return soft_mem_result(cpu);
    simd_write_ymm(cpu, insn->reg, to);
    return SOFT_NEXT;
}

/* Write the selected elements, all or none of them. */
static bool write_elements(struct soft_cpu *cpu, unsigned segment, uint64_t address, const uint8_t *from,
                           const uint8_t *mask, unsigned width, unsigned size)
{
    for (unsigned i = 0; i < width; i += size)
        if (is_selected(mask, i, size) && !simd_probe_element(cpu, segment, address + i, size))
            return false;
    for (unsigned i = 0; i < width; i += size)
        if (is_selected(mask, i, size) && !simd_write_element(cpu, segment, address + i, from + i, size))
            return false;
    return true;
}

/* The same to memory. */
enum soft_result simd_maskmov_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    uint8_t mask[32], from[32];
    simd_read_ymm(cpu, insn->vvvv, mask);
    simd_read_ymm(cpu, insn->reg, from);
    if (!write_elements(cpu, insn->segment, soft_address(cpu, insn), from, mask, width_of(kind),
                        masked_element_size(insn)))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

/* The address (%rdi) with a segment override and an address size. */
static uint64_t mask_destination(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t offset = insn->address_size == 4 ? (uint32_t)cpu->gpr[MH_RDI] : cpu->gpr[MH_RDI];
    return offset + (insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0);
}

/* The masks of MASKMOVDQU and MASKMOVQ do not suppress faults: processors check all bytes, by eight for #AC,
 * and the last eight first. */
static enum soft_result store_bytes(struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *from,
                                    const uint8_t *mask, unsigned width)
{
    const uint64_t address = mask_destination(cpu, insn);
    for (unsigned end = width; end > 0; end -= 8)
        if (!soft_probe(cpu, insn->segment, address + end - 8, 8, true))
            return soft_mem_result(cpu);
    for (unsigned i = 0; i < width; i++)
        if (is_selected(mask, i, 1) && !soft_write8(cpu, insn->segment, address + i, from[i]))
            return soft_mem_result(cpu);
    return SOFT_NEXT;
}

/* MASKMOVDQU: bytes of reg that rm selects, to (%rdi). */
enum soft_result simd_maskmovdqu(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    return store_bytes(cpu, insn, simd_xmm(cpu, insn->reg), simd_xmm(cpu, insn->rm), 16);
}

/* MASKMOVQ: the same with MMX registers. */
enum soft_result simd_maskmovq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    const uint64_t from = simd_peek_mmx(cpu, insn->reg), mask = simd_peek_mmx(cpu, insn->rm);
    simd_enter_mmx(cpu);
    return store_bytes(cpu, insn, (const uint8_t *)&from, (const uint8_t *)&mask, sizeof from);
}

/* ---- gathers ---- */

struct gather {
    unsigned count;      /* elements */
    unsigned size;       /* bytes of an element */
    unsigned index_size; /* bytes of an index */
    bool has_loaded;     /* an element */
    uint8_t to[32], mask[32], index[32];
};

/* The vector register with the indices. To a SIB byte, index 4 without an extension is none; to VSIB it is a register.
 */
static unsigned gather_index(const struct soft_insn *insn)
{
    return insn->index == SOFT_NO_REGISTER ? 4 : insn->index;
}

/* VGATHERDPS and the like, opcodes 90 to 93: even opcodes have indices of 4 bytes; VEX.W makes elements of 8 bytes. */
static void gather_begin(struct soft_cpu *cpu, const struct soft_insn *insn, struct gather *gather)
{
    gather->size = insn->rex_w ? 8 : 4;
    gather->index_size = (insn->opcode & 1) != 0 ? 8 : 4;
    const unsigned larger = gather->size > gather->index_size ? gather->size : gather->index_size;
    gather->has_loaded = false;
    gather->count = width_of(simd_kind(insn)) / larger;
    simd_read_ymm(cpu, insn->reg, gather->to);
    simd_read_ymm(cpu, insn->vvvv, gather->mask);
    simd_read_ymm(cpu, gather_index(insn), gather->index);
    for (unsigned i = 0; i < sizeof gather->mask; i += gather->size)
        memset(gather->mask + i, is_selected(gather->mask, i, gather->size) ? 0xff : 0, gather->size);
}

/* The address of an element: the index register of the ModRM is a vector. */
static uint64_t gather_address(struct soft_cpu *cpu, const struct soft_insn *insn, const struct gather *gather,
                               unsigned i)
{
    uint64_t index = 0;
    memcpy(&index, gather->index + (size_t)i * gather->index_size, gather->index_size);
    if (gather->index_size == 4)
        index = (uint64_t)(int64_t)(int32_t)(uint32_t)index;
    uint64_t address = (uint64_t)(int64_t)insn->displacement + (index << insn->scale);
    if (insn->base != SOFT_NO_REGISTER)
        address += cpu->gpr[insn->base];
    if (insn->address_size == 4)
        address = (uint32_t)address;
    return address + (insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0);
}

/* Load element `i` if the mask selects it, and clear its mask. */
static bool gather_element(struct soft_cpu *cpu, const struct soft_insn *insn, struct gather *gather, unsigned i)
{
    const unsigned at = i * gather->size;
    if (is_selected(gather->mask, at, gather->size)) {
        if (!simd_read_element(cpu, insn->segment, gather_address(cpu, insn, gather, i), gather->to + at, gather->size))
            return false;
        gather->has_loaded = true;
    }
    memset(gather->mask + at, 0, gather->size);
    return true;
}

static void gather_commit(struct soft_cpu *cpu, const struct soft_insn *insn, struct gather *gather)
{
    if (!insn->vex_256)
        memset(gather->mask + 16, 0, 16);
    if (!insn->vex_256 && gather->has_loaded)
        memset(gather->to + 16, 0, 16);
    simd_write_ymm(cpu, insn->reg, gather->to);
    simd_write_ymm(cpu, insn->vvvv, gather->mask);
}

/*
 * A gather that meets a fault keeps the elements before it and clears their bits in the mask, so that it
 * continues from there when it is executed again, as the manual requires.
 */
enum soft_result simd_gather(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum simd_kind kind = simd_kind(insn);
    const unsigned index = gather_index(insn);
    if ((insn->modrm & 7) != 4 || insn->reg == insn->vvvv || insn->reg == index || insn->vvvv == index)
        return soft_raise(cpu, EXCEPTION_UD);
    if (!simd_allowed(cpu, insn, kind))
        return simd_refuse(cpu, insn);
    struct gather gather;
    gather_begin(cpu, insn, &gather);
    for (unsigned i = 0; i < gather.count; i++) {
        if (!gather_element(cpu, insn, &gather, i)) {
            gather_commit(cpu, insn, &gather);
            return soft_mem_result(cpu);
        }
    }
    const unsigned used = gather.count * gather.size;
    memset(gather.to + used, 0, sizeof gather.to - used);
    memset(gather.mask, 0, sizeof gather.mask);
    gather_commit(cpu, insn, &gather);
    return SOFT_NEXT;
}
