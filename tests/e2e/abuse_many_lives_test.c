/*
 * Thousands of machines come and go in one process, several at a time: afterwards it has the descriptors, threads and
 * memory it had before. MH_ACCEL names the processor, as for all end-to-end tests.
 */
#include "abuse.h"
#include "mh/vm.h"
#include "temp_dir.h"
#include "unit.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVES 1000u /* for each factor */
#define THREADS 4u
#define WARM_UP 40u /* machines after which nothing is new to the process any more */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GROWTH_MAX_KB LONG_MAX /* sanitizers keep what is freed, and shadows of it */
#else
#define GROWTH_MAX_KB 4096
#endif

static const uint8_t guest[] = {0xb0, 0x2a, 0xe6, 0xe9, 0xf4}; /* mov $'*', %al; out %al, $0xe9; hlt */

struct lives {
    struct mh_host *host;
    const struct mh_image *image;
    unsigned count; /* for one thread */
    struct abuse *abuse;
    pthread_mutex_t mutex; /* guards `abuse` */
    atomic_uint printed;
    atomic_uint failed;
};

static int count_output(void *ctx, const uint8_t *bytes, size_t length)
{
    struct lives *lives = ctx;
    (void)bytes;
    atomic_fetch_add(&lives->printed, (unsigned)length);
    return 0;
}

static uint64_t draw(struct lives *lives)
{
    pthread_mutex_lock(&lives->mutex);
    uint64_t number = abuse_next(lives->abuse);
    pthread_mutex_unlock(&lives->mutex);
    return number;
}

/* One machine, which ends by itself, is asked to stop first, or is never run. Returns whether all went as it should. */
static bool live(struct lives *lives)
{
    uint64_t random = draw(lives);
    const struct mh_vm_config config = {.number = 1,
                                        .name = "life",
                                        .ram_size = (uint64_t)2 << (20 + random % 3),
                                        .page_size = (random & 8) != 0 ? 4096 : 2u << 20,
                                        .image = lives->image,
                                        .serial = {.ctx = lives, .write = count_output},
                                        .limits = {.open_files = 1, .bytes_written = 1}};
    struct mh_vm *vm;
    struct mh_error err;
    struct mh_stop stop = {.kind = MH_STOP_HALTED};
    if (mh_vm_create(lives->host, &config, &vm, &err) != MH_OK) {
        print_message("%s\n", err.text);
        return false;
    }
    bool is_stopped = (random & 0x70) == 0;
    if (is_stopped)
        mh_vm_request_stop(vm);
    bool is_run = (random & 0x700) != 0;
    if (is_run)
        mh_vm_run(vm, &stop);
    if (!is_run || is_stopped)
        count_output(lives, guest, 1); /* what it did not print itself */
    mh_vm_destroy(vm);
    return stop.kind == (is_run && is_stopped ? MH_STOP_INTERRUPTED : MH_STOP_HALTED);
}

static void *live_often(void *ctx)
{
    struct lives *lives = ctx;
    for (unsigned i = 0; i < lives->count; i++) {
        if (!live(lives))
            atomic_fetch_add(&lives->failed, 1);
    }
    return NULL;
}

static void live_in_threads(struct lives *lives, unsigned total)
{
    pthread_t thread[THREADS];
    lives->count = total / THREADS;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, live_often, lives), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

/* A number of /proc/self/status. */
static long status_of(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    }
    fclose(file);
    return value;
}

static enum mh_accel accel_of_the_environment(void)
{
    const char *name = getenv("MH_ACCEL");
    if (name != NULL && strcmp(name, "kvm") == 0)
        return MH_ACCEL_KVM;
    return name != NULL && strcmp(name, "soft") == 0 ? MH_ACCEL_SOFT : MH_ACCEL_AUTO;
}

static void thousands_of_machines_leave_nothing_behind(void **state)
{
    struct abuse abuse;
    struct lives lives = {.abuse = &abuse};
    struct temp_dir dir = temp_dir_make();
    struct mh_image *image;
    char path[4096];
    (void)state;
    abuse_begin(&abuse);
    temp_file(&dir, "guest.img", guest, sizeof guest);
    assert_int_equal(mh_image_load(temp_path(&dir, "guest.img", path), 2u << 20, 0, &image, NULL), MH_OK);
    temp_dir_remove(&dir);
    assert_int_equal(mh_host_open(accel_of_the_environment(), &lives.host, NULL), MH_OK);
    pthread_mutex_init(&lives.mutex, NULL);
    mh_kick_install();
    lives.image = image;
    live_in_threads(&lives, WARM_UP);
    unsigned fds = count_open_fds();
    long threads = status_of("Threads:"), memory = status_of("VmRSS:"), space = status_of("VmSize:");
    live_in_threads(&lives, LIVES * abuse.factor);
    assert_int_equal(lives.failed, 0);
    assert_int_equal(lives.printed, WARM_UP + LIVES * abuse.factor);
    assert_int_equal(count_open_fds(), fds);
    assert_int_equal(status_of("Threads:"), threads);
    print_message("memory used: %ld kB before, %ld kB after; mapped: %ld kB, %ld kB\n", memory, status_of("VmRSS:"),
                  space, status_of("VmSize:"));
    assert_true(status_of("VmRSS:") - memory < GROWTH_MAX_KB);
    mh_host_close(lives.host);
    mh_image_free(image);
    pthread_mutex_destroy(&lives.mutex);
    abuse_done(WARM_UP + LIVES * abuse.factor, "machines in one process");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(thousands_of_machines_leave_nothing_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
