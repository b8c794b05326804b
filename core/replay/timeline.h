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

/* A debugger is about to change the machine at this place, in the present. MH_OK, or an error and no past can be kept.
 */
enum mh_status timeline_note_change(struct timeline *timeline, struct mh_error *err);

/* Keep no past from now on, until timeline_begin(). *why is for whoever asks for it. */
void timeline_end(struct timeline *timeline, const struct mh_error *why);
bool timeline_has_ended(const struct timeline *timeline, struct mh_error *why);

/* ---- where is a machine that ran on KVM, which does not count? ---- */

/* Is the position known? If not, timeline_now() is 0, and timeline_locate() has to come before what is below. */
bool timeline_is_located(const struct timeline *timeline);

enum timeline_located {
    TIMELINE_LOCATED,
    TIMELINE_BROKEN_OFF, /* by the watch */
    TIMELINE_PARTED,     /* the machine does not repeat what it did: *err says where and why */
    TIMELINE_FAILED,     /* the host did, and the machine may be lost */
};

/* Who asks for the search: input on the descriptors makes it call `go_on`, and so does each million instructions or so.
 * False breaks it off. */
struct timeline_watch {
    bool (*go_on)(void *ctx, uint64_t position);
    void *ctx;
    const int *wake_fds;
    unsigned wake_count;
};

/*
 * Find the position of the present: repeat in software, from the last checkpoint, what the machine did, up to where
 * processor and memory are what they are now. Unless the machine is lost, it is in its present afterwards.
 */
enum timeline_located timeline_locate(struct timeline *timeline, const struct timeline_watch *watch,
                                      struct mh_error *err);

/* Keep this place of a machine that is not located: *ticket is for timeline_kept_position() after it was. */
enum mh_status timeline_keep_place(struct timeline *timeline, unsigned *ticket, struct mh_error *err);
/* Right after timeline_locate(). */
uint64_t timeline_kept_position(const struct timeline *timeline, uint64_t ticket);

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
