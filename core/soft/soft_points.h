/*
 * Points: places where a debugger wants the guest to stop, and what memory it watches; and the guest's own breakpoints
 * in its debug registers (Intel SDM volume 3, 18.2). Both are asked page by page first, and exactly only where a page
 * has some.
 */
#ifndef MH_CORE_SOFT_SOFT_POINTS_H
#define MH_CORE_SOFT_SOFT_POINTS_H

#include "soft_cpu.h"

/* ---- soft_points.c: the debugger's ---- */

/* As arm() of struct cpu_ops. MH_ERR_HOST without memory: then none is armed. */
enum mh_status soft_points_arm(struct soft_cpu *cpu, const struct cpu_point *points, size_t count,
                               struct mh_error *err);
void soft_points_free(struct soft_cpu *cpu);

/* Is there an execute point at this address, or in this page? */
bool soft_points_execute(const struct soft_cpu *cpu, uint64_t address, unsigned *point);
bool soft_points_execute_in_page(const struct soft_cpu *cpu, uint64_t page);

/* Is any byte of [first, last] watched for this kind of access? The lowest index goes to *point. */
bool soft_points_watched(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write, unsigned *point);

/* ---- soft_debug.c: the guest's ---- */

/* DR0 to DR3 or DR7 may have changed. */
void soft_debug_update(struct soft_cpu *cpu);

bool soft_debug_execute_in_page(const struct soft_cpu *cpu, uint64_t page);
bool soft_debug_watched(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write);

/* DR6 bits of the breakpoints that an access, the execution of an instruction, or an access to ports meets; 0 when none
 * of these is enabled. */
uint64_t soft_debug_data(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write);
uint64_t soft_debug_execute(const struct soft_cpu *cpu, uint64_t address);
uint64_t soft_debug_port(const struct soft_cpu *cpu, uint16_t port, unsigned width);

/* ---- both ---- */

/* Is there an execute point in the page of this address? */
static inline bool soft_page_has_points(const struct soft_cpu *cpu, uint64_t address)
{
    const uint64_t page = address & ~0xfffull;
    return (cpu->point_index != NULL && soft_points_execute_in_page(cpu, page)) ||
           (cpu->debug_execute && soft_debug_execute_in_page(cpu, page));
}

/* Does the page of this address have watched bytes? */
static inline bool soft_watched_in_page(const struct soft_cpu *cpu, uint64_t page, bool is_write)
{
    unsigned point;
    return (cpu->point_index != NULL && soft_points_watched(cpu, page, page | 0xfff, is_write, &point)) ||
           (cpu->debug_data && soft_debug_watched(cpu, page, page | 0xfff, is_write));
}

/* The instruction accessed these bytes: note what that touched, for soft_run.c to act on when it is done. */
void soft_points_touch(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write);

#endif
