#include "host_x86_64_code.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENAS 128u
#define SIZE ((size_t)ARENAS * HOST_CODE_ARENA_SIZE)

struct host_code {
    uint8_t *write, *run;
    atomic_bool is_taken[ARENAS];
};

static bool host_code_map(struct host_code *code, int fd)
{
    if (ftruncate(fd, (off_t)SIZE) != 0)
        return false;
    void *write = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (write == MAP_FAILED)
        return false;
    void *run = mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (run == MAP_FAILED) {
        munmap(write, SIZE);
        return false;
    }
    code->write = write;
    code->run = run;
    return true;
}

struct host_code *host_code_create(void)
{
    struct host_code *code = calloc(1, sizeof *code);
    const int fd = memfd_create("mh-code", MFD_CLOEXEC);
    if (code != NULL && fd >= 0 && host_code_map(code, fd)) {
        close(fd);
        return code;
    }
    if (fd >= 0)
        close(fd);
    free(code);
    return NULL;
}

void host_code_destroy(struct host_code *code)
{
    if (code == NULL)
        return;
    munmap(code->write, SIZE);
    munmap(code->run, SIZE);
    free(code);
}

bool host_code_take(struct host_code *code, struct host_code_arena *arena)
{
    for (size_t i = 0; i < ARENAS; i++) {
        if (atomic_exchange(&code->is_taken[i], true))
            continue;
        arena->write = code->write + i * HOST_CODE_ARENA_SIZE;
        arena->run = code->run + i * HOST_CODE_ARENA_SIZE;
        return true;
    }
    return false;
}

void host_code_give_back(struct host_code *code, const struct host_code_arena *arena)
{
    madvise(arena->write, HOST_CODE_ARENA_SIZE, MADV_REMOVE); /* what is not there costs nothing */
    atomic_store(&code->is_taken[(size_t)(arena->write - code->write) / HOST_CODE_ARENA_SIZE], false);
}
