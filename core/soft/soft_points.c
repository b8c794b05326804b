/*
 * The debugger's points are a set without a limit: a hash of addresses and one of pages for execute points, and a list
 * of watched ranges sorted by address. The index is built when points are armed, refers to the caller's array, and
 * costs nothing while there are none. Where several points apply, the one with the lowest index is reported.
 */
#include "soft_points.h"

#include "soft_mem.h"

#include <stdlib.h>

/* A watched range. In the sorted list, `reach` is the highest `last` of this and all ranges before it: going down from
 * an address, a search ends where nothing further down reaches up to it. */
struct watch {
    uint64_t first, last, reach;
    unsigned point;
};

struct soft_point_index {
    size_t mask;       /* of both hashes: their size minus 1 */
    uint32_t *execute; /* index of a point, plus 1; 0: free */
    uint64_t *pages;   /* address of a page, plus 1; 0: free */
    struct watch *watches;
    size_t watch_count;
};

static size_t hash(uint64_t value, size_t mask)
{
    return (size_t)(value * 0x9e3779b97f4a7c15ull >> 32) & mask;
}

static void index_free(struct soft_point_index *index)
{
    if (index == NULL)
        return;
    free(index->execute);
    free(index->pages);
    free(index->watches);
    free(index);
}

/* An index with room for `execute` and `watch` points. */
static struct soft_point_index *index_create(size_t execute, size_t watch)
{
    struct soft_point_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    size_t size = 16;
    while (size < 2 * execute)
        size *= 2;
    index->mask = size - 1;
    index->execute = calloc(size, sizeof *index->execute);
    index->pages = calloc(size, sizeof *index->pages);
    index->watches = calloc(watch + 1, sizeof *index->watches);
    if (index->execute != NULL && index->pages != NULL && index->watches != NULL)
        return index;
    index_free(index);
    return NULL;
}

static void add_page(struct soft_point_index *index, uint64_t page)
{
    size_t slot = hash(page, index->mask);
    while (index->pages[slot] != 0 && index->pages[slot] != page + 1)
        slot = (slot + 1) & index->mask;
    index->pages[slot] = page + 1;
}

/* The slot of the execute point at this address, or the free one where it belongs. */
static size_t execute_slot(const struct soft_point_index *index, const struct cpu_point *points, uint64_t address)
{
    size_t slot = hash(address, index->mask);
    while (index->execute[slot] != 0 && points[index->execute[slot] - 1].address != address)
        slot = (slot + 1) & index->mask;
    return slot;
}

static void add_execute(struct soft_point_index *index, const struct cpu_point *points, unsigned point)
{
    size_t slot = execute_slot(index, points, points[point].address);
    if (index->execute[slot] == 0)
        index->execute[slot] = point + 1;
    add_page(index, points[point].address & ~0xfffull);
}

static void add_watch(struct soft_point_index *index, const struct cpu_point *points, unsigned point)
{
    uint64_t first = points[point].address, last = first + (points[point].length - 1);
    if (last < first)
        last = UINT64_MAX;
    index->watches[index->watch_count++] = (struct watch){.first = first, .last = last, .point = point};
}

static int compare_watches(const void *left, const void *right)
{
    const struct watch *a = left, *b = right;
    return a->first < b->first ? -1 : a->first > b->first;
}

static void sort_watches(struct soft_point_index *index)
{
    uint64_t reach = 0;
    qsort(index->watches, index->watch_count, sizeof *index->watches, compare_watches);
    for (size_t i = 0; i < index->watch_count; i++) {
        if (index->watches[i].last > reach)
            reach = index->watches[i].last;
        index->watches[i].reach = reach;
    }
}

static struct soft_point_index *index_build(const struct cpu_point *points, size_t count)
{
    size_t execute = 0;
    for (size_t i = 0; i < count; i++)
        execute += points[i].kind == CPU_POINT_EXECUTE;
    struct soft_point_index *index = index_create(execute, count - execute);
    for (unsigned i = 0; index != NULL && i < count; i++) {
        if (points[i].kind == CPU_POINT_EXECUTE)
            add_execute(index, points, i);
        else if (points[i].length != 0)
            add_watch(index, points, i);
    }
    if (index != NULL)
        sort_watches(index);
    return index;
}

void soft_points_free(struct soft_cpu *cpu)
{
    index_free(cpu->point_index);
    cpu->point_index = NULL;
    cpu->points = NULL;
}

/* Entries of the TLB say which pages are watched. They know nothing of execute points, of which a debugger that steps
 * over a breakpoint arms and disarms one all the time. */
static void drop_watches(struct soft_cpu *cpu)
{
    if (cpu->point_index != NULL && cpu->point_index->watch_count > 0)
        soft_tlb_flush(cpu);
}

enum mh_status soft_points_arm(struct soft_cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err)
{
    drop_watches(cpu);
    soft_points_free(cpu);
    cpu->watch_hit = false;
    cpu->code_is_stale = true;
    if (count == 0)
        return MH_OK;
    if (count >= UINT32_MAX)
        return mh_fail(err, MH_ERR_HOST, "cannot arm %zu points: the limit is %u", count, UINT32_MAX - 1);
    cpu->point_index = index_build(points, count);
    if (cpu->point_index == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %zu break- and watchpoints", count);
    cpu->points = points;
    drop_watches(cpu);
    return MH_OK;
}

bool soft_points_execute(const struct soft_cpu *cpu, uint64_t address, unsigned *point)
{
    const struct soft_point_index *index = cpu->point_index;
    if (index == NULL)
        return false;
    size_t slot = execute_slot(index, cpu->points, address);
    if (index->execute[slot] == 0)
        return false;
    *point = index->execute[slot] - 1;
    return true;
}

bool soft_points_execute_in_page(const struct soft_cpu *cpu, uint64_t page)
{
    const struct soft_point_index *index = cpu->point_index;
    if (index == NULL)
        return false;
    size_t slot = hash(page, index->mask);
    while (index->pages[slot] != 0 && index->pages[slot] != page + 1)
        slot = (slot + 1) & index->mask;
    return index->pages[slot] != 0;
}

/* How many watched ranges begin at or below `last`. */
static size_t watches_up_to(const struct soft_point_index *index, uint64_t last)
{
    size_t low = 0, high = index->watch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->watches[middle].first <= last)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool soft_points_watched(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write, unsigned *point)
{
    const struct soft_point_index *index = cpu->point_index;
    const enum cpu_point_kind other = is_write ? CPU_POINT_READ : CPU_POINT_WRITE;
    bool found = false;
    for (size_t i = watches_up_to(index, last); i > 0 && index->watches[i - 1].reach >= first; i--) {
        const struct watch *watch = &index->watches[i - 1];
        if (watch->last < first || cpu->points[watch->point].kind == other || (found && *point < watch->point))
            continue;
        *point = watch->point;
        found = true;
    }
    return found;
}

static void note_watch(struct soft_cpu *cpu, unsigned point)
{
    if (!cpu->watch_hit || point < cpu->watch_point)
        cpu->watch_point = point;
    cpu->watch_hit = true;
    atomic_fetch_or(&cpu->attention, SOFT_ATTENTION_WATCH);
}

void soft_points_touch(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write)
{
    uint64_t last = address + length - 1;
    unsigned point;
    if (cpu->point_index != NULL && soft_points_watched(cpu, address, last, is_write, &point))
        note_watch(cpu, point);
    if (!cpu->debug_data)
        return;
    cpu->debug_hits |= soft_debug_data(cpu, address, last, is_write);
    if (cpu->debug_hits != 0)
        atomic_fetch_or(&cpu->attention, SOFT_ATTENTION_WATCH);
}
