/* What the process gives up before the first guest runs: see docs/security.md. */
#ifndef MH_TOOL_CONFINE_H
#define MH_TOOL_CONFINE_H

#include "sandbox/landlock.h"

#include <stdbool.h>

/* What own_directory.c does beneath the directory of guests' files, and whole_file.c in that of core files. */
#define CONFINE_KEEP_FILES                                                                                             \
    (LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                      \
     LANDLOCK_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER |     \
     LANDLOCK_ACCESS_FS_REMOVE_FILE)

/* Calls landlock_allow() for every path that is used again later. */
typedef void confine_allow_paths(struct landlock *landlock, void *ctx);

/*
 * Give up all files, system calls and privileges that running machines do not need; KVM's ioctls too unless `with_kvm`.
 * Call it once, when everything the command line names is open and before any other thread is started: threads inherit
 * it. What the kernel does not have is left out silently. When the kernel refuses something, a message says so and the
 * process continues without it. allow_paths is called when the kernel has Landlock.
 */
void confine(bool with_kvm, confine_allow_paths *allow_paths, void *ctx);

/* The same for the process that file_opener_start() starts: it can read files and do nothing else. It prints nothing:
 * what the kernel refuses it, it refuses the process that calls confine(), too. */
void confine_opener(void);

#endif
