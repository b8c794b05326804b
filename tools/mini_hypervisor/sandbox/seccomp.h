/*
 * seccomp: the system calls this process may still make. All others answer ENOSYS, as if the kernel had none of them,
 * so that a C library falls back to what it did before they existed.
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

/* The filter for a process that is `process`: the only one it may send signals to. */
void seccomp_make(struct seccomp_program *program, pid_t process);

/* True when the kernel has filters that answer errors. */
bool seccomp_is_there(void);

/* Put the filter in force for this thread and those it will start; no_new_privs must be set. 0, or an errno. */
int seccomp_enforce(const struct seccomp_program *program);

#endif
