/*
 * Whatever a debugger sends, the stub answers it and comes to an end: a whole session over the fake machines for
 * each input. The first byte chooses the number of machines, whether they are held at their end, and whether they keep
 * their history.
 */
#include "fake_target.h"
#include "packets/dispatch.h"
#include "session/breakpoint_should_stop.h"
#include "session/machines.h"
#include "session/session.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzzed {
    struct fake_target fake;
    struct gdb_machines machines;
    struct gdb_machine list[FAKE_MACHINES];
    struct gdb_session session;
};

static int input_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gdb_session_options options = {.dispatch = gdb_dispatch, .stop_fd = -1, .pending_fd = -1};
    unsigned choice = size ? *data : 0;
    struct fuzzed *fuzzed = malloc(sizeof *fuzzed);

    if (fuzzed == NULL)
        return 0;
    fake_target_init(&fuzzed->fake, 1 + (choice & 1));
    fuzzed->fake.keeps_history = fuzzed->fake.talks = choice & 4;
    gdb_machines_init(&fuzzed->machines, &fuzzed->fake.target, fuzzed->list, fuzzed->fake.count, choice & 2,
                      gdb_breakpoint_should_stop);
    options.in_fd = input_of(data + (size > 0), size - (size > 0));
    options.out_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    gdb_session_run(&fuzzed->session, &fuzzed->machines, &options);
    close(options.in_fd);
    close(options.out_fd);
    gdb_machines_free(&fuzzed->machines);
    free(fuzzed);
    return 0;
}
