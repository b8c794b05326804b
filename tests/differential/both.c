#include "both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define INT3 0xcc
#define NATIVE_TRIES 3u
#define VECTOR_BREAKPOINT 3

bool both_create(struct both *both)
{
    memset(both, 0, sizeof *both);
    if (!native_init() || !soft_side_create(&both->soft))
        return false;
    memset(both->code, INT3, sizeof both->code);
    memset(native_code(), INT3, AREA_CODE_SIZE);
    memset(soft_side_code(&both->soft), INT3, AREA_CODE_SIZE);
    soft_side_code_changed(&both->soft, 0, AREA_CODE_SIZE);
    return true;
}

static void copy_code(struct both *both, size_t offset, const uint8_t *bytes, size_t length)
{
    memmove(both->code + offset, bytes, length);
    memcpy(native_code() + offset, bytes, length);
    memcpy(soft_side_code(&both->soft) + offset, bytes, length);
    soft_side_code_changed(&both->soft, offset, length);
}

void both_set_code(struct both *both, size_t offset, const uint8_t *bytes, size_t length)
{
    uint8_t nothing[AREA_CODE_SIZE];
    size_t before = both->code_to - both->code_from;
    if (memcmp(native_code(), both->code, AREA_CODE_SIZE) != 0 ||
        memcmp(soft_side_code(&both->soft), both->code, AREA_CODE_SIZE) != 0)
        copy_code(both, 0, both->code, AREA_CODE_SIZE); /* the last program changed itself */
    memset(nothing, INT3, before);
    copy_code(both, both->code_from, nothing, before);
    if (length > AREA_CODE_SIZE - offset)
        length = AREA_CODE_SIZE - offset;
    copy_code(both, offset, bytes, length);
    both->code_from = offset;
    both->code_to = offset + length;
}

static bool memory_equal(const struct both *both, unsigned tolerated)
{
    if (both->native_end.kind == OUTCOME_HUNG)
        return true;
    if ((tolerated & TOLERATE_STORES) != 0 && both->native_end.vector != VECTOR_BREAKPOINT)
        return true;
    return memcmp(native_data(), soft_side_data(&both->soft), AREA_DATA_SIZE) == 0 &&
           memcmp(native_code(), soft_side_code(&both->soft), AREA_CODE_SIZE) == 0;
}

static void run_native(struct both *both)
{
    for (unsigned tries = 0; tries < NATIVE_TRIES; tries++) {
        memcpy(native_data(), both->data, AREA_DATA_SIZE);
        if (native_run(&both->start, &both->native_end) || both->native_end.kind == OUTCOME_HUNG)
            return;
        memcpy(native_code(), both->code, AREA_CODE_SIZE);
    }
}

/* Linux emulates branches into its vsyscall page, which no test can unmap. */
static bool leads_to_vsyscall(const struct outcome *soft)
{
    return soft->kind == OUTCOME_EXCEPTION && (soft->rip & ~0xfffull) == 0xffffffffff600000;
}

bool both_run(struct both *both, uint64_t limit, unsigned tolerated)
{
    run_native(both);
    memcpy(soft_side_data(&both->soft), both->data, AREA_DATA_SIZE);
    soft_side_run(&both->soft, &both->start, limit, &both->soft_end);
    if (leads_to_vsyscall(&both->soft_end))
        return true;
    return outcome_equal(&both->native_end, &both->soft_end, tolerated) && memory_equal(both, tolerated);
}

static void print_memory(const char *name, uint64_t address, const uint8_t *start, const uint8_t *native,
                         const uint8_t *soft, size_t size)
{
    unsigned shown = 0;
    for (size_t i = 0; i < size && shown < 48; i++)
        if (native[i] != soft[i]) {
            printf("  %s %llx: host %02x soft %02x start %02x\n", name, (unsigned long long)(address + i), native[i],
                   soft[i], start[i]);
            shown++;
        }
}

void both_print(const struct both *both)
{
    outcome_print_difference(&both->start, &both->native_end, &both->soft_end);
    print_memory("data", AREA_DATA, both->data, native_data(), soft_side_data(&both->soft), AREA_DATA_SIZE);
    print_memory("code", AREA_CODE, both->code, native_code(), soft_side_code(&both->soft), AREA_CODE_SIZE);
}

void both_print_code(const uint8_t *bytes, size_t length, uint64_t address)
{
    char name[] = "/tmp/differential-XXXXXX";
    char command[192];
    int file = mkstemp(name);
    for (size_t i = 0; i < length && i < 32; i++)
        printf("%02x ", bytes[i]);
    fflush(stdout);
    if (file < 0 || write(file, bytes, length) != (ssize_t)length) {
        printf("\n");
        return;
    }
    snprintf(command, sizeof command,
             "objdump -D -b binary -m i386:x86-64 --adjust-vma=0x%llx %s 2>/dev/null | sed 1,7d | %s",
             (unsigned long long)address, name, length > 24 ? "cat" : "head -1 | cut -f 3");
    if (system(command) != 0)
        printf("\n");
    close(file);
    unlink(name);
}

struct shared *both_shared(void)
{
    void *shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return shared;
}

void both_in_children(struct shared *shared, void (*work)(void *context, struct shared *shared), void *context)
{
    while (shared->current < shared->end) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            work(context, shared);
            fflush(stdout);
            _exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("fork");
            exit(1);
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        printf("case %llu: the process died with status %x\n", (unsigned long long)shared->current, (unsigned)status);
        shared->differences++;
        shared->deaths++;
        shared->current++;
        if (shared->deaths > 100)
            exit(1);
    }
}
