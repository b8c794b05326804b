#include "soft_block.h"

#include "host_x86_64_int.h"
#include "soft_count.h"
#include "soft_flags.h"
#include "soft_jit.h"
#include "soft_mem.h"
#include "soft_translate.h"

#define INSTRUCTION_MAX 15u
#define BUCKETS 32u
#define LINE 64u /* bytes */

/* A page from which something was decoded. */
struct code_page {
    uint64_t lines;        /* a bit for each 64 bytes that hold decoded instructions */
    uint64_t page_address; /* while instructions are counted: linear; NO_ADDRESS: there are no blocks yet */
    uint32_t next;         /* another page, which may have been dropped; 0: none */
    uint32_t spare;
    uint32_t buckets[BUCKETS];
};

#define NO_ADDRESS 1u

static uint32_t units(size_t bytes)
{
    return (uint32_t)((bytes + SOFT_ARENA_UNIT - 1) / SOFT_ARENA_UNIT);
}

/* ---- what the host's processor does to flags ---- */

static bool shift_depends(unsigned operation, unsigned size)
{
    uint64_t value = 0x1234567890abcdef, again = value;
    return host_shift(operation, size, &value, 3, 0) != host_shift(operation, size, &again, 3, SOFT_ARITHMETIC);
}

/* Do flags after shifts and multiplications depend on those before? They do not on the processors known so far. */
static bool flags_are_pure(void)
{
    for (unsigned size = 1; size <= 8; size *= 2) {
        if (shift_depends(4, size) || shift_depends(5, size) || shift_depends(7, size))
            return false;
        if (host_mul_flags(size, 3, 5, 0) != host_mul_flags(size, 3, 5, SOFT_ARITHMETIC) ||
            host_imul_flags(size, 3, 5, 0) != host_imul_flags(size, 3, 5, SOFT_ARITHMETIC) ||
            (size > 1 && host_imul2_flags(size, 3, 5, 0) != host_imul2_flags(size, 3, 5, SOFT_ARITHMETIC)))
            return false;
    }
    return true;
}

static bool keeps_flags(uint32_t (*divide)(unsigned, uint64_t *, uint64_t *, uint64_t, uint32_t), unsigned size,
                        uint32_t flags)
{
    uint64_t low = 100, high = 0;
    return divide(size, &low, &high, 7, flags) == flags;
}

static bool division_keeps_flags(void)
{
    for (unsigned size = 4; size <= 8; size += 4) {
        if (!keeps_flags(host_div, size, 0) || !keeps_flags(host_div, size, SOFT_ARITHMETIC) ||
            !keeps_flags(host_idiv, size, 0) || !keeps_flags(host_idiv, size, SOFT_ARITHMETIC))
            return false;
    }
    return true;
}

/* ---- the cache ---- */

void soft_blocks_init(struct soft_cpu *cpu, struct soft_block_cache *blocks)
{
    cpu->blocks = blocks;
    blocks->used = 1;
    blocks->hot = UINT32_MAX;
    blocks->flags_are_pure = flags_are_pure();
    blocks->division_keeps_flags = division_keeps_flags();
}

bool soft_blocks_has_page(const struct soft_cpu *cpu, size_t page)
{
    return cpu->blocks->pages[page] != 0;
}

void soft_blocks_drop_all(struct soft_cpu *cpu)
{
    struct soft_block_cache *cache = cpu->blocks;
    if (cpu->counts != NULL)
        soft_counts_collect(cpu);
    cache->code_pages = 0;
    memset(cache->jumps, 0, sizeof cache->jumps);
    memset(cache->pages, 0, ram_pages(cpu->ram) * sizeof cache->pages[0]);
    cache->used = 1;
    cache->generation++;
    soft_jit_drop_all(cpu);
}

void soft_blocks_leave(struct soft_cpu *cpu)
{
    cpu->blocks->generation++;
}

void soft_blocks_drop_page(struct soft_cpu *cpu, size_t page)
{
    struct soft_block_cache *cache = cpu->blocks;
    const uint8_t *host = cpu->ram->host + page * PAGE_4K;
    if (cache->pages[page] == 0)
        return;
    cache->pages[page] = 0;
    cache->generation++;
    for (unsigned i = 0; i < SOFT_JUMPS; i++)
        if (cache->jumps[i].host >= host && cache->jumps[i].host < host + PAGE_4K)
            cache->jumps[i].host = NULL;
}

/* Bits of struct code_page.lines for these bytes; length is at least 1. */
static uint64_t line_bits(unsigned offset, unsigned length)
{
    const unsigned first = offset / LINE, last = (offset + length - 1) / LINE;
    return (~0ull << first) & (~0ull >> (63 - last));
}

void soft_blocks_write(struct soft_cpu *cpu, size_t page, unsigned offset, unsigned length)
{
    struct soft_block_cache *cache = cpu->blocks;
    if (cache->pages[page] == 0 || length == 0)
        return;
    const struct code_page *code = soft_arena_at(cache, cache->pages[page]);
    if (code->lines & line_bits(offset, length))
        soft_blocks_drop_page(cpu, page);
}

unsigned soft_blocks_free_bytes(const struct soft_cpu *cpu, size_t page, unsigned offset)
{
    struct soft_block_cache *cache = cpu->blocks;
    if (cache->pages[page] == 0)
        return PAGE_4K - offset;
    const struct code_page *code = soft_arena_at(cache, cache->pages[page]);
    const uint64_t lines = code->lines >> offset / LINE << offset / LINE;
    if (lines == 0)
        return PAGE_4K - offset;
    const unsigned end = (unsigned)__builtin_ctzll(lines) * LINE;
    return end > offset ? end - offset : 0;
}

/* ---- decoding ---- */

/* Make room for so many units, by dropping everything if need be. */
static void reserve(struct soft_cpu *cpu, uint32_t wanted)
{
    if (cpu->blocks->used + wanted > SOFT_ARENA_UNITS)
        soft_blocks_drop_all(cpu);
}

/* The caller has reserved it. */
static void *allocate(struct soft_block_cache *cache, size_t bytes)
{
    void *at = soft_arena_at(cache, cache->used);
    cache->used += units(bytes);
    return at;
}

static struct code_page *code_page(struct soft_cpu *cpu, size_t page)
{
    struct soft_block_cache *cache = cpu->blocks;
    if (cache->pages[page] != 0)
        return soft_arena_at(cache, cache->pages[page]);
    struct code_page *code = allocate(cache, sizeof *code);
    memset(code, 0, sizeof *code);
    code->page_address = NO_ADDRESS;
    code->next = cache->code_pages;
    cache->pages[page] = cache->code_pages = soft_arena_link(cache, code);
    soft_mem_protect_code(cpu, page);
    return code;
}

/* False: the instruction continues in the next page. */
static bool decode_in_page(const uint8_t *host, unsigned offset, struct soft_insn *insn)
{
    const unsigned left = PAGE_4K - offset;
    return soft_decode(host + offset, left < INSTRUCTION_MAX ? left : INSTRUCTION_MAX, insn) != 0;
}

const struct soft_insn *soft_block_insn(struct soft_cpu *cpu, size_t page, unsigned offset)
{
    struct soft_block_cache *cache = cpu->blocks;
    const uint8_t *host = cpu->ram->host + page * PAGE_4K, *at = host + offset;
    struct soft_recent *recent = &cache->recent[(uintptr_t)at % SOFT_RECENT];
    if (recent->host == at && recent->generation == cache->generation)
        return &recent->insn;
    recent->host = NULL; /* also when the instruction turns out to cross the end of the page */
    if (!decode_in_page(host, offset, &recent->insn))
        return NULL;
    reserve(cpu, units(sizeof(struct code_page)));
    code_page(cpu, page)->lines |= line_bits(offset, recent->insn.length);
    recent->host = at;
    recent->generation = cache->generation;
    return &recent->insn;
}

static uint32_t *bucket(struct code_page *code, unsigned offset)
{
    return &code->buckets[(offset ^ offset >> 5) % BUCKETS];
}

static struct soft_block *look_up(struct soft_block_cache *cache, size_t page, unsigned offset)
{
    if (cache->pages[page] == 0)
        return NULL;
    uint32_t link = *bucket(soft_arena_at(cache, cache->pages[page]), offset);
    while (link != 0) {
        struct soft_block *block = soft_arena_at(cache, link);
        if (block->offset == offset)
            return block;
        link = block->next;
    }
    return NULL;
}

/* A block under construction. */
struct draft {
    struct soft_insn insns[SOFT_BLOCK_OPS];
    struct soft_op ops[SOFT_BLOCK_OPS + 1];
    unsigned count, end; /* end: offset behind the last instruction */
    unsigned handlers;   /* operations that keep their instruction */
    uint64_t lines;
};

static bool branches_to(const struct soft_block *block, unsigned offset)
{
    for (const struct soft_op *op = block->ops; op->code != OP_END; op++) {
        const bool is_branch =
            op->code == OP_JCC || op->code == OP_JMP || (op->code >= OP_JZ_RESULT && op->code <= OP_JG_LOGIC64);
        if (is_branch && op->displacement == (int32_t)offset)
            return true;
    }
    return false;
}

/* Does a block that begins here end the one from `offset` on? Not if it branches back to `offset`, so that a loop which
 * was entered in its middle becomes one block. */
static bool is_end(const struct soft_block *block, unsigned offset)
{
    return block != NULL && !branches_to(block, offset);
}

/* Decode until an instruction ends the block, another block begins, or the page ends. */
static void decode_block(struct soft_cpu *cpu, size_t page, unsigned offset, struct draft *draft)
{
    const uint8_t *host = cpu->ram->host + page * PAGE_4K;
    struct soft_translation translation = {.cache = cpu->blocks};
    draft->end = offset;
    while (draft->count < SOFT_BLOCK_OPS && draft->end < PAGE_4K) {
        struct soft_insn *insn = &draft->insns[draft->count];
        if (draft->count > 0 && is_end(look_up(cpu->blocks, page, draft->end), offset))
            break;
        if (!decode_in_page(host, draft->end, insn))
            break;
        struct soft_op *op = &draft->ops[draft->count++];
        const bool ends = soft_translate(&translation, insn, draft->end, op);
        draft->handlers += soft_op_has_insn(op);
        draft->lines |= line_bits(draft->end, insn->length);
        draft->end += insn->length;
        if (ends)
            break;
    }
    draft->ops[draft->count] = (struct soft_op){.code = OP_END, .offset = (uint16_t)draft->end};
    draft->ops[draft->count].displacement = (int32_t)draft->end;
}

/* Units of the arena that a draft takes, with its page. */
static uint32_t draft_units(const struct draft *draft)
{
    return units(sizeof(struct code_page)) +
           units(sizeof(struct soft_block) + (draft->count + 1) * sizeof(struct soft_op)) +
           units(sizeof(struct soft_insn)) * draft->handlers;
}

/* Move a draft into the arena, which has room for it. */
static struct soft_block *keep_block(struct soft_cpu *cpu, size_t page, unsigned offset, uint64_t page_address,
                                     const struct draft *draft)
{
    struct soft_block_cache *cache = cpu->blocks;
    struct code_page *code = code_page(cpu, page);
    uint32_t *head = bucket(code, offset);
    const size_t ops_size = (draft->count + 1) * sizeof(struct soft_op);
    struct soft_block *block = allocate(cache, sizeof *block + ops_size);
    *block = (struct soft_block){
        .next = *head, .offset = (uint16_t)offset, .count = (uint16_t)draft->count, .page = (uint32_t)page};
    memcpy(block->ops, draft->ops, ops_size);
    code->page_address = page_address;
    if (cpu->counts != NULL)
        memset(soft_count_cell(cache, block->ops), 0, (draft->count + 1) * sizeof(struct soft_count_cell));
    for (unsigned i = 0; i < draft->count; i++) {
        if (!soft_op_has_insn(&block->ops[i]))
            continue;
        struct soft_insn *insn = allocate(cache, sizeof *insn);
        *insn = draft->insns[i];
        block->ops[i].insn = insn;
    }
    *head = soft_arena_link(cache, block);
    code->lines |= draft->lines;
    return block;
}

bool soft_block_page_is_at(struct soft_cpu *cpu, size_t page, uint64_t page_address)
{
    const uint32_t link = cpu->blocks->pages[page];
    if (cpu->counts == NULL || link == 0)
        return true;
    const struct code_page *code = soft_arena_at(cpu->blocks, link);
    return code->page_address == page_address || code->page_address == NO_ADDRESS;
}

void soft_blocks_visit(struct soft_cpu *cpu,
                       void (*visit)(struct soft_cpu *cpu, const struct soft_block *block, uint64_t page_address))
{
    struct soft_block_cache *cache = cpu->blocks;
    for (uint32_t page = cache->code_pages; page != 0;) {
        const struct code_page *code = soft_arena_at(cache, page);
        for (unsigned i = 0; i < BUCKETS; i++) {
            for (uint32_t link = code->buckets[i]; link != 0;) {
                const struct soft_block *block = soft_arena_at(cache, link);
                visit(cpu, block, code->page_address);
                link = block->next;
            }
        }
        page = code->next;
    }
}

struct soft_block *soft_block_find(struct soft_cpu *cpu, size_t page, unsigned offset, uint64_t page_address)
{
    if (!soft_block_page_is_at(cpu, page, page_address))
        soft_blocks_drop_page(cpu, page);
    struct soft_block *block = look_up(cpu->blocks, page, offset);
    if (block == NULL) {
        struct draft draft = {.count = 0};
        decode_block(cpu, page, offset, &draft);
        if (draft.count == 0)
            return NULL;
        reserve(cpu, draft_units(&draft));
        block = keep_block(cpu, page, offset, page_address, &draft);
    }
    struct soft_jump *jump = soft_jump_slot(cpu->blocks, cpu->ram->host + page * PAGE_4K + offset);
    *jump = (struct soft_jump){.host = cpu->ram->host + page * PAGE_4K + offset, .block = block};
    return block;
}
