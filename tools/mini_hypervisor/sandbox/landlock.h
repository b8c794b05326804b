/*
 * Landlock: which files this process may still reach, by raw system calls (Linux,
 * Documentation/userspace-api/landlock). Kernels know more kinds of access with each version of its ABI; what a kernel
 * does not know it does not restrict.
 */
#ifndef MH_TOOL_LANDLOCK_H
#define MH_TOOL_LANDLOCK_H

#include <linux/landlock.h>
#include <stdint.h>

/* Newer than the headers of Linux 6.1; numbers from include/uapi/linux/landlock.h of Linux 6.12. */
#define LANDLOCK_FS_TRUNCATE (UINT64_C(1) << 14)       /* ABI 3 */
#define LANDLOCK_FS_IOCTL_DEV (UINT64_C(1) << 15)      /* ABI 5 */
#define LANDLOCK_NET_BIND_TCP (UINT64_C(1) << 0)       /* ABI 4 */
#define LANDLOCK_NET_CONNECT_TCP (UINT64_C(1) << 1)    /* ABI 4 */
#define LANDLOCK_SCOPED_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6: abstract names */
#define LANDLOCK_SCOPED_SIGNAL (UINT64_C(1) << 1)      /* ABI 6 */

/* struct landlock_ruleset_attr as of ABI 6. Kernels of before take it as long as what they do not know is 0. */
struct landlock_handled {
    uint64_t fs, net, scoped;
};

/* What a kernel of this ABI can restrict: all of it is forbidden unless a rule allows it. Nothing for ABI 0. */
struct landlock_handled landlock_handled(int abi);

/* The kernel's ABI, 0 when it has no Landlock or has it switched off. */
int landlock_abi(void);

/* A ruleset in the making. */
struct landlock {
    struct landlock_handled handled;
    int fd;
    int error; /* the first errno; 0: none so far */
};

/* Begin a ruleset for a kernel of this ABI (at least 1) that forbids everything. landlock_enforce() returns what
 * fails. */
void landlock_begin(struct landlock *landlock, int abi);

/* Allow `rights`, LANDLOCK_ACCESS_FS_* and LANDLOCK_FS_*, to `path` and everything beneath it. A path that does not
 * exist or cannot be reached is left out: its use is refused later. */
void landlock_allow(struct landlock *landlock, const char *path, uint64_t rights);

/* The same for the directory `path` is in. */
void landlock_allow_parent(struct landlock *landlock, const char *path, uint64_t rights);

/* Enable the ruleset for this thread and those it will start; no_new_privs must be set. Returns 0, or the first
 * errno since the beginning, and then nothing is restricted. Frees it in either case. */
int landlock_enforce(struct landlock *landlock);

#endif
