/*
 * Execution. soft_exec_one() decodes an instruction, or finds it decoded, and calls its handler. soft_exec_many() runs
 * the operations of blocks (soft_block.h), one after another, by computed goto.
 *
 * Within a block neither rip nor cpu->instructions is kept: both follow from the operation's place. They are brought up
 * to date before anything can see them, which is a handler, a fault, or the end of the loop.
 *
 * An operation that reaches memory does it only when the translation is in the TLB and nothing has to be looked at.
 * Otherwise it does nothing, and the instruction's handler is called in its place (slow_path). So faults, watchpoints,
 * page crossings and writes to code exist in handlers only.
 *
 * Whether the loop has to end, because of cpu->attention or because `until` is near, is asked once for each block that
 * is entered, and after each handler. Blocks do not repeat string instructions, so that a block never retires more than
 * its `count`.
 */
#include "host_x86_64_int.h"
#include "soft_count.h"
#include "soft_flags.h"
#include "soft_jit.h"
#include "soft_operand.h"
#include "soft_points.h"
#include "soft_profile.h"
#include "soft_simd_shape.h"
#include "soft_string.h"
#include "soft_translate.h"

#define PAGE_MASK 0xfffull
#define INSTRUCTION_MAX 15u

/* ---- one instruction ---- */

/* An instruction that crosses the end of its page. It is decoded each time, because either page may change. */
static bool decode_crossing(struct soft_cpu *cpu, const uint8_t *host, struct soft_insn *insn)
{
    uint8_t bytes[INSTRUCTION_MAX];
    const unsigned offset = (unsigned)(cpu->rip & PAGE_MASK), left = PAGE_4K - offset;
    const uint8_t *next;
    size_t page;
    memcpy(bytes, host + offset, left);
    if (!soft_fetch_page(cpu, cpu->rip + left, &next, &page))
        return false;
    memcpy(bytes + left, next, INSTRUCTION_MAX - left);
    soft_decode(bytes, INSTRUCTION_MAX, insn);
    return true;
}

/* Retire the instruction at `address`, or a repetition. */
static enum soft_result retire(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t address,
                               enum soft_result result)
{
    if (result == SOFT_FAULT || result == SOFT_EXIT)
        return result;
    soft_count_one(cpu, address, insn->length);
    cpu->instructions++;
    if (result == SOFT_NEXT)
        cpu->rip += insn->length;
    else if (__builtin_expect(cpu->profile != NULL, 0))
        soft_profile_jumped(cpu, insn);
    return result;
}

/* soft_fetch_page() for rip, mostly by a look at the TLB. */
static inline bool fetch_at_rip(struct soft_cpu *cpu, const uint8_t **host, size_t *page)
{
    const struct soft_tlb_entry *entry = &cpu->tlb_fetch[cpu->user][cpu->rip >> 12 & (SOFT_TLB_SIZE - 1)];
    if (entry->tag != (cpu->rip & ~PAGE_MASK))
        return soft_fetch_page(cpu, cpu->rip, host, page);
    *host = soft_tlb_at(entry, entry->tag);
    *page = (size_t)(*host - cpu->ram->host) / PAGE_4K;
    return true;
}

enum soft_result soft_exec_one(struct soft_cpu *cpu)
{
    const uint8_t *host;
    size_t page;
    struct soft_insn crossing;
    if (!fetch_at_rip(cpu, &host, &page))
        return soft_mem_result(cpu);
    const struct soft_insn *insn = soft_block_insn(cpu, page, (unsigned)(cpu->rip & PAGE_MASK));
    if (insn == NULL) {
        if (!decode_crossing(cpu, host, &crossing))
            return soft_mem_result(cpu);
        insn = &crossing;
    }
    const uint64_t address = cpu->rip;
    return retire(cpu, insn, address, insn->run(cpu, insn));
}

/* ---- many ---- */

static bool wants_attention(const struct soft_cpu *cpu)
{
    return atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0;
}

static enum soft_result repeat_on(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t until,
                                  uint64_t generation)
{
    for (;;) {
        if (wants_attention(cpu) || cpu->instructions >= until || cpu->blocks->generation != generation)
            return SOFT_REPEAT;
        const uint64_t done = soft_string_bulk(cpu, insn, until - cpu->instructions);
        cpu->instructions += done;
        if (done != 0) /* perhaps the next page can be done at once, too */
            continue;
        const enum soft_result result = insn->run(cpu, insn);
        if (result == SOFT_FAULT || result == SOFT_EXIT)
            return result;
        cpu->instructions++;
        if (result != SOFT_REPEAT)
            return result;
    }
}

/*
 * The string instruction at `address` has done its first repetition: retire it, and as many others at once as possible.
 * Comes back when all are done, with SOFT_NEXT, or before, with SOFT_REPEAT when the loop has to end: decoded code is
 * not what it was at `generation`, or what soft_exec_many() promises.
 */
static enum soft_result repeat(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t address, uint64_t until,
                               uint64_t generation)
{
    const uint64_t started = cpu->instructions++;
    const enum soft_result result = repeat_on(cpu, insn, until, generation);
    if (cpu->counts != NULL)
        soft_counts_add(cpu, address, insn->length, started, cpu->instructions - started);
    return result;
}

/* Operations [start, branch] were executed, and led to `target`. */
static void count_branch(struct soft_cpu *cpu, const struct soft_op *start, const struct soft_op *branch,
                         uint64_t target)
{
    soft_count_stretch(cpu->blocks, start, branch + 1);
    if (cpu->profile == NULL)
        return;
    if (branch->code == OP_CALL || branch->code == OP_CALL_PAGE || branch->code == OP_CALL_R)
        soft_profile_call(cpu, target);
    else if (branch->code == OP_RET)
        soft_profile_return(cpu, cpu->gpr[MH_RSP] - sizeof(uint64_t), target);
}

/* Sign-extended to the operand size, then zero-extended. */
static inline uint64_t signed_32(int64_t value)
{
    return (uint32_t)value;
}

static inline uint64_t signed_64(int64_t value)
{
    return (uint64_t)value;
}

#define SHIFT_MASK(bits) ((bits)-1u)

/* Operations end by going to the next. */
#define DISPATCH goto *labels[op->code]
#define NEXT                                                                                                           \
    do {                                                                                                               \
        op++;                                                                                                          \
        DISPATCH;                                                                                                      \
    } while (0)

#define ADDRESS (slots[op->base] + (slots[op->index] << op->scale) + (uint64_t)(int64_t)op->displacement)

/* `at` is where the operand lies on the host. */
#define READ_AT(size)                                                                                                  \
    const uint8_t *at = soft_at_hand(tlb_read, ADDRESS, size);                                                         \
    if (at == NULL)                                                                                                    \
    goto slow_path
#define WRITE_AT(size)                                                                                                 \
    uint8_t *at = soft_at_hand(tlb_write, ADDRESS, size);                                                              \
    if (at == NULL)                                                                                                    \
    goto slow_path

#define PUT8(number, value) (slots[number] = (slots[number] & ~0xffull) | (uint8_t)(value))
#define PUT32(number, value) (slots[number] = (uint32_t)(value))
#define PUT64(number, value) (slots[number] = (uint64_t)(value))
#define DROP(number, value) ((void)(value))

#define FLAGS(kind, bits, l, r, res)                                                                                   \
    (cpu->flag_operation = (uint8_t)(SOFT_FLAGS_##kind + ((bits) == 64 ? 3 : (bits) / 16)), cpu->flag_left = (l),      \
     cpu->flag_right = (r), cpu->flag_result = (res))
#define FLAGS_RESULT(kind, bits, res)                                                                                  \
    (cpu->flag_operation = (uint8_t)(SOFT_FLAGS_##kind + ((bits) == 64 ? 3 : (bits) / 16)), cpu->flag_result = (res))

/* The five forms of a two-operand instruction. `put` and `store` are what becomes of the result. */
#define ALU_OPERATION(bits, kind, expression)                                                                          \
    const uint##bits##_t result = (uint##bits##_t)(expression);                                                        \
    FLAGS(kind, bits, left, right, result)
#define ALU(name, bits, kind, expression, put, store, RMW_AT)                                                          \
    L_##name##_RR##bits:                                                                                               \
    {                                                                                                                  \
        const uint##bits##_t left = (uint##bits##_t)slots[op->reg], right = (uint##bits##_t)slots[op->base];           \
        ALU_OPERATION(bits, kind, expression);                                                                         \
        put(op->reg, result);                                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    L_##name##_RI##bits:                                                                                               \
    {                                                                                                                  \
        const uint##bits##_t left = (uint##bits##_t)slots[op->reg], right = (uint##bits##_t)(int64_t)op->immediate;    \
        ALU_OPERATION(bits, kind, expression);                                                                         \
        put(op->reg, result);                                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    L_##name##_RM##bits:                                                                                               \
    {                                                                                                                  \
        READ_AT(sizeof(uint##bits##_t));                                                                               \
        const uint##bits##_t left = (uint##bits##_t)slots[op->reg];                                                    \
        uint##bits##_t right;                                                                                          \
        memcpy(&right, at, sizeof right);                                                                              \
        ALU_OPERATION(bits, kind, expression);                                                                         \
        put(op->reg, result);                                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    L_##name##_MR##bits:                                                                                               \
    {                                                                                                                  \
        RMW_AT(sizeof(uint##bits##_t));                                                                                \
        const uint##bits##_t right = (uint##bits##_t)slots[op->reg];                                                   \
        uint##bits##_t left;                                                                                           \
        memcpy(&left, at, sizeof left);                                                                                \
        ALU_OPERATION(bits, kind, expression);                                                                         \
        store(at, &result, sizeof result);                                                                             \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    L_##name##_MI##bits:                                                                                               \
    {                                                                                                                  \
        RMW_AT(sizeof(uint##bits##_t));                                                                                \
        const uint##bits##_t right = (uint##bits##_t)(int64_t)op->immediate;                                           \
        uint##bits##_t left;                                                                                           \
        memcpy(&left, at, sizeof left);                                                                                \
        ALU_OPERATION(bits, kind, expression);                                                                         \
        store(at, &result, sizeof result);                                                                             \
        NEXT;                                                                                                          \
    }
#define DROP_STORE(at, value, size) ((void)0)
#define ALU_SIZES(name, kind, expression)                                                                              \
    ALU(name, 8, kind, expression, PUT8, memcpy, WRITE_AT)                                                             \
    ALU(name, 32, kind, expression, PUT32, memcpy, WRITE_AT)                                                           \
    ALU(name, 64, kind, expression, PUT64, memcpy, WRITE_AT)
#define COMPARE_SIZES(name, kind, expression)                                                                          \
    ALU(name, 8, kind, expression, DROP, DROP_STORE, READ_AT)                                                          \
    ALU(name, 32, kind, expression, DROP, DROP_STORE, READ_AT)                                                         \
    ALU(name, 64, kind, expression, DROP, DROP_STORE, READ_AT)

/* INC and DEC keep CF. */
#define STEP(name, bits, kind, expression)                                                                             \
    L_##name##_R##bits:                                                                                                \
    {                                                                                                                  \
        const uint##bits##_t value = (uint##bits##_t)slots[op->reg], result = (uint##bits##_t)(expression);            \
        const unsigned carry = soft_carry(cpu);                                                                        \
        FLAGS(kind, bits, 0, carry, result);                                                                           \
        slots[op->reg] = result;                                                                                       \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    L_##name##_M##bits:                                                                                                \
    {                                                                                                                  \
        WRITE_AT(sizeof(uint##bits##_t));                                                                              \
        uint##bits##_t value;                                                                                          \
        memcpy(&value, at, sizeof value);                                                                              \
        const uint##bits##_t result = (uint##bits##_t)(expression);                                                    \
        const unsigned carry = soft_carry(cpu);                                                                        \
        FLAGS(kind, bits, 0, carry, result);                                                                           \
        memcpy(at, &result, sizeof result);                                                                            \
        NEXT;                                                                                                          \
    }

#define SHIFT_BY(label, bits, kind, shift_count, expression)                                                           \
    L_##label##bits:                                                                                                   \
    {                                                                                                                  \
        const unsigned count = (unsigned)(shift_count)&SHIFT_MASK(bits);                                               \
        const uint##bits##_t value = (uint##bits##_t)slots[op->reg];                                                   \
        const uint##bits##_t result = (uint##bits##_t)(expression);                                                    \
        if (count != 0)                                                                                                \
            FLAGS(kind, bits, value, count, result);                                                                   \
        slots[op->reg] = result;                                                                                       \
        NEXT;                                                                                                          \
    }
#define ROTATE(label, bits, right)                                                                                     \
    L_##label##bits:                                                                                                   \
    {                                                                                                                  \
        const uint32_t flags = soft_arithmetic(cpu);                                                                   \
        soft_set_arithmetic(cpu,                                                                                       \
                            host_rotate_immediate(right, (bits) / 8, &slots[op->reg], (uint8_t)op->immediate, flags)); \
        NEXT;                                                                                                          \
    }
#define SHIFT(name, bits, kind, expression)                                                                            \
    SHIFT_BY(name##_I, bits, kind, op->immediate, expression)                                                          \
    SHIFT_BY(name##_C, bits, kind, slots[MH_RCX], expression)

/* A branch within the page is taken. The place it leads to is kept in the operation. */
#define TAKE goto taken
#define JUMP_IF(name, condition)                                                                                       \
    L_##name : if (condition) TAKE;                                                                                    \
    NEXT;

/* A comparison and the branch behind it. */
#define FUSED(name, bits, right_operand, suffix, condition)                                                            \
    L_CMP_##name##bits##_##suffix:                                                                                     \
    {                                                                                                                  \
        const uint##bits##_t left = (uint##bits##_t)slots[op->reg], right = (uint##bits##_t)(right_operand);           \
        FLAGS(SUB, bits, left, right, (uint##bits##_t)(left - right));                                                 \
        op++;                                                                                                          \
        if (condition)                                                                                                 \
            TAKE;                                                                                                      \
        NEXT;                                                                                                          \
    }
#define FUSED_ALL(name, bits, right_operand)                                                                           \
    FUSED(name, bits, right_operand, JZ, left == right)                                                                \
    FUSED(name, bits, right_operand, JNZ, left != right)                                                               \
    FUSED(name, bits, right_operand, JB, left < right)                                                                 \
    FUSED(name, bits, right_operand, JAE, left >= right)                                                               \
    FUSED(name, bits, right_operand, JBE, left <= right)                                                               \
    FUSED(name, bits, right_operand, JA, left > right)                                                                 \
    FUSED(name, bits, right_operand, JL, (int##bits##_t)left < (int##bits##_t)right)                                   \
    FUSED(name, bits, right_operand, JGE, (int##bits##_t)left >= (int##bits##_t)right)                                 \
    FUSED(name, bits, right_operand, JLE, (int##bits##_t)left <= (int##bits##_t)right)                                 \
    FUSED(name, bits, right_operand, JG, (int##bits##_t)left > (int##bits##_t)right)
#define FUSED_TEST(bits, suffix, condition)                                                                            \
    L_TEST_RR##bits##_##suffix:                                                                                        \
    {                                                                                                                  \
        const uint##bits##_t result = (uint##bits##_t)(slots[op->reg] & slots[op->base]);                              \
        FLAGS_RESULT(LOGIC, bits, result);                                                                             \
        op++;                                                                                                          \
        if (condition)                                                                                                 \
            TAKE;                                                                                                      \
        NEXT;                                                                                                          \
    }

#define LEFT(bits) ((int##bits##_t)cpu->flag_left)
#define RIGHT(bits) ((int##bits##_t)cpu->flag_right)
#define RESULT(bits) ((int##bits##_t)cpu->flag_result)

#define LOAD(label, type, to)                                                                                          \
    L_##label:                                                                                                         \
    {                                                                                                                  \
        READ_AT(sizeof(type));                                                                                         \
        type value;                                                                                                    \
        memcpy(&value, at, sizeof value);                                                                              \
        slots[op->reg] = to(value);                                                                                    \
        NEXT;                                                                                                          \
    }
#define STORE(label, type, from)                                                                                       \
    L_##label:                                                                                                         \
    {                                                                                                                  \
        WRITE_AT(sizeof(type));                                                                                        \
        const type value = (type)(from);                                                                               \
        memcpy(at, &value, sizeof value);                                                                              \
        NEXT;                                                                                                          \
    }
#define MOVE(label, value)                                                                                             \
    L_##label : slots[op->reg] = (value);                                                                              \
    NEXT;

#define IMUL2(label, bits, left_operand, right_operand)                                                                \
    L_##label##bits:                                                                                                   \
    {                                                                                                                  \
        const uint##bits##_t left = (uint##bits##_t)(left_operand), right = (uint##bits##_t)(right_operand);           \
        const uint##bits##_t result = (uint##bits##_t)(left * right);                                                  \
        FLAGS(IMUL2, bits, left, right, result);                                                                       \
        slots[op->reg] = result;                                                                                       \
        NEXT;                                                                                                          \
    }
#define MULTIPLY(label, kind, bits, wide, single, narrow)                                                              \
    L_##label##bits:                                                                                                   \
    {                                                                                                                  \
        const narrow left = (narrow)slots[MH_RAX], right = (narrow)slots[op->reg];                                     \
        const wide product = (wide)((wide)(single)left * (single)right);                                               \
        FLAGS(kind, bits, left, right, (narrow)product);                                                               \
        slots[MH_RAX] = (narrow)product;                                                                               \
        slots[MH_RDX] = (narrow)(product >> bits);                                                                     \
        NEXT;                                                                                                          \
    }

/* SSE: the host executes the instruction, with the guest's MXCSR. */
#define SSE_READY                                                                                                      \
    if (__builtin_expect(!soft_simd_is_ready(cpu), 0))                                                                 \
    goto slow_path
#define SSE_ALIGNED                                                                                                    \
    do {                                                                                                               \
        if (((uintptr_t)at & 15) != 0)                                                                                 \
            goto slow_path;                                                                                            \
    } while (0)
#define SSE_STUB (host_simd_0f_np + op->immediate)
#define SSE_APPLY(label, size, alignment, apply)                                                                       \
    L_SSE_##label:                                                                                                     \
    {                                                                                                                  \
        SSE_READY;                                                                                                     \
        READ_AT(size);                                                                                                 \
        alignment;                                                                                                     \
        apply(soft_simd_xmm(cpu, op->reg), at, SSE_STUB);                                                              \
        NEXT;                                                                                                          \
    }
#define SSE_HOT(name, size)                                                                                            \
    L_##name##_RR : SSE_READY;                                                                                         \
    host_simd_##name(soft_simd_xmm(cpu, op->reg), soft_simd_xmm(cpu, op->base));                                       \
    NEXT;                                                                                                              \
    L_##name##_RM:                                                                                                     \
    {                                                                                                                  \
        SSE_READY;                                                                                                     \
        READ_AT(size);                                                                                                 \
        if ((size) == 16)                                                                                              \
            SSE_ALIGNED;                                                                                               \
        host_simd_##name(soft_simd_xmm(cpu, op->reg), at);                                                             \
        NEXT;                                                                                                          \
    }
/* In one store of 16 bytes: a load that follows can only be served from a store that has all it needs. */
#define SSE_LOAD(label, size, type, alignment)                                                                         \
    L_SSE_##label:                                                                                                     \
    {                                                                                                                  \
        SSE_READY;                                                                                                     \
        READ_AT(size);                                                                                                 \
        alignment;                                                                                                     \
        type value;                                                                                                    \
        memcpy(&value, at, size);                                                                                      \
        *(xmm_value *)soft_simd_xmm(cpu, op->reg) = (xmm_value){value};                                                \
        NEXT;                                                                                                          \
    }
#define SSE_LOAD16(label, alignment)                                                                                   \
    L_SSE_##label:                                                                                                     \
    {                                                                                                                  \
        SSE_READY;                                                                                                     \
        READ_AT(16);                                                                                                   \
        alignment;                                                                                                     \
        memcpy(soft_simd_xmm(cpu, op->reg), at, 16);                                                                   \
        NEXT;                                                                                                          \
    }
#define SSE_STORE(label, size, alignment)                                                                              \
    L_SSE_##label:                                                                                                     \
    {                                                                                                                  \
        SSE_READY;                                                                                                     \
        WRITE_AT(size);                                                                                                \
        alignment;                                                                                                     \
        memcpy(at, soft_simd_xmm(cpu, op->reg), size);                                                                 \
        NEXT;                                                                                                          \
    }

typedef uint64_t xmm_value __attribute__((vector_size(16), may_alias));
typedef unsigned __int128 u128;
typedef __int128 s128;

/* The stores of FLAGS() are faster one by one than gathered in a vector register. */
#ifdef __clang__
#define SCALAR_STORES
#else
#define SCALAR_STORES __attribute__((optimize("no-tree-slp-vectorize")))
#endif

/*
 * Execute blocks from operation `op` of `block` on, whose page begins at the linear address `page_address`, until one
 * is next that was entered `hot` times; with 0, that is the next. Comes back with rip and cpu->instructions up to date.
 */
SCALAR_STORES static enum soft_result run_blocks(struct soft_cpu *cpu, struct soft_block *block, struct soft_op *op,
                                                 uint64_t page_address, uint64_t until, uint32_t hot)
{
#define SOFT_OP_LABEL(name) &&L_##name,
#define SOFT_OP_LABEL_HOT(name, size) &&L_##name##_RR, &&L_##name##_RM,
    static const void *const labels[] = {SOFT_OPS(SOFT_OP_LABEL) SOFT_SSE_HOT(SOFT_OP_LABEL_HOT)};
    struct soft_block_cache *const cache = cpu->blocks;
    uint64_t *const slots = cpu->slots;
    const struct soft_tlb_entry *const tlb_read = cpu->tlb_read[cpu->user];
    const struct soft_tlb_entry *const tlb_write = cpu->tlb_write[cpu->user];
    const uint64_t generation = cache->generation;
    const struct soft_insn *insn;
    const bool counts = cpu->counts != NULL;
    struct soft_op *start = op; /* from here on instructions are not counted yet */
    enum soft_result outcome;
    uint64_t target;
    size_t page = block->page;

    slots[SOFT_SLOT_ZERO] = 0;
    slots[SOFT_SLOT_PAGE] = page_address;

    if (__builtin_expect(wants_attention(cpu) || until - cpu->instructions < block->count, 0)) {
        cpu->rip = page_address + op->offset;
        return SOFT_NEXT;
    }
    DISPATCH;

enter_block:
    start = op = block->ops;
    if (__builtin_expect(wants_attention(cpu) || until - cpu->instructions < block->count || block->heat++ >= hot, 0)) {
        cpu->rip = page_address + block->offset;
        return SOFT_NEXT;
    }
    DISPATCH;

taken: /* by the branch `op`, within the page */
    cpu->instructions += (uint64_t)(op - start) + 1;
    if (__builtin_expect(counts, 0))
        count_branch(cpu, start, op, page_address + (uint64_t)(int64_t)op->displacement);
follow_link:
    if (__builtin_expect(op->link != 0, 1)) {
        struct soft_block *const next = soft_arena_at(cache, op->link);
        next->rounds += next == block;
        block = next;
        goto enter_block;
    }
    target = page_address + (uint64_t)(int64_t)op->displacement;
    block = soft_block_find(cpu, page, (unsigned)op->displacement, page_address);
    if (block == NULL || cache->generation != generation) {
        cpu->rip = target;
        return SOFT_NEXT;
    }
    op->link = soft_arena_link(cache, block);
    goto enter_block;

count_and_jump: /* by the branch `op`, to `target`, which is canonical */
    cpu->instructions += (uint64_t)(op - start) + 1;
    if (__builtin_expect(counts, 0))
        count_branch(cpu, start, op, target);
jump: /* counted already */
    if ((target & ~PAGE_MASK) != page_address) {
        const struct soft_tlb_entry *entry = &cpu->tlb_fetch[cpu->user][target >> 12 & (SOFT_TLB_SIZE - 1)];
        cpu->rip = target;
        if (entry->tag != (target & ~PAGE_MASK) || soft_page_has_points(cpu, target))
            return SOFT_NEXT;
        page = (size_t)(soft_tlb_at(entry, entry->tag) - cpu->ram->host) / PAGE_4K;
        page_address = target & ~PAGE_MASK;
        slots[SOFT_SLOT_PAGE] = page_address;
    }
    {
        const uint8_t *const host = cpu->ram->host + page * PAGE_4K + (target & PAGE_MASK);
        const struct soft_jump *jump = soft_jump_slot(cache, host);
        const bool is_found = jump->host == host && soft_block_page_is_at(cpu, page, page_address);
        block = is_found ? jump->block : soft_block_find(cpu, page, (unsigned)(target & PAGE_MASK), page_address);
    }
    if (block == NULL || cache->generation != generation) {
        cpu->rip = target;
        return SOFT_NEXT;
    }
    goto enter_block;

slow_path: /* the operation could not be done the fast way */
    if (__builtin_expect(counts, 0))
        soft_count_stretch(cache, start, op); /* before anything is dropped */
    insn = soft_block_insn(cpu, page, op->offset);
    cpu->instructions += (uint64_t)(op - start);
    cpu->rip = page_address + op->offset;
    goto call_handler;

L_BITS:
L_HANDLER:
    if (__builtin_expect(counts, 0))
        soft_count_stretch(cache, start, op);
    insn = op->insn;
    cpu->instructions += (uint64_t)(op - start);
    cpu->rip = page_address + op->offset;
call_handler:
    target = cpu->rip; /* of the instruction itself: `op` may be gone */
    outcome = insn->run(cpu, insn);
    start = op;
    if (__builtin_expect(outcome == SOFT_NEXT, 1)) {
        if (__builtin_expect(!wants_attention(cpu) && cache->generation == generation, 1))
            NEXT;
        return retire(cpu, insn, target, outcome);
    }
    if (outcome != SOFT_REPEAT)
        return retire(cpu, insn, target, outcome);
    outcome = repeat(cpu, insn, target, until, generation);
    if (outcome != SOFT_NEXT)
        return outcome;
    cpu->rip += insn->length;
    if (wants_attention(cpu) || cache->generation != generation)
        return SOFT_NEXT;
    start = ++op; /* the end of the block: all repetitions are counted */
    DISPATCH;

L_END:
    cpu->instructions += (uint64_t)(op - start);
    if (__builtin_expect(counts, 0))
        soft_count_stretch(cache, start, op);
    if (op->displacement < (int32_t)PAGE_4K)
        goto follow_link;
    target = page_address + PAGE_4K;
    cpu->rip = target;
    if (!soft_is_canonical(target))
        return SOFT_NEXT;
    goto jump;

L_NOP:
    NEXT;

L_SSE_RR:
    SSE_READY;
    host_simd_apply(soft_simd_xmm(cpu, op->reg), soft_simd_xmm(cpu, op->base), SSE_STUB);
    NEXT;

L_SSE_MOVE:
    SSE_READY;
    memcpy(soft_simd_xmm(cpu, op->reg), soft_simd_xmm(cpu, op->base), 16);
    NEXT;

    SSE_APPLY(RM4, 4, , host_simd_apply_4)
    SSE_APPLY(RM8, 8, , host_simd_apply_8)
    SSE_APPLY(RM16, 16, SSE_ALIGNED, host_simd_apply)
    SOFT_SSE_HOT(SSE_HOT)
    SSE_LOAD(LOAD4, 4, uint32_t, )
    SSE_LOAD(LOAD8, 8, uint64_t, )
    SSE_LOAD16(LOAD16, )
    SSE_LOAD16(LOAD16_ALIGNED, SSE_ALIGNED)
    SSE_STORE(STORE4, 4, )
    SSE_STORE(STORE8, 8, )
    SSE_STORE(STORE16, 16, )
    SSE_STORE(STORE16_ALIGNED, 16, SSE_ALIGNED)

    ALU_SIZES(ADD, ADD, left + right)
    ALU_SIZES(OR, LOGIC, left | right)
    ALU_SIZES(ADC, ADD, left + right + soft_carry(cpu))
    ALU_SIZES(SBB, SUB, left - right - soft_carry(cpu))
    ALU_SIZES(AND, LOGIC, left & right)
    ALU_SIZES(SUB, SUB, left - right)
    ALU_SIZES(XOR, LOGIC, left ^ right)
    COMPARE_SIZES(CMP, SUB, left - right)
    COMPARE_SIZES(TEST, LOGIC, left & right)

    STEP(INC, 32, INC, value + 1)
    STEP(INC, 64, INC, value + 1)
    STEP(DEC, 32, DEC, value - 1)
    STEP(DEC, 64, DEC, value - 1)

L_NEG_R32 : {
    const uint32_t right = (uint32_t)slots[op->reg], result32 = 0u - right;
    FLAGS(SUB, 32, 0, right, result32);
    slots[op->reg] = result32;
    NEXT;
}
L_NEG_R64 : {
    const uint64_t right = slots[op->reg];
    FLAGS(SUB, 64, 0, right, 0u - right);
    slots[op->reg] = 0u - right;
    NEXT;
}
    MOVE(NOT_R32, (uint32_t)~slots[op->reg])
    MOVE(NOT_R64, ~slots[op->reg])

    ROTATE(ROL_I, 32, false)
    ROTATE(ROL_I, 64, false)
    ROTATE(ROR_I, 32, true)
    ROTATE(ROR_I, 64, true)
    SHIFT(SHL, 32, SHL, value << count)
    SHIFT(SHL, 64, SHL, value << count)
    SHIFT(SHR, 32, SHR, value >> count)
    SHIFT(SHR, 64, SHR, value >> count)
    SHIFT(SAR, 32, SAR, (int32_t)value >> count)
    SHIFT(SAR, 64, SAR, (int64_t)value >> count)

    IMUL2(IMUL_RR, 32, slots[op->reg], slots[op->base])
    IMUL2(IMUL_RR, 64, slots[op->reg], slots[op->base])
    IMUL2(IMUL_RRI, 32, slots[op->base], (int64_t)op->immediate)
    IMUL2(IMUL_RRI, 64, slots[op->base], (int64_t)op->immediate)
L_IMUL_RM32 : {
    READ_AT(4);
    const uint32_t left = (uint32_t)slots[op->reg];
    uint32_t right;
    memcpy(&right, at, sizeof right);
    FLAGS(IMUL2, 32, left, right, left * right);
    slots[op->reg] = left * right;
    NEXT;
}
L_IMUL_RM64 : {
    READ_AT(8);
    const uint64_t left = slots[op->reg];
    uint64_t right;
    memcpy(&right, at, sizeof right);
    FLAGS(IMUL2, 64, left, right, left * right);
    slots[op->reg] = left * right;
    NEXT;
}
    MULTIPLY(MUL_R, MUL, 32, uint64_t, uint32_t, uint32_t)
    MULTIPLY(MUL_R, MUL, 64, u128, uint64_t, uint64_t)
    MULTIPLY(IMUL_R, IMUL, 32, int64_t, int32_t, uint32_t)
    MULTIPLY(IMUL_R, IMUL, 64, s128, int64_t, uint64_t)

L_DIV_R32 : {
    const uint32_t divisor = (uint32_t)slots[op->reg];
    const uint64_t dividend = slots[MH_RDX] << 32 | (uint32_t)slots[MH_RAX];
    if ((uint32_t)slots[MH_RDX] >= divisor)
        goto slow_path;
    slots[MH_RAX] = (uint32_t)(dividend / divisor);
    slots[MH_RDX] = (uint32_t)(dividend % divisor);
    NEXT;
}
L_DIV_R64 : {
    const uint64_t divisor = slots[op->reg];
    if (slots[MH_RDX] >= divisor)
        goto slow_path;
    host_divide(&slots[MH_RAX], &slots[MH_RDX], divisor);
    NEXT;
}
L_IDIV_R32 : {
    const int32_t divisor = (int32_t)slots[op->reg];
    const int64_t dividend = (int64_t)(slots[MH_RDX] << 32 | (uint32_t)slots[MH_RAX]);
    if (divisor == 0 || divisor == -1 || dividend / divisor != (int32_t)(dividend / divisor))
        goto slow_path;
    slots[MH_RAX] = (uint32_t)(dividend / divisor);
    slots[MH_RDX] = (uint32_t)(dividend % divisor);
    NEXT;
}
L_IDIV_R64 : {
    /* only what is sign-extended, as compilers do it, and cannot overflow */
    const int64_t divisor = (int64_t)slots[op->reg], dividend = (int64_t)slots[MH_RAX];
    if (divisor == 0 || divisor == -1 || (int64_t)slots[MH_RDX] != dividend >> 63)
        goto slow_path;
    slots[MH_RAX] = (uint64_t)(dividend / divisor);
    slots[MH_RDX] = (uint64_t)(dividend % divisor);
    NEXT;
}

L_MOV_RR8:
    PUT8(op->reg, slots[op->base]);
    NEXT;
L_MOV_RI8:
    PUT8(op->reg, op->immediate);
    NEXT;
    MOVE(MOV_RR32, (uint32_t)slots[op->base])
    MOVE(MOV_RR64, slots[op->base])
    MOVE(MOV_WIDE, op->wide)
L_LOAD8 : {
    READ_AT(1);
    PUT8(op->reg, *at);
    NEXT;
}
    LOAD(LOAD32, uint32_t, )
    LOAD(LOAD64, uint64_t, )
    STORE(STORE8, uint8_t, slots[op->reg])
    STORE(STORE16, uint16_t, slots[op->reg])
    STORE(STORE32, uint32_t, slots[op->reg])
    STORE(STORE64, uint64_t, slots[op->reg])
    STORE(STORE_I8, uint8_t, op->immediate)
    STORE(STORE_I16, uint16_t, op->immediate)
    STORE(STORE_I32, uint32_t, op->immediate)
    STORE(STORE_I64, uint64_t, (int64_t)op->immediate)
    MOVE(MOVZX_RR8, (uint8_t)slots[op->base])
    MOVE(MOVZX_RR16, (uint16_t)slots[op->base])
    LOAD(MOVZX_RM8, uint8_t, )
    LOAD(MOVZX_RM16, uint16_t, )
    MOVE(MOVSX_RR8_32, signed_32((int8_t)slots[op->base]))
    MOVE(MOVSX_RR8_64, signed_64((int8_t)slots[op->base]))
    MOVE(MOVSX_RR16_32, signed_32((int16_t)slots[op->base]))
    MOVE(MOVSX_RR16_64, signed_64((int16_t)slots[op->base]))
    LOAD(MOVSX_RM8_32, int8_t, signed_32)
    LOAD(MOVSX_RM8_64, int8_t, signed_64)
    LOAD(MOVSX_RM16_32, int16_t, signed_32)
    LOAD(MOVSX_RM16_64, int16_t, signed_64)
    MOVE(MOVSXD_RR, signed_64((int32_t)slots[op->base]))
    LOAD(MOVSXD_RM, int32_t, signed_64)
    MOVE(LEA32, (uint32_t)ADDRESS)
    MOVE(LEA64, ADDRESS)
L_CBW32:
    slots[MH_RAX] = signed_32((int16_t)slots[MH_RAX]);
    NEXT;
L_CBW64:
    slots[MH_RAX] = signed_64((int32_t)slots[MH_RAX]);
    NEXT;
L_CWD32:
    slots[MH_RDX] = signed_32((int32_t)slots[MH_RAX] >> 31);
    NEXT;
L_CWD64:
    slots[MH_RDX] = signed_64((int64_t)slots[MH_RAX] >> 63);
    NEXT;
L_CMOV32:
    slots[op->reg] = (uint32_t)(soft_condition(cpu, op->index) ? slots[op->base] : slots[op->reg]);
    NEXT;
L_CMOV64:
    if (soft_condition(cpu, op->index))
        slots[op->reg] = slots[op->base];
    NEXT;
L_SETCC:
    PUT8(op->reg, soft_condition(cpu, op->index));
    NEXT;

L_PUSH_R : {
    const uint64_t top = slots[MH_RSP] - 8, value = slots[op->reg];
    uint8_t *at = soft_at_hand(tlb_write, top, 8);
    if (at == NULL)
        goto slow_path;
    memcpy(at, &value, sizeof value);
    slots[MH_RSP] = top;
    NEXT;
}
L_PUSH_I : {
    const uint64_t top = slots[MH_RSP] - 8, value = signed_64(op->immediate);
    uint8_t *at = soft_at_hand(tlb_write, top, 8);
    if (at == NULL)
        goto slow_path;
    memcpy(at, &value, sizeof value);
    slots[MH_RSP] = top;
    NEXT;
}
L_POP_R : {
    const uint8_t *at = soft_at_hand(tlb_read, slots[MH_RSP], 8);
    if (at == NULL)
        goto slow_path;
    slots[MH_RSP] += 8;
    memcpy(&slots[op->reg], at, 8);
    NEXT;
}
L_LEAVE : {
    const uint8_t *at = soft_at_hand(tlb_read, slots[MH_RBP], 8);
    if (at == NULL)
        goto slow_path;
    slots[MH_RSP] = slots[MH_RBP] + 8;
    memcpy(&slots[MH_RBP], at, 8);
    NEXT;
}

L_CALL : {
    const uint64_t top = slots[MH_RSP] - 8, value = page_address + op->offset + op->scale;
    uint8_t *at = soft_at_hand(tlb_write, top, 8);
    if (at == NULL)
        goto slow_path;
    memcpy(at, &value, sizeof value);
    slots[MH_RSP] = top;
    TAKE;
}
L_CALL_PAGE:
    target = page_address + (uint64_t)(int64_t)op->displacement;
    goto call_target;
L_CALL_R:
    target = slots[op->reg];
call_target : {
    const uint64_t top = slots[MH_RSP] - 8, value = page_address + op->offset + op->scale;
    uint8_t *at = soft_at_hand(tlb_write, top, 8);
    if (at == NULL || !soft_is_canonical(target))
        goto slow_path;
    memcpy(at, &value, sizeof value);
    slots[MH_RSP] = top;
    goto count_and_jump;
}
L_RET : {
    const uint8_t *at = soft_at_hand(tlb_read, slots[MH_RSP], 8);
    if (at == NULL)
        goto slow_path;
    memcpy(&target, at, sizeof target);
    if (!soft_is_canonical(target))
        goto slow_path;
    slots[MH_RSP] += 8;
    goto count_and_jump;
}
L_JMP:
    TAKE;
L_JMP_R:
    target = slots[op->reg];
    goto jump_checked;
L_JMP_M : {
    READ_AT(8);
    memcpy(&target, at, sizeof target);
    goto jump_checked;
}
L_JMP_PAGE:
    target = page_address + (uint64_t)(int64_t)op->displacement;
jump_checked:
    if (!soft_is_canonical(target))
        goto slow_path;
    goto count_and_jump;
L_JCC_PAGE:
    if (!soft_condition(cpu, op->index))
        NEXT;
    target = page_address + (uint64_t)(int64_t)op->displacement;
    goto jump_checked;

    JUMP_IF(JCC, soft_condition(cpu, op->index))
    JUMP_IF(JZ_RESULT, cpu->flag_result == 0)
    JUMP_IF(JNZ_RESULT, cpu->flag_result != 0)
    JUMP_IF(JS_RESULT32, RESULT(32) < 0)
    JUMP_IF(JS_RESULT64, RESULT(64) < 0)
    JUMP_IF(JNS_RESULT32, RESULT(32) >= 0)
    JUMP_IF(JNS_RESULT64, RESULT(64) >= 0)
    JUMP_IF(JB_SUB, cpu->flag_left < cpu->flag_right)
    JUMP_IF(JAE_SUB, cpu->flag_left >= cpu->flag_right)
    JUMP_IF(JBE_SUB, cpu->flag_left <= cpu->flag_right)
    JUMP_IF(JA_SUB, cpu->flag_left > cpu->flag_right)
    JUMP_IF(JL_SUB32, LEFT(32) < RIGHT(32))
    JUMP_IF(JL_SUB64, LEFT(64) < RIGHT(64))
    JUMP_IF(JGE_SUB32, LEFT(32) >= RIGHT(32))
    JUMP_IF(JGE_SUB64, LEFT(64) >= RIGHT(64))
    JUMP_IF(JLE_SUB32, LEFT(32) <= RIGHT(32))
    JUMP_IF(JLE_SUB64, LEFT(64) <= RIGHT(64))
    JUMP_IF(JG_SUB32, LEFT(32) > RIGHT(32))
    JUMP_IF(JG_SUB64, LEFT(64) > RIGHT(64))
    JUMP_IF(JLE_LOGIC32, RESULT(32) <= 0)
    JUMP_IF(JLE_LOGIC64, RESULT(64) <= 0)
    JUMP_IF(JG_LOGIC32, RESULT(32) > 0)
    JUMP_IF(JG_LOGIC64, RESULT(64) > 0)

    FUSED_ALL(RR, 32, slots[op->base])
    FUSED_ALL(RR, 64, slots[op->base])
    FUSED_ALL(RI, 32, (int64_t)op->immediate)
    FUSED_ALL(RI, 64, (int64_t)op->immediate)
    FUSED_TEST(32, JZ, result == 0)
    FUSED_TEST(32, JNZ, result != 0)
    FUSED_TEST(64, JZ, result == 0)
    FUSED_TEST(64, JNZ, result != 0)
}

/* The block that begins at rip, mostly one that was there before; NULL when there can be none. */
static struct soft_block *block_at_rip(struct soft_cpu *cpu, const uint8_t *host, size_t page)
{
    const unsigned offset = (unsigned)(cpu->rip & PAGE_MASK);
    const struct soft_jump *jump = soft_jump_slot(cpu->blocks, host + offset);
    const uint64_t page_address = cpu->rip & ~PAGE_MASK;
    if (jump->host == host + offset && (cpu->counts == NULL || soft_block_page_is_at(cpu, page, page_address)))
        return jump->block;
    return soft_block_find(cpu, page, offset, page_address);
}

/* From a block that is worth generated code. */
static enum soft_result run_hot(struct soft_cpu *cpu, struct soft_block *block, uint64_t page_address, uint64_t until)
{
    struct soft_op *op = block->ops;
    switch (soft_jit_run(cpu, &block, &op, page_address, until)) {
    case SOFT_JIT_REFUSED:
    case SOFT_JIT_AT_OP:
        return run_blocks(cpu, block, op, cpu->rip & ~PAGE_MASK, until, cpu->blocks->hot);
    case SOFT_JIT_ONE: /* which may be the first behind `until` */
        return cpu->instructions < until ? soft_exec_one(cpu) : SOFT_NEXT;
    case SOFT_JIT_AT_RIP:
        break;
    }
    return SOFT_NEXT;
}

/* From rip, as far as blocks go. */
static enum soft_result run_from_rip(struct soft_cpu *cpu, uint64_t until)
{
    const uint8_t *host;
    size_t page;
    if (!fetch_at_rip(cpu, &host, &page))
        return soft_mem_result(cpu);
    struct soft_block *block = block_at_rip(cpu, host, page);
    if (block == NULL || until - cpu->instructions < block->count)
        return soft_exec_one(cpu);
    if (block->heat >= cpu->blocks->hot && (cpu->profile == NULL || !cpu->counts->is_paused))
        return run_hot(cpu, block, cpu->rip & ~PAGE_MASK, until);
    block->heat++;
    return run_blocks(cpu, block, block->ops, cpu->rip & ~PAGE_MASK, until, cpu->blocks->hot);
}

/* Does the debugger have a point at an instruction of the block behind its first? */
static bool has_points_inside(const struct soft_cpu *cpu, const struct soft_block *block, uint64_t page_address)
{
    unsigned point;
    for (unsigned i = 1; i < block->count; i++) {
        if (soft_points_execute(cpu, page_address + block->ops[i].offset, &point))
            return true;
    }
    return false;
}

/* In a page that has points: the block at rip if only its first instruction can be at one, else that instruction. */
static enum soft_result run_beside_points(struct soft_cpu *cpu, uint64_t until)
{
    const uint64_t page_address = cpu->rip & ~PAGE_MASK;
    const uint8_t *host;
    size_t page;
    if (cpu->debug_execute)
        return soft_exec_one(cpu);
    if (!fetch_at_rip(cpu, &host, &page))
        return soft_mem_result(cpu);
    struct soft_block *block = block_at_rip(cpu, host, page);
    if (block == NULL || until - cpu->instructions < block->count || has_points_inside(cpu, block, page_address))
        return soft_exec_one(cpu);
    return run_blocks(cpu, block, block->ops, page_address, until, 0);
}

enum soft_result soft_exec_many(struct soft_cpu *cpu, uint64_t until)
{
    enum soft_result result = SOFT_NEXT;
    bool is_first = true; /* the caller has looked */
    for (; !wants_attention(cpu) && cpu->instructions < until; is_first = false) {
        const bool has_points = soft_page_has_points(cpu, cpu->rip);
        unsigned point;
        if (has_points && !is_first && result != SOFT_REPEAT &&
            (cpu->debug_execute || soft_points_execute(cpu, cpu->rip, &point)))
            break;
        result = has_points ? run_beside_points(cpu, until) : run_from_rip(cpu, until);
        if (result == SOFT_FAULT || result == SOFT_EXIT)
            return result;
    }
    return result == SOFT_REPEAT ? SOFT_REPEAT : SOFT_NEXT;
}
