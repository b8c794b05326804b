#include "soft_jit.h"

#include "soft_count.h"
#include "soft_flags.h"
#include "soft_mem.h"
#include "soft_profile.h"
#include "soft_simd_shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Instructions after which generated code comes back, to look for a kick: some microseconds. */
#define SLICE 16384u
/* Units of one block, for the states in which it is entered; others have their flags stored first. */
#define UNITS_OF_A_BLOCK 4u

static bool soft_jit_create(struct soft_cpu *cpu)
{
    struct host_code_arena memory;
    if (cpu->code == NULL || !host_code_take(cpu->code, &memory))
        return false;
    struct soft_jit *jit = calloc(1, sizeof *jit);
    if (jit == NULL) {
        host_code_give_back(cpu->code, &memory);
        return false;
    }
    jit->arena.memory = memory;
    jit_write_common(cpu, &jit->arena);
    host_code_name(cpu->code, jit->arena.memory.run, jit->arena.used, "guest:enter_and_leave");
    cpu->jit = jit;
    cpu->code_jumps = jit->jumps;
    cpu->code_is_stale = true; /* they lead nowhere yet */
    return true;
}

void soft_jit_destroy(struct soft_cpu *cpu)
{
    if (cpu->jit == NULL)
        return;
    host_code_give_back(cpu->code, &cpu->jit->arena.memory);
    free(cpu->jit);
    cpu->jit = NULL;
}

void soft_jit_drop_all(struct soft_cpu *cpu)
{
    if (cpu->jit == NULL)
        return;
    jit_write_common(cpu, &cpu->jit->arena);
    memset(cpu->code_sites, 0, sizeof cpu->code_sites);
    cpu->code_site_count = 0;
    cpu->jit->flushes++;
}

bool soft_jit_stats(const struct cpu *cpu, struct cpu_code_stats *stats)
{
    const struct soft_cpu *soft = (const struct soft_cpu *)cpu;
    const struct soft_jit *jit = soft->jit;
    if (jit == NULL)
        return false;
    *stats = (struct cpu_code_stats){.executed = soft->instructions - soft->not_executed,
                                     .instructions = jit->executed,
                                     .units = jit->units,
                                     .flushes = jit->flushes};
    return true;
}

/* ---- units ---- */

static struct jit_unit *unit_at(struct soft_jit *jit, uint32_t place)
{
    return (struct jit_unit *)(void *)(jit->arena.memory.write + place);
}

static bool is_for(const struct jit_unit *unit, const struct jit_unit *state)
{
    return unit->page_address == state->page_address && unit->user == state->user && unit->has_sse == state->has_sse &&
           memcmp(&unit->flags, &state->flags, sizeof unit->flags) == 0;
}

/* The block's unit for a state, made if there is none. *count: how many the block has. */
static struct jit_unit *find_unit(struct soft_cpu *cpu, const struct soft_block *block, const struct jit_unit *state,
                                  unsigned *count)
{
    *count = 0;
    for (uint32_t place = block->unit; place != 0; ++*count) {
        struct jit_unit *unit = unit_at(cpu->jit, place);
        if (is_for(unit, state))
            return unit;
        place = unit->next;
    }
    return NULL;
}

/* For those who see the host's addresses, in perf or gdb. */
static void name_unit(struct soft_cpu *cpu, const struct jit_unit *unit)
{
    const struct jit_arena *arena = &cpu->jit->arena;
    char name[40];
    snprintf(name, sizeof name, "guest:0x%" PRIx64, unit->page_address + unit->block->offset);
    host_code_name(cpu->code, arena->memory.run + unit->entry, arena->used - unit->entry, name);
}

static struct jit_unit *make_unit(struct soft_cpu *cpu, struct soft_block *block, const struct jit_unit *state)
{
    struct jit_unit wanted = *state;
    wanted.next = block->unit;
    struct jit_unit *unit = jit_translate(cpu, &cpu->jit->arena, block, &wanted);
    if (unit == NULL)
        return NULL;
    block->unit = (uint32_t)((uint8_t *)unit - cpu->jit->arena.memory.write);
    cpu->jit->units++;
    name_unit(cpu, unit);
    return unit;
}

/* The unit to enter a block with from here: flags are stored, xmm registers are in memory. */
static struct jit_unit *unit_to_enter(struct soft_cpu *cpu, struct soft_block *block, uint64_t page_address)
{
    const struct jit_unit state = {.page_address = page_address, .user = (uint8_t)cpu->user};
    unsigned count;
    struct jit_unit *unit = find_unit(cpu, block, &state, &count);
    return unit != NULL || count >= 2 * UNITS_OF_A_BLOCK ? unit : make_unit(cpu, block, &state);
}

/* ---- branches ---- */

/* A branch was taken that led to no unit yet: find one for it, if its block is hot. */
static void link_branch(struct soft_cpu *cpu, const struct jit_unit *from, const struct jit_link *link)
{
    struct soft_jit *jit = cpu->jit;
    const uint64_t generation = cpu->blocks->generation;
    struct jit_unit state = {
        .page_address = from->page_address, .user = from->user, .flags = link->flags, .has_sse = link->has_sse};
    struct soft_block *block = soft_block_find(cpu, from->block->page, link->target, from->page_address);
    unsigned count;
    if (block == NULL || cpu->blocks->generation != generation || block->heat < cpu->blocks->hot)
        return;
    struct jit_unit *unit = find_unit(cpu, block, &state, &count);
    bool stored = false;
    if (unit == NULL && count >= UNITS_OF_A_BLOCK) {
        stored = true;
        state.flags = (struct jit_flags){.kind = JIT_FLAGS_STORED};
        unit = find_unit(cpu, block, &state, &count);
    }
    if (unit == NULL && jit_has_room(&jit->arena) && count < 2 * UNITS_OF_A_BLOCK)
        unit = make_unit(cpu, block, &state);
    if (unit != NULL)
        jit_connect(&jit->arena, link, unit, stored);
    else
        block->heat = block->rounds = 0; /* it has none: try again after a while */
}

/* The page of `address` joins those of the site when they are side by side, here and in this process. */
static void extend_site(struct soft_code_site *site, uint64_t page, uint64_t addend, unsigned size, bool is_indexed)
{
    uint64_t start = 0 - site->start, length = site->limit + size - 1;
    const bool is_same = site->limit != 0 && site->addend == (is_indexed ? start + addend : addend);
    if (is_same && page == start + length && page != 0) {
        length += PAGE_4K;
    } else if (is_same && page + PAGE_4K == start && start != 0) {
        start = page;
        length += PAGE_4K;
    } else {
        start = page;
        length = PAGE_4K;
    }
    *site = (struct soft_code_site){
        .limit = length - size + 1, .start = 0 - start, .addend = is_indexed ? start + addend : addend};
}

uint64_t soft_jit_fill(struct soft_cpu *cpu, uint64_t address, unsigned access)
{
    const unsigned size = access & (JIT_ACCESS_WRITE - 1), site = access >> JIT_ACCESS_SITE_SHIFT;
    const bool is_write = (access & JIT_ACCESS_WRITE) != 0, is_indexed = (access & JIT_ACCESS_INDEXED) != 0;
    /* a slice with a page walk for each instruction would make a kick wait for a tenth of a millisecond and more */
    if (atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0)
        return 0;
    const uint32_t changes = cpu->tlb_changes;
    const uint64_t addend = soft_mem_addend(cpu, address, size, is_write), page = address & ~(uint64_t)(PAGE_4K - 1);
    if (addend == 0 || cpu->tlb_changes != changes) /* what other places remember may be in use */
        return 0;
    if (site == 0)
        return addend;
    struct soft_code_site *const at = &cpu->code_sites[site - 1];
    if (soft_mem_at_hand(cpu, address, is_write))
        extend_site(at, page, addend, size, is_indexed);
    else /* this access only */
        *at = (struct soft_code_site){.start = 0 - page, .addend = is_indexed ? page + addend : addend};
    return addend;
}

/* ---- running ---- */

/* Addresses may lead elsewhere now, or to code that is not there any more. */
static void check_jumps(struct soft_cpu *cpu)
{
    struct soft_jit *jit = cpu->jit;
    if (jit->generation == cpu->blocks->generation && jit->user == cpu->user && !cpu->code_is_stale)
        return;
    jit->generation = cpu->blocks->generation;
    jit->user = cpu->user;
    cpu->code_is_stale = false;
    for (unsigned i = 0; i < JIT_JUMPS; i++)
        jit->jumps[i] = (struct soft_code_jump){.target = i ^ 1}; /* has another place */
}

static uint64_t enter(struct soft_cpu *cpu, const struct jit_unit *unit, uint64_t until)
{
    if (until - cpu->instructions > SLICE)
        until = cpu->instructions + SLICE;
    cpu->code_flags = soft_arithmetic(cpu) | MH_RFLAGS_FIXED;
    cpu->code_has_sse = soft_simd_is_ready(cpu);
    const uint64_t started = cpu->instructions;
    if (cpu->profile != NULL)
        soft_profile_enter_code(cpu, until - started);
    const uint64_t left_with = jit_enter(cpu, &cpu->jit->arena, unit->entry, until - started);
    cpu->instructions = until - cpu->code_left;
    if (cpu->profile != NULL)
        soft_profile_leave_code(cpu);
    cpu->jit->executed += cpu->instructions - started;
    soft_set_arithmetic(cpu, (uint32_t)cpu->code_flags);
    return left_with;
}

/* What the code was left with, in terms of the interpreter. */
static enum soft_jit_end conclude(struct soft_cpu *cpu, uint64_t left_with, struct soft_block **block,
                                  struct soft_op **op)
{
    struct soft_jit *jit = cpu->jit;
    if (left_with >> (32 + JIT_EXIT_SHIFT) == JIT_EXIT_RIP)
        return SOFT_JIT_AT_RIP;
    const struct jit_unit *unit = unit_at(jit, (uint32_t)left_with);
    const uint32_t what = (uint32_t)(left_with >> 32), argument = what & ((1u << JIT_EXIT_SHIFT) - 1);
    *block = unit->block;
    if (what >> JIT_EXIT_SHIFT == JIT_EXIT_LINK) {
        struct jit_link link;
        memcpy(&link, jit->arena.memory.write + argument, sizeof link);
        cpu->rip = unit->page_address + link.target;
        link_branch(cpu, unit, &link);
        return SOFT_JIT_AT_RIP;
    }
    *op = &(*block)->ops[argument & 0xff];
    if (cpu->counts != NULL && what >> JIT_EXIT_SHIFT == JIT_EXIT_OP)
        soft_count_take_back(cpu->blocks, *op, jit_segment_end(*op));
    if (what >> JIT_EXIT_SHIFT == JIT_EXIT_TARGET) {
        cpu->rip = unit->page_address + (uint64_t)(int64_t)(*op)->displacement;
        return SOFT_JIT_AT_RIP;
    }
    cpu->rip = unit->page_address + (*op)->offset;
    return (argument & JIT_EXIT_DIRECT) != 0 ? SOFT_JIT_AT_OP : SOFT_JIT_ONE;
}

enum soft_jit_end soft_jit_run(struct soft_cpu *cpu, struct soft_block **block, struct soft_op **op,
                               uint64_t page_address, uint64_t until)
{
    if (cpu->jit == NULL && !soft_jit_create(cpu)) {
        (*block)->heat = 0; /* try again after a while */
        return SOFT_JIT_REFUSED;
    }
    struct soft_jit *jit = cpu->jit;
    if (!jit_has_room(&jit->arena)) {
        soft_blocks_drop_all(cpu);
        return SOFT_JIT_AT_RIP;
    }
    check_jumps(cpu);
    const struct jit_unit *unit = unit_to_enter(cpu, *block, page_address);
    if (unit == NULL) {
        (*block)->heat = (*block)->rounds = 0;
        return SOFT_JIT_REFUSED;
    }
    const uint64_t rip = page_address + (*block)->offset;
    jit->jumps[rip % JIT_JUMPS] = (struct soft_code_jump){.target = rip, .code = jit->arena.memory.run + unit->entry};
    return conclude(cpu, enter(cpu, unit, until), block, op);
}
