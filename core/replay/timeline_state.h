/* The inside of a timeline: for timeline.c and locate.c only. */
#ifndef MH_CORE_REPLAY_TIMELINE_STATE_H
#define MH_CORE_REPLAY_TIMELINE_STATE_H

#include "machine/run_loop.h"
#include "replay/port_log.h"
#include "replay/timeline.h"

/* In instructions; bounds what a seek has to execute where memory allows. */
#define CHECKPOINT_DISTANCE 2000000u

struct checkpoint {
    uint64_t position;
    uint64_t printed;   /* bytes on the serial port before it, which the log does not count */
    uint64_t exchanged; /* uses of the exchange before it */
    struct port_cursor cursor;
    struct snapshot *snapshot;
    bool is_change;   /* what is behind does not follow from what is before: a debugger changed the machine here */
    bool has_devices; /* it was taken in the present, so its files and its place in the input are of its time */
};

/* The registers at a port access of a machine that is not located. */
struct access_mark {
    uint64_t access;
    uint64_t registers; /* a checksum */
};

/* What is known of a machine that is not located, and the search for its position (locate.c). */
struct locate {
    struct checkpoint *waiting; /* without positions, in the order they were taken */
    unsigned count, capacity;
    struct access_mark *marks;
    size_t mark_count, mark_capacity;
    /* while it is searched: */
    const struct checkpoint *wanted; /* NULL: it is not */
    struct cpu_point point;          /* at its rip */
    uint64_t start;                  /* where the search began */
    size_t next_mark;
    size_t page;                  /* see snapshot_differs() */
    struct mh_x86_general halted; /* as of the last HLT */
    bool is_armed;                /* with the point */
    bool registers_differ;        /* at an access */
};

struct timeline {
    struct mh_vm *vm;
    uint64_t limit;
    uint64_t generation;
    struct port_log log;
    struct port_cursor cursor;      /* where the machine is in the log */
    struct checkpoint *checkpoints; /* by position */
    unsigned count, capacity;
    uint64_t present;  /* its position, while the machine is in the past */
    uint64_t next_due; /* position of the next checkpoint, in the present */
    uint64_t printed;  /* in the past: see struct checkpoint */
    uint64_t counted;  /* up to here it ran where its instructions are counted */
    bool is_in_past;
    bool is_redoing;    /* devices answer again what they have answered before: nothing is recorded */
    bool took_points;   /* see timeline_took_points() */
    uint64_t exchanged; /* in the past: uses of the exchange before this place */
    bool is_changed;    /* by a debugger, since the last checkpoint */
    bool has_ended;     /* see timeline_end() */
    struct mh_error why;
    struct locate locate;
};

/* ---- timeline.c ---- */

/* Take a checkpoint where the machine is. */
enum mh_status timeline_take(struct timeline *timeline, struct mh_error *err);
/* Fill in the checkpoint but for its position. */
enum mh_status timeline_make(struct timeline *timeline, struct checkpoint *made, struct mh_error *err);
/* Put it behind those before it, or at the same position. False: there is no memory. */
bool timeline_insert(struct timeline *timeline, const struct checkpoint *checkpoint);
void timeline_remove(struct timeline *timeline, unsigned index);
enum mh_status timeline_restore(struct timeline *timeline, const struct checkpoint *checkpoint, struct mh_error *err);
/* Stay within the limit. Sets *dropped when the oldest part of the past had to go. */
void timeline_thin(struct timeline *timeline, bool *dropped);
/* Run the machine on the way to somewhere: catchpoints do not stop it. */
void timeline_run(struct timeline *timeline, const struct cpu_request *request, struct run_result *result);
/* Run to a position in the past, which is ahead, with nothing armed. MH_OK, or MH_ERR_HOST. */
enum mh_status timeline_run_to(struct timeline *timeline, uint64_t position, struct mh_error *err);
/* The machine is in its present, at a position that is known. */
void timeline_arrived(struct timeline *timeline, uint64_t position);
/* Room for one more in a list. False: there is no memory. */
bool timeline_grow(struct checkpoint **list, unsigned count, unsigned *capacity);

/* ---- locate.c ---- */

/* A machine that is not located: keep its state as of now, to be given a position later. */
enum mh_status locate_keep(struct timeline *timeline, struct mh_error *err);
/* A device answered an access. */
void locate_mark_access(struct timeline *timeline, const struct cpu_exit *exit);
/* While it is searched: an access is about to be answered. False when it is known not to be the one recorded. */
bool locate_before_access(struct timeline *timeline, const struct cpu_exit *exit);
void locate_after_access(struct timeline *timeline);
void locate_forget(struct timeline *timeline);

#endif
