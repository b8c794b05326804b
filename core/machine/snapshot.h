/*
 * A machine at one moment, all of it: processor, memory, devices, files, and its place in the stream of its input.
 * Taken and put back by one pair of functions; docs/snapshots.md says what a machine that is put back repeats, and what
 * not.
 */
#ifndef MH_CORE_SNAPSHOT_H
#define MH_CORE_SNAPSHOT_H

#include "machine/vm.h"

struct snapshot;

/* How many bytes of files all snapshots of a machine may have together; what they share counts once. */
uint64_t snapshot_room(const struct mh_file_limits *limits);

/*
 * Take a snapshot of a machine that is stopped. MH_OK with *snapshot set; MH_ERR_RANGE when snapshots have no room for
 * what its files hold, or MH_ERR_HOST, with the machine as it was. The
 * first one makes a machine keep its input and KVM note what the guest writes, from then on.
 */
enum mh_status snapshot_take(struct mh_vm *vm, struct snapshot **snapshot, struct mh_error *err);

/*
 * Put the machine, which is stopped, back to where it was. MH_OK; MH_ERR_RANGE when there is no machine, or what it
 * read since is kept no longer, with everything as it was; MH_ERR_HOST when part of it is back only: the machine counts
 * as killed then, and runs again after a restart.
 */
enum mh_status snapshot_restore(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err);

void snapshot_free(struct snapshot *snapshot);

/* For people: where it stands, and how many pages of memory hold something. */
uint64_t snapshot_rip(const struct snapshot *snapshot);
size_t snapshot_pages(const struct snapshot *snapshot);

#endif
