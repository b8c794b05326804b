/*
 * The cache of decoded code. A block is a run of instructions in one physical page, as operations for the loop of
 * soft_exec.c: it is entered at its first one, and left at any branch that is taken or at its end.
 *
 * Everything is in one arena that only grows; when it is full, all of it is dropped. A page that is written loses its
 * blocks, whose memory is not used again before that. So an operation that is being executed stays what it is even when
 * it overwrites itself, and blocks of one page may refer to each other by their place in the arena.
 */
#ifndef MH_CORE_SOFT_SOFT_BLOCK_H
#define MH_CORE_SOFT_SOFT_BLOCK_H

#include "soft_cpu.h"

#include <stdalign.h>

/* What soft_exec.c executes: an instruction with operands of one form and size, or one that has a handler. */
struct soft_op {
    uint16_t code;     /* enum soft_op_code */
    uint16_t offset;   /* of the instruction in its page */
    uint8_t reg, base; /* slots of struct soft_cpu: registers; base of an address, or the source register */
    uint8_t index;
    uint8_t scale; /* of the index; of a branch: the instruction's length */
    union {
        struct {
            int32_t displacement; /* of a branch: where it leads, from the start of the page */
            union {
                int32_t immediate;
                uint32_t link; /* the block it leads to; 0: not known yet, or in another page */
            };
        };
        uint64_t wide;                /* a 64-bit immediate */
        const struct soft_insn *insn; /* of one that has a handler */
    };
};

#define SOFT_BLOCK_OPS 48u /* instructions in a block, at most */

struct soft_block {
    uint32_t next;   /* another block of the page, whose start has the same hash; 0: none */
    uint16_t offset; /* of its first instruction in the page */
    uint16_t count;  /* instructions, at most, that are retired before its end */
    uint32_t page;   /* in the order of ram.host */
    uint32_t heat;   /* how often it was entered */
    uint32_t unit;   /* where its generated code is (soft_jit.h); 0: nowhere */
    uint32_t rounds; /* how often of these from its own branch; operations are aligned to 8 bytes */
    struct soft_op ops[];
};

#define SOFT_JUMPS 256u
#define SOFT_RECENT 128u

/* Where a block is that begins at this byte of memory. */
struct soft_jump {
    const uint8_t *host;
    struct soft_block *block;
};

/* An instruction decoded by itself, for soft_exec_one(). */
struct soft_recent {
    const uint8_t *host;
    uint64_t generation;
    struct soft_insn insn;
};

/* How often an operation was executed, while that is counted (soft_count.h). */
struct soft_count_cell {
    int64_t begun;     /* stretches of operations that begin here, less those that ended before it */
    uint64_t segments; /* begun here by generated code */
};

#define SOFT_ARENA_UNIT 16u
#define SOFT_ARENA_UNITS ((4u << 20) / SOFT_ARENA_UNIT)

/* Large, but memory that is not touched costs nothing. */
struct soft_block_cache {
    uint32_t used;       /* units of the arena; the first is never given away, so that no link is 0 */
    uint64_t generation; /* counts whenever something is dropped; a block that runs ends then. A guest cannot wrap it */
    uint32_t hot;        /* a block that was entered more often is for generated code */
    uint32_t code_pages; /* the struct code_page made last, first of a list of all in the arena; 0: none */
    bool flags_are_pure; /* the host's shifts and multiplications set flags that depend on nothing but operands */
    bool division_keeps_flags;
    /* in this order, and the jumps in a page of their own, so that little of it is touched by a small guest */
    uint32_t pages[RAM_PAGES_MAX]; /* where the struct code_page of each page is; 0: nothing is decoded */
    alignas(PAGE_4K) struct soft_jump jumps[SOFT_JUMPS];
    struct soft_recent recent[SOFT_RECENT];
    alignas(64) uint8_t arena[SOFT_ARENA_UNITS * SOFT_ARENA_UNIT];
    uint8_t cells[SOFT_ARENA_UNITS * SOFT_ARENA_UNIT]; /* each behind its operation by the size of the arena */
};

_Static_assert(sizeof(struct soft_op) == sizeof(struct soft_count_cell), "cells are placed as operations are");

static inline struct soft_count_cell *soft_count_cell(struct soft_block_cache *cache, const struct soft_op *op)
{
    return (struct soft_count_cell *)(void *)(cache->cells + ((const uint8_t *)op - cache->arena));
}

static inline void *soft_arena_at(struct soft_block_cache *cache, uint32_t link)
{
    return cache->arena + (size_t)link * SOFT_ARENA_UNIT;
}

static inline uint32_t soft_arena_link(const struct soft_block_cache *cache, const void *at)
{
    return (uint32_t)((size_t)((const uint8_t *)at - cache->arena) / SOFT_ARENA_UNIT);
}

static inline struct soft_jump *soft_jump_slot(struct soft_block_cache *cache, const uint8_t *host)
{
    const uintptr_t at = (uintptr_t)host;
    return &cache->jumps[(at ^ at >> 8) % SOFT_JUMPS];
}

/*
 * The block that begins at `offset` of a page, which is at the linear address `page_address`; it is decoded when there
 * is none. NULL when the instruction there crosses the end of the page, so that it has to be executed by itself. May
 * drop everything, or this page (then `generation` changes).
 */
struct soft_block *soft_block_find(struct soft_cpu *cpu, size_t page, unsigned offset, uint64_t page_address);
/* Is what was decoded of a page good for this address of it? It always is unless instructions are counted. */
bool soft_block_page_is_at(struct soft_cpu *cpu, size_t page, uint64_t page_address);
/* Call `visit` for all blocks, also those of pages that were dropped, and the linear addresses of their pages. */
void soft_blocks_visit(struct soft_cpu *cpu,
                       void (*visit)(struct soft_cpu *cpu, const struct soft_block *block, uint64_t page_address));

/* The instruction at `offset` of a page, decoded; NULL when it crosses the end of the page. Good until the next call.
 */
const struct soft_insn *soft_block_insn(struct soft_cpu *cpu, size_t page, unsigned offset);

#endif
