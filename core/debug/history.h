/*
 * A debugger's view of a machine's past (replay/timeline.h): running backwards, going to a place, and what a write by
 * the debugger means there.
 */
#ifndef MH_CORE_DEBUG_HISTORY_H
#define MH_CORE_DEBUG_HISTORY_H

#include "debug/debug.h"
#include "text.h"

/* Begin to keep the past, with at most `limit` bytes; 0: none is kept. A failure is reported on the console later, and
 * the machine works without. */
void history_begin(struct debug *debug, uint64_t limit);
void history_end(struct debug *debug);
/* The machine was put somewhere else. */
void history_restart(struct debug *debug);

/* Does the machine repeat a recording? */
bool history_replays(const struct debug *debug);

/* Is it in its past? Its devices are those of the present all the same. */
bool history_is_past(const struct debug *debug);

/* Nanoseconds, of a clock that only runs forwards. */
uint64_t history_clock(void);

/* About to run forwards: take what has to be kept, and bound the run by it. MH_OK, or MH_ERR_HOST. */
enum mh_status history_before_run(struct debug *debug, struct cpu_request *request, struct mh_error *err);

/*
 * The machine ran, and came back with *result. True when that is to be reported, also when result->stop was changed to
 * a stop at the present that the machine had before; false when it was only for the history, and the machine is to run
 * on.
 */
bool history_after_run(struct debug *debug, struct run_result *result);

/* debug_run() for a resume that runs backwards. */
enum debug_end history_run_backwards(struct debug *debug, struct mh_stop *stop);

/* The debugger is about to change the machine. In the past that begins another future. MH_OK, or an error and the
 * change must not be made. */
enum mh_status history_change(struct debug *debug, struct mh_error *err);

/* See mh_debug_target_ops.go_to. */
enum mh_status history_go_to(struct debug *debug, const char *where, struct mh_error *err);

/* The snapshot `name` was taken: note where. */
void history_note_snapshot(struct debug *debug, const char *name);
/* Restore a snapshot by going to its place in the history, if that is kept: *done says whether it was. MH_OK, or an
 * error and the snapshot cannot be restored at all. */
enum mh_status history_restore_snapshot(struct debug *debug, const char *name, bool *done, struct mh_error *err);

/* `monitor when`, `monitor history`. */
void history_show_position(struct debug *debug, const struct text_output *output);
void history_show(struct debug *debug, const struct text_output *output);

#endif
