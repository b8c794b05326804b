#include "soft_count.h"

#include "soft_jit.h"
#include "soft_profile.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024u
#define HASH 0x9e3779b97f4a7c15ull

/* ---- the table of addresses ---- */

static struct soft_count *counts_slot(const struct soft_counts *counts, uint64_t address)
{
    uint32_t at = (uint32_t)(address * HASH >> 32) & (counts->room - 1);
    while (counts->table[at].is_used && counts->table[at].address != address)
        at = (at + 1) & (counts->room - 1);
    return &counts->table[at];
}

static bool counts_grow(struct soft_counts *counts)
{
    const struct soft_counts old = *counts;
    struct soft_count *table = calloc((size_t)old.room * 2, sizeof *table);
    if (table == NULL)
        return false;
    counts->table = table;
    counts->room *= 2;
    for (uint32_t i = 0; i < old.room; i++)
        if (old.table[i].is_used)
            *counts_slot(counts, old.table[i].address) = old.table[i];
    free(old.table);
    return true;
}

static void counts_put(struct soft_counts *counts, uint64_t address, unsigned length, uint64_t count)
{
    struct soft_count *slot = counts_slot(counts, address);
    if (!slot->is_used) {
        const bool is_full = counts->used >= counts->room / 2;
        if (is_full && (counts->used >= SOFT_COUNTS_MAX || !counts_grow(counts))) {
            counts->elsewhere += count;
            return;
        }
        slot = counts_slot(counts, address);
        *slot = (struct soft_count){.address = address, .is_used = true};
        counts->used++;
    }
    slot->count += count;
    if (length > slot->length)
        slot->length = (uint8_t)length;
}

/* ---- cells ---- */

/* Operations of a block, with what generated code counted for segments of them. */
static void counts_take_block(struct soft_cpu *cpu, const struct soft_block *block, uint64_t page_address)
{
    const struct soft_op *segment_end = block->ops;
    uint64_t begun = 0, segments = 0;
    for (const struct soft_op *op = block->ops; op < block->ops + block->count; op++) {
        const struct soft_count_cell *cell = soft_count_cell(cpu->blocks, op);
        begun += (uint64_t)cell->begun;
        if (op == segment_end)
            segments = 0;
        if (cell->segments != 0) {
            segments = cell->segments;
            segment_end = jit_segment_end(op);
        }
        if (begun + segments != 0)
            counts_put(cpu->counts, page_address + op->offset, op[1].offset - (unsigned)op->offset, begun + segments);
    }
}

static void counts_clear_block(struct soft_cpu *cpu, const struct soft_block *block, uint64_t page_address)
{
    (void)page_address;
    memset(soft_count_cell(cpu->blocks, block->ops), 0, (block->count + 1u) * sizeof(struct soft_count_cell));
}

void soft_counts_collect(struct soft_cpu *cpu)
{
    if (!cpu->counts->is_paused)
        soft_blocks_visit(cpu, counts_take_block);
    soft_blocks_visit(cpu, counts_clear_block);
}

/* ---- counting ---- */

/* What is executed here was counted before? */
static bool counts_is_paused(struct soft_cpu *cpu, uint64_t number)
{
    if (!cpu->counts->is_paused)
        return false;
    if (number < cpu->counts->resume_at)
        return true;
    soft_counts_collect(cpu);
    cpu->counts->is_paused = false;
    return false;
}

void soft_counts_add(struct soft_cpu *cpu, uint64_t address, unsigned length, uint64_t first, uint64_t count)
{
    struct soft_counts *counts = cpu->counts;
    if (counts_is_paused(cpu, first))
        return;
    counts_put(counts, address, length, count);
    memmove(&counts->recent[1], &counts->recent[0], sizeof counts->recent - sizeof counts->recent[0]);
    counts->recent[0].address = address;
    counts->recent[0].number = first + count - 1;
}

uint64_t soft_counts_bound(struct soft_cpu *cpu)
{
    return counts_is_paused(cpu, cpu->instructions) ? cpu->counts->resume_at : UINT64_MAX;
}

/* Is everything from `instructions` on recent enough to be taken back? */
static bool counts_take_back(struct soft_cpu *cpu, uint64_t instructions)
{
    struct soft_counts *counts = cpu->counts;
    const uint64_t back = cpu->instructions - instructions;
    if (back > SOFT_COUNTS_RECENT)
        return false;
    for (uint64_t i = 0; i < back; i++)
        if (counts->recent[i].number != cpu->instructions - 1 - i ||
            counts_slot(counts, counts->recent[i].address)->count == 0)
            return false;
    if (cpu->profile != NULL)
        soft_profile_take_back(cpu, instructions);
    for (uint64_t i = 0; i < back; i++)
        counts_slot(counts, counts->recent[i].address)->count--;
    return true;
}

void soft_counts_go_to(struct soft_cpu *cpu, uint64_t instructions)
{
    struct soft_counts *counts = cpu->counts;
    if (instructions >= cpu->instructions || counts->is_paused)
        return;
    soft_counts_collect(cpu);
    if (counts->used == 0 && counts->elsewhere == 0) {
        if (cpu->profile != NULL)
            soft_profile_forget(cpu, instructions);
        return;
    }
    if (counts_take_back(cpu, instructions))
        return;
    if (cpu->profile != NULL)
        soft_profile_take_back(cpu, cpu->instructions);
    counts->is_paused = true;
    counts->resume_at = cpu->instructions;
}

/* ---- for those above ---- */

bool soft_counts_create(struct soft_cpu *cpu)
{
    struct soft_counts *counts = calloc(1, sizeof *counts);
    if (counts == NULL)
        return false;
    counts->room = FIRST_ROOM;
    counts->table = calloc(counts->room, sizeof *counts->table);
    if (counts->table == NULL) {
        free(counts);
        return false;
    }
    soft_blocks_drop_all(cpu); /* none is counted */
    cpu->counts = counts;
    return true;
}

void soft_counts_destroy(struct soft_cpu *cpu)
{
    if (cpu->counts == NULL)
        return;
    free(cpu->counts->table);
    free(cpu->counts->sorted);
    free(cpu->counts);
    cpu->counts = NULL;
}

enum mh_status soft_count_instructions(struct cpu *cpu, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    if (soft->counts == NULL && !soft_counts_create(soft))
        return mh_fail(err, MH_ERR_HOST, "no memory to count instructions");
    return MH_OK;
}

static int counts_compare(const void *left, const void *right)
{
    const struct mh_count *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static struct mh_count counts_public(const struct soft_count *count)
{
    return (struct mh_count){.address = count->address, .count = count->count, .length = count->length};
}

enum mh_status soft_read_counts(struct cpu *cpu, struct mh_counts *result, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    struct soft_counts *counts = soft->counts;
    size_t length = 0;
    soft_counts_collect(soft);
    free(counts->sorted);
    counts->sorted = calloc(counts->used + 1u, sizeof *counts->sorted);
    if (counts->sorted == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the counts of %u instructions", counts->used);
    for (uint32_t i = 0; i < counts->room; i++)
        if (counts->table[i].count != 0)
            counts->sorted[length++] = counts_public(&counts->table[i]);
    qsort(counts->sorted, length, sizeof *counts->sorted, counts_compare);
    *result = (struct mh_counts){.counts = counts->sorted, .length = length, .elsewhere = counts->elsewhere};
    return MH_OK;
}

void soft_forget_counts(struct cpu *cpu)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    struct soft_counts *counts = soft->counts;
    counts->is_paused = true; /* nothing in the cells counts */
    soft_counts_collect(soft);
    memset(counts->table, 0, counts->room * sizeof *counts->table);
    memset(counts->recent, 0, sizeof counts->recent);
    counts->used = 0;
    counts->elsewhere = 0;
    counts->is_paused = false;
    if (soft->profile != NULL)
        soft_profile_forget(soft, soft->instructions);
}
