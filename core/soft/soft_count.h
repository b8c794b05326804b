/*
 * How often each instruction was retired, by its linear address. Off until soft_counts_create(); costs a branch then.
 *
 * Code is counted where it is executed, in a cell for each operation of a block: the interpreter notes where a stretch
 * of operations begins and ends, generated code that a segment begins (jit_begin_segment()), and before the rounds of a
 * loop how many stretches they are. What is executed by itself is counted by its address. Cells are added to the table
 * of addresses when blocks are dropped, and when it is read. The sum of all counts is what instructions() says,
 * exactly.
 *
 * A block belongs to one linear page while this is on: entering a physical page at another address drops its blocks.
 */
#ifndef MH_CORE_SOFT_SOFT_COUNT_H
#define MH_CORE_SOFT_SOFT_COUNT_H

#include "soft_block.h"

/* More addresses than an image can have. What has no place is counted together. */
#define SOFT_COUNTS_MAX (1u << 22)

/* What was counted last, for soft_counts_go_to(): the delivery of a fault and the HLT of a stub. */
#define SOFT_COUNTS_RECENT 2u

struct soft_count {
    uint64_t address, count;
    uint8_t length;
    bool is_used;
};

struct soft_counts {
    struct soft_count *table; /* by a hash of the address */
    struct mh_count *sorted;  /* what was read last */
    uint32_t room, used;      /* of the table; room is a power of two */
    uint64_t elsewhere;
    /* The machine went back to where it had been before: nothing is counted until it has come as far again. */
    bool is_paused;
    uint64_t resume_at; /* count of instructions */
    struct {
        uint64_t address, number;
    } recent[SOFT_COUNTS_RECENT];
};

/* Begin to count. False without memory. */
bool soft_counts_create(struct soft_cpu *cpu);
void soft_counts_destroy(struct soft_cpu *cpu);

/* The following need cpu->counts. */

/* The instruction at `address`, which is `length` bytes long (0: not known), is retired `count` times, the first time
 * as number `first`. */
void soft_counts_add(struct soft_cpu *cpu, uint64_t address, unsigned length, uint64_t first, uint64_t count);
/* Move what is in the cells of all blocks to the table. */
void soft_counts_collect(struct soft_cpu *cpu);
/* The machine is going to be where `instructions` have been retired. */
void soft_counts_go_to(struct soft_cpu *cpu, uint64_t instructions);
/* Before execution: until which count may it go in one piece? */
uint64_t soft_counts_bound(struct soft_cpu *cpu);

/* Operations [start, end) were executed. */
static inline void soft_count_stretch(struct soft_block_cache *cache, const struct soft_op *start,
                                      const struct soft_op *end)
{
    soft_count_cell(cache, start)->begun++;
    soft_count_cell(cache, end)->begun--;
}

/* Generated code has counted [start, end), which were not executed. */
static inline void soft_count_take_back(struct soft_block_cache *cache, const struct soft_op *start,
                                        const struct soft_op *end)
{
    soft_count_stretch(cache, end, start);
}

/* soft_counts_add() for the next one, if anything is counted. */
static inline void soft_count_one(struct soft_cpu *cpu, uint64_t address, unsigned length)
{
    if (__builtin_expect(cpu->counts != NULL, 0))
        soft_counts_add(cpu, address, length, cpu->instructions, 1);
}

/* count_instructions(), counts() and forget_counts() of cpu/cpu.h. */
enum mh_status soft_count_instructions(struct cpu *cpu, struct mh_error *err);
enum mh_status soft_read_counts(struct cpu *cpu, struct mh_counts *result, struct mh_error *err);
void soft_forget_counts(struct cpu *cpu);

#endif
