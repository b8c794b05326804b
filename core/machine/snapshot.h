/*
 * A machine at one moment, all of it: processor, memory, devices, files, and its place in the stream of its input.
 * Taken and restored by one pair of functions; docs/snapshots.md says what a restored machine repeats, and what not.
 */
#ifndef MH_CORE_SNAPSHOT_H
#define MH_CORE_SNAPSHOT_H

#include "machine/vm.h"

struct snapshot;

/* How many bytes of files all snapshots of a machine may have together; what they share counts once. */
uint64_t snapshot_room(const struct mh_file_limits *limits);

/*
 * Take a snapshot of a machine that is stopped. MH_OK with *snapshot set; MH_ERR_RANGE when snapshots have no room for
 * what its files hold, or MH_ERR_HOST, with the machine
 * unchanged. From the first snapshot on, a machine keeps its input, and its processor records what the guest writes.
 */
enum mh_status snapshot_take(struct mh_vm *vm, struct snapshot **snapshot, struct mh_error *err);

/*
 * Restore the machine, which is stopped, to where it was. MH_OK; MH_ERR_RANGE when there is no machine, or the input it
 * has read since is no longer kept, with everything as it was; MH_ERR_HOST when only a part was restored: the machine
 * is lost, until it is restarted.
 */
enum mh_status snapshot_restore(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err);

/* Restore processor and memory only; devices are unchanged. MH_OK, or MH_ERR_HOST and the machine is lost. */
enum mh_status snapshot_restore_cpu_and_ram(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err);

/*
 * Does the machine stand where the snapshot was taken, processor and memory, whichever processor had it then (see
 * x86/cpu_state.h)? NULL, or what differs. Accessed and dirty bits of page tables do not count: a host's processor sets
 * them ahead of time. *page is where memory differed last, which is looked at first; 0 at the beginning.
 */
const char *snapshot_differs(struct mh_vm *vm, const struct snapshot *snapshot, size_t *page);

void snapshot_free(struct snapshot *snapshot);

/* Bytes that a snapshot takes beside pages and files. */
size_t snapshot_own_size(const struct mh_vm *vm);

/* The registers; rip, and how many pages of memory are not zero. */
const struct mh_x86_general *snapshot_registers(const struct snapshot *snapshot);
uint64_t snapshot_rip(const struct snapshot *snapshot);
size_t snapshot_pages(const struct snapshot *snapshot);

#endif
