/* What the process gives up before the first guest runs: see docs/security.md. */
#ifndef MH_TOOL_CONFINE_H
#define MH_TOOL_CONFINE_H

#include "run/machine.h"
#include "sandbox/files_dir.h"
#include "sandbox/landlock.h"

/* What own_directory.c does beneath the directory of guests' files, and whole_file.c in that of core files. */
#define CONFINE_KEEP_FILES                                                                                             \
    (LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                      \
     LANDLOCK_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER |     \
     LANDLOCK_ACCESS_FS_REMOVE_FILE)

/*
 * Give up all files, calls and privileges that the machines do not need. To be called once, when everything the command
 * line names is open and before any other thread is started: threads inherit it. What the kernel does not have is left
 * out silently; what it has and refuses is told in a line, and the process goes on with the rest. Release *files_dir at
 * the end.
 */
void confine(const struct shared *shared, const struct machine *machines, size_t count, struct files_dir *files_dir);

#endif
