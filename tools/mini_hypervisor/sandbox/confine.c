#include "sandbox/confine.h"

#include "console/message.h"
#include "sandbox/seccomp.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* mh_gdb_close() removes the socket's name. */
static void allow_listener(struct landlock *landlock, const struct mh_gdb_listener *listener)
{
    if (listener->fd >= 0 && listener->endpoint.transport == MH_GDB_UNIX)
        landlock_allow_parent(landlock, listener->endpoint.path, LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

/* Every path that is used again after this. */
static void allow_paths(struct landlock *landlock, const struct shared *shared, const struct machine *machines,
                        size_t count, const struct files_dir *files_dir)
{
    const struct options *options = shared->options;
    landlock_allow(landlock, options->files_dir, CONFINE_KEEP_FILES);
    if (options->core_dir != NULL)
        landlock_allow(landlock, options->core_dir, CONFINE_KEEP_FILES);
    if (files_dir->made)
        landlock_allow_parent(landlock, options->files_dir, LANDLOCK_ACCESS_FS_REMOVE_DIR);
    allow_listener(landlock, &shared->debugging.listener);
    for (size_t i = 0; i < count; i++) {
        allow_listener(landlock, &machines[i].gdb);
        if (options->gdb && mh_image_path(machines[i].image) != NULL) /* debuggers may ask for it */
            landlock_allow(landlock, mh_image_path(machines[i].image), LANDLOCK_ACCESS_FS_READ_FILE);
    }
}

static void tell(const char *what, int error)
{
    if (error != 0)
        message("warning: %s could not be put in force: %s; guests run with one wall less", what, strerror(error));
}

static void confine_files(const struct shared *shared, const struct machine *machines, size_t count,
                          struct files_dir *files_dir)
{
    struct landlock landlock;
    int abi = landlock_abi();
    if (abi == 0)
        return;
    files_dir_hold(files_dir, shared->options->files_dir);
    landlock_begin(&landlock, abi);
    allow_paths(&landlock, shared, machines, count, files_dir);
    tell("Landlock", landlock_enforce(&landlock));
}

static void confine_calls(void)
{
    struct seccomp_program program;
    if (!seccomp_is_there())
        return;
    seccomp_make(&program, getpid());
    tell("seccomp", seccomp_enforce(&program));
}

void confine(const struct shared *shared, const struct machine *machines, size_t count, struct files_dir *files_dir)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        tell("no_new_privs", errno);
        return; /* the others need it */
    }
    confine_files(shared, machines, count, files_dir);
    confine_calls(); /* last: it forbids the calls above */
}
