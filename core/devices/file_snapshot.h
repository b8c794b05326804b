/* The files of one guest at one moment: those it made, with what they hold, and those it has open. */
#ifndef MH_CORE_DEVICES_FILE_SNAPSHOT_H
#define MH_CORE_DEVICES_FILE_SNAPSHOT_H

#include "devices/file_store.h"

struct file_snapshot;

/*
 * Take it; only files that changed since they were last taken are copied. Returns 0 with *snapshot set, -EFBIG when
 * these hold more than *room bytes, or minus another errno. *room becomes less by what is copied (see file_copy.h).
 */
int file_snapshot_take(struct file_store *store, uint64_t *room, struct file_snapshot **snapshot);

/*
 * Restore it, also on the host: files that changed are rewritten, newer ones are removed. Returns 0, or minus an errno
 * with some files restored.
 */
int file_snapshot_restore(struct file_store *store, const struct file_snapshot *snapshot);

void file_snapshot_free(struct file_snapshot *snapshot);

#endif
