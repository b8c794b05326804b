#include "debug/breakpoints.h"

#include <stdlib.h>
#include <string.h>

static bool breakpoints_is_watch(const struct breakpoint *breakpoint)
{
    return breakpoint->kind >= MH_BREAK_WATCH_WRITE;
}

static struct breakpoint *breakpoints_find(const struct breakpoints *breakpoints, const struct breakpoint *wanted)
{
    for (size_t i = 0; i < breakpoints->count; i++) {
        struct breakpoint *found = &breakpoints->list[i];
        if (found->address == wanted->address && found->kind == wanted->kind && found->length == wanted->length)
            return found;
    }
    return NULL;
}

static enum mh_status breakpoints_check(const struct breakpoints *breakpoints, const struct breakpoint *added,
                                        struct mh_error *err)
{
    if (breakpoints->count == BREAKPOINTS_MAX)
        return mh_fail(err, MH_ERR_RANGE,
                       "there are %u break- and watchpoints already, the most there can be: delete some",
                       BREAKPOINTS_MAX);
    if (added->length == 0)
        return mh_fail(err, MH_ERR_RANGE, "cannot watch 0 bytes");
    if (added->address + added->length - 1 < added->address)
        return mh_fail(err, MH_ERR_RANGE, "cannot watch beyond the end of the address space");
    return MH_OK;
}

static bool breakpoints_grow(struct breakpoints *breakpoints)
{
    size_t capacity = breakpoints->capacity == 0 ? 16 : breakpoints->capacity * 2;
    struct breakpoint *list = realloc(breakpoints->list, capacity * sizeof *list);
    if (list != NULL)
        breakpoints->list = list;
    struct cpu_point *points = realloc(breakpoints->points, capacity * sizeof *points);
    if (points != NULL)
        breakpoints->points = points;
    if (list == NULL || points == NULL)
        return false;
    breakpoints->capacity = capacity;
    return true;
}

enum mh_status breakpoints_add(struct breakpoints *breakpoints, const struct breakpoint *added, struct mh_error *err)
{
    struct breakpoint *same = breakpoints_find(breakpoints, added);
    if (same != NULL) {
        same->owners |= added->owners;
        return MH_OK;
    }
    enum mh_status status = breakpoints_check(breakpoints, added, err);
    if (status != MH_OK)
        return status;
    if (breakpoints->count == breakpoints->capacity && !breakpoints_grow(breakpoints))
        return mh_fail(err, MH_ERR_HOST, "no memory for another breakpoint");
    breakpoints->list[breakpoints->count++] = *added;
    breakpoints->have_changed = true;
    return MH_OK;
}

void breakpoints_remove(struct breakpoints *breakpoints, const struct breakpoint *removed)
{
    struct breakpoint *found = breakpoints_find(breakpoints, removed);
    if (found == NULL)
        return;
    found->owners &= ~removed->owners;
    if (found->owners != 0)
        return;
    size_t behind = breakpoints->count - 1 - (size_t)(found - breakpoints->list);
    memmove(found, found + 1, behind * sizeof *found);
    breakpoints->count--;
    breakpoints->have_changed = true;
}

void breakpoints_clear(struct breakpoints *breakpoints)
{
    breakpoints->have_changed |= breakpoints->count > 0;
    breakpoints->count = 0;
}

void breakpoints_destroy(struct breakpoints *breakpoints)
{
    free(breakpoints->list);
    free(breakpoints->points);
    *breakpoints = (struct breakpoints){0};
}

const struct cpu_point *breakpoints_points(struct breakpoints *breakpoints)
{
    static const enum cpu_point_kind kinds[] = {
        [MH_BREAK_SOFTWARE] = CPU_POINT_EXECUTE,    [MH_BREAK_HARDWARE] = CPU_POINT_EXECUTE,
        [MH_BREAK_WATCH_WRITE] = CPU_POINT_WRITE,   [MH_BREAK_WATCH_READ] = CPU_POINT_READ,
        [MH_BREAK_WATCH_ACCESS] = CPU_POINT_ACCESS,
    };
    for (size_t i = 0; i < breakpoints->count; i++) {
        const struct breakpoint *breakpoint = &breakpoints->list[i];
        breakpoints->points[i] = (struct cpu_point){.kind = kinds[breakpoint->kind],
                                                    .address = breakpoint->address,
                                                    .length = breakpoint->length,
                                                    .persists = breakpoint->kind == MH_BREAK_HARDWARE};
    }
    breakpoints->have_changed = false;
    return breakpoints->points;
}

const struct breakpoint *breakpoints_at(const struct breakpoints *breakpoints, uint64_t rip)
{
    const struct breakpoint *found = NULL;
    for (size_t i = 0; i < breakpoints->count; i++) {
        const struct breakpoint *breakpoint = &breakpoints->list[i];
        if (!breakpoints_is_watch(breakpoint) && breakpoint->address == rip &&
            (found == NULL || breakpoint->kind == MH_BREAK_SOFTWARE))
            found = breakpoint;
    }
    return found;
}
