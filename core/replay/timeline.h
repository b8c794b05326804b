/*
 * A machine's past. A position is a count of retired instructions. The timeline keeps the answers of all port accesses
 * (port_log.h) and checkpoints of the whole machine at growing distances; a seek restores the nearest checkpoint before
 * the position and lets the processor, which counts, run from there with answers from the log. No device is touched on
 * the way, and nothing is printed twice.
 *
 * The present is where the machine really is. A machine in its past goes through it again when it runs forwards, and on
 * from the present when it gets there. What changes it in the past (a debugger writes a register) makes another future:
 * timeline_cut() drops what came after, and puts the devices to what they were.
 *
 * Where a debugger changed the machine, the instructions before do not lead to the state behind: such a place has a
 * checkpoint that is never dropped before those in front of it.
 */
#ifndef MH_CORE_REPLAY_TIMELINE_H
#define MH_CORE_REPLAY_TIMELINE_H

#include "machine/vm.h"

#include <stdbool.h>
#include <stdint.h>

#define TIMELINE_DEFAULT_LIMIT (256ull << 20)

struct timeline;

/* What a timeline holds, for people. */
struct timeline_info {
    uint64_t first, last, now; /* positions */
    unsigned checkpoints;
    uint64_t bytes; /* of memory in use */
    uint64_t limit;
};

/*
 * Begin to keep the past of a machine that is stopped, with at most about `limit` bytes. The machine's processor counts
 * from now on, from 0. MH_OK with *timeline set, or MH_ERR_HOST.
 */
enum mh_status timeline_create(struct mh_vm *vm, uint64_t limit, struct timeline **timeline, struct mh_error *err);
void timeline_destroy(struct timeline *timeline);

/* The machine was restarted or restored: its past begins here. MH_OK, or MH_ERR_HOST and no past is kept. */
enum mh_status timeline_begin(struct timeline *timeline, struct mh_error *err);

struct timeline_info timeline_info(const struct timeline *timeline);
uint64_t timeline_now(const struct timeline *timeline);
/* Changes when the past begins again or is cut: earlier positions are invalid then. */
uint64_t timeline_generation(const struct timeline *timeline);
bool timeline_is_in_past(const struct timeline *timeline);

/* A debugger changed the machine at this place, in the present. */
void timeline_note_change(struct timeline *timeline);

/*
 * The machine is about to run forwards. *until is how far it may run before timeline_after_run() is to be called. In
 * the past that is the present at most. MH_OK, or MH_ERR_HOST.
 */
enum mh_status timeline_before_run(struct timeline *timeline, uint64_t *until, struct mh_error *err);

/* It ran. Takes a checkpoint when one is due; a machine that got to the present is in it from now on. *dropped is set
 * when the oldest part of the past had to be given up for room. MH_OK, or an error, and the machine is where it was: no
 * past can be kept. */
enum mh_status timeline_after_run(struct timeline *timeline, bool *dropped, struct mh_error *err);

/*
 * Go to a position from `first` to `last`. MH_OK; MH_ERR_RANGE when it is not kept, with the machine where it was, or
 * when the machine did not repeat itself, with the machine in its present; MH_ERR_HOST when it is lost.
 */
enum mh_status timeline_seek(struct timeline *timeline, uint64_t position, struct mh_error *err);

/* Did a seek take the processor's points away since this was asked last? They are to be armed again. */
bool timeline_took_points(struct timeline *timeline);

/* The position of the last checkpoint before `position`; false when there is none. */
bool timeline_checkpoint_before(const struct timeline *timeline, uint64_t position, uint64_t *found);

/*
 * Make the place in the past where the machine is its present: drop what came after it, and put files and input to what
 * they were here. MH_OK; MH_ERR_RANGE when input of then is no longer kept, with everything as it was; MH_ERR_HOST.
 */
enum mh_status timeline_cut(struct timeline *timeline, struct mh_error *err);

#endif
