/*
 * A machine under a debugger: what the debugger asked for, and the policy that decides when a resume ends. The
 * mechanism is the processor's (cpu/cpu.h) and the run loop's (machine/run_loop.h).
 */
#ifndef MH_CORE_DEBUG_DEBUG_H
#define MH_CORE_DEBUG_DEBUG_H

#include "debug/breakpoints.h"
#include "debug/catchpoints.h"
#include "machine/vm.h"

struct run_result;
struct timeline;

struct debug {
    struct mh_vm *vm;
    struct breakpoints breakpoints;
    struct catchpoints catchpoints;
    struct mh_resume how;
    struct mh_stop last_stop;
    struct timeline *timeline;   /* the machine's past; NULL: it is not kept */
    struct mh_stop present_stop; /* what it stopped with before it went to its past */
    mh_console *console;         /* of mh_debug_target_ops.set_console */
    void *console_ctx;
    uint64_t ran_ns; /* how long it has run since its position was known */
    const int *fds;  /* descriptors whose input ends a wait */
    unsigned fd_count;
    bool running;           /* resumed, and no stop reported yet */
    bool killed;            /* by the debugger: it does not run again, but may be restarted */
    bool interrupt_wanted;  /* stop as soon as possible */
    bool points_are_armed;  /* for the resume under way */
    bool step_off;          /* the next instruction is executed even if there is a point at it */
    bool has_told_of_limit; /* of the history */
    bool was_restored;      /* to a snapshot: the stop it was taken at has been reported before */
};

/* Why debug_run() came back. */
enum debug_end {
    DEBUG_STOPPED, /* the machine stopped; *stop says why */
    DEBUG_INPUT,   /* a descriptor is readable, or the program is ending; the machine counts as running */
};

/* The debugger asks for `how`; debug_run() lets it happen. */
void debug_resume(struct debug *debug, const struct mh_resume *how);
/* The stop is not wanted: continue as resumed. False when that makes it the end of a step, with *stop changed to say
 * so; that may be unwanted again. */
bool debug_go_on(struct debug *debug, struct mh_stop *stop);

/* Print on the debugger's console; nothing without one. */
void debug_say(const struct debug *debug, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- for history.c ---- */

bool debug_has_input(const struct debug *debug);
/* Give the processor the points, if it does not have them. MH_OK, or an error with none armed. */
enum mh_status debug_arm(struct debug *debug, struct mh_error *err);
/* Fill in which break- or watchpoint a stop is for. */
void debug_name_stop(const struct debug *debug, struct run_result *result);
/* Is a stop of this kind for a breakpoint, watchpoint or catchpoint? */
bool debug_is_point(enum mh_stop_kind kind);
/* Does the filter of the resume want it? */
bool debug_is_wanted(const struct debug *debug, struct mh_stop *stop);

/* Let a resumed machine run. */
enum debug_end debug_run(struct debug *debug, struct mh_stop *stop);

/* Put the machine's catchpoints into effect after one was added or removed. */
void debug_update_catchpoints(struct debug *debug);

/* The machine's debug state; NULL before mh_vm_debug(). */
struct debug *debug_of(const struct mh_vm *vm);

#endif
