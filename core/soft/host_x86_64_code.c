#include "host_x86_64_code.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* How much of a limited address space (RLIMIT_AS) may be for code; it is mapped twice. */
#define SHARE_OF_LIMIT 8u
#define NAME_MAX_LENGTH 128u

struct host_code {
    uint8_t *write, *run;
    size_t size;
    int names; /* -1: nobody wants them */
    atomic_uint free;
    atomic_bool is_taken[HOST_CODE_ARENAS];
};

/*
 * Shared memory without a name, which mremap() maps a second time when it is asked to move nothing of it. A file in
 * memory would do as well, but perf looks for names of code in mappings of this kind only.
 */
static bool host_code_map(struct host_code *code)
{
    void *write = mmap(NULL, code->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (write == MAP_FAILED)
        return false;
    void *run = mremap(write, 0, code->size, MREMAP_MAYMOVE);
    if (run != MAP_FAILED && mprotect(run, code->size, PROT_READ | PROT_EXEC) == 0) {
        code->write = write;
        code->run = run;
        return true;
    }
    if (run != MAP_FAILED)
        munmap(run, code->size);
    munmap(write, code->size);
    return false;
}

/* Machines need address space as well: those who limit it get fewer arenas. */
static unsigned host_code_arenas(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return HOST_CODE_ARENAS;
    const rlim_t arenas = limit.rlim_cur / (2 * SHARE_OF_LIMIT * HOST_CODE_ARENA_SIZE);
    return arenas < HOST_CODE_ARENAS ? (unsigned)arenas : HOST_CODE_ARENAS;
}

struct host_code *host_code_create(void)
{
    const unsigned arenas = host_code_arenas();
    struct host_code *code = calloc(1, sizeof *code);
    if (code == NULL)
        return NULL;
    code->size = (size_t)arenas * HOST_CODE_ARENA_SIZE;
    if (!host_code_map(code)) {
        free(code);
        return NULL;
    }
    code->names = -1;
    atomic_init(&code->free, arenas);
    return code;
}

void host_code_destroy(struct host_code *code)
{
    if (code == NULL)
        return;
    munmap(code->write, code->size);
    munmap(code->run, code->size);
    free(code);
}

void host_code_write_names(struct host_code *code, int fd)
{
    code->names = fd;
}

void host_code_name(const struct host_code *code, const uint8_t *start, size_t size, const char *name)
{
    char line[NAME_MAX_LENGTH];
    if (code->names < 0)
        return;
    const int length = snprintf(line, sizeof line, "%" PRIxPTR " %zx %s\n", (uintptr_t)start, size, name);
    if (length <= 0 || (size_t)length >= sizeof line)
        return;
    const ssize_t written = write(code->names, line, (size_t)length);
    (void)written; /* perf is told no more; the machine is not disturbed */
}

/* One of the free ones belongs to the caller now. */
static bool host_code_reserve(struct host_code *code)
{
    unsigned left = atomic_load(&code->free);
    while (left > 0)
        if (atomic_compare_exchange_weak(&code->free, &left, left - 1))
            return true;
    return false;
}

bool host_code_take(struct host_code *code, struct host_code_arena *arena)
{
    if (!host_code_reserve(code))
        return false;
    size_t i = 0;
    while (atomic_exchange(&code->is_taken[i], true))
        i = (i + 1) % (code->size / HOST_CODE_ARENA_SIZE);
    arena->write = code->write + i * HOST_CODE_ARENA_SIZE;
    arena->run = code->run + i * HOST_CODE_ARENA_SIZE;
    return true;
}

void host_code_give_back(struct host_code *code, const struct host_code_arena *arena)
{
    madvise(arena->write, HOST_CODE_ARENA_SIZE, MADV_REMOVE); /* what is not there costs nothing */
    atomic_store(&code->is_taken[(size_t)(arena->write - code->write) / HOST_CODE_ARENA_SIZE], false);
    atomic_fetch_add(&code->free, 1);
}
