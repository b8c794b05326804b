/*
 * Memory for code that is made while the program runs. It is mapped twice, once to be written and once to be executed,
 * so that no address is ever both. All of it is mapped when it is created, because a confined process can map no code
 * (sandbox/seccomp.c); pages that are not used cost nothing. It is given away in arenas of one size, one for each
 * machine that has hot code. More machines than there are arenas have to wait until one is given back.
 */
#ifndef MH_CORE_SOFT_HOST_X86_64_CODE_H
#define MH_CORE_SOFT_HOST_X86_64_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_CODE_ARENA_SIZE (256u << 10)
#define HOST_CODE_ARENAS 512u /* fewer where the process's address space is limited */

struct host_code;

struct host_code_arena {
    uint8_t *write;     /* NULL: there is none */
    const uint8_t *run; /* the same bytes, executable */
};

/* NULL when the host does not allow it, or has no memory or address space. */
struct host_code *host_code_create(void);
void host_code_destroy(struct host_code *code);

/*
 * From now on host_code_name() writes to this descriptor, which stays the caller's. Call it before arenas are taken.
 */
void host_code_write_names(struct host_code *code, int fd);
/* Say what [start, start + size), addresses of the executable mapping, was made from, in the format of perf's maps:
 * "START SIZE NAME", with hexadecimal numbers. Any thread. */
void host_code_name(const struct host_code *code, const uint8_t *start, size_t size, const char *name);

/* Any thread. False, at once: all arenas are given away. */
bool host_code_take(struct host_code *code, struct host_code_arena *arena);
void host_code_give_back(struct host_code *code, const struct host_code_arena *arena);

#endif
