/*
 * seccomp: the system calls that this process may still make. All others return ENOSYS, as if the kernel did not have
 * them, so that a C library falls back to what it did before they existed.
 */
#ifndef MH_TOOL_SECCOMP_H
#define MH_TOOL_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <sys/types.h>

#define SECCOMP_LENGTH_MAX 256u

struct seccomp_program {
    struct sock_filter code[SECCOMP_LENGTH_MAX];
    unsigned short length;
};

/* The filter for the process `process`, the only one it may send signals to. KVM's ioctls are allowed `with_kvm`. */
void seccomp_make(struct seccomp_program *program, pid_t process, bool with_kvm);

/* The filter for the process that file_opener_start() starts: it can open files and pass them on, and no more. */
void seccomp_make_opener(struct seccomp_program *program);

/* True when the kernel has filters that can return errors. */
bool seccomp_is_there(void);

/* Enable the filter for this thread and those it will start; no_new_privs must be set. 0, or an errno. */
int seccomp_enforce(const struct seccomp_program *program);

#endif
