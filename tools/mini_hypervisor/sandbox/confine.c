#include "sandbox/confine.h"

#include "console/message.h"
#include "sandbox/seccomp.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void confine_check(const char *what, int error)
{
    if (error != 0)
        message("warning: cannot enable %s: %s; continuing without it", what, strerror(error));
}

static void confine_files(confine_allow_paths *allow_paths, void *ctx)
{
    struct landlock landlock;
    const int abi = landlock_abi();
    if (abi == 0)
        return;
    landlock_begin(&landlock, abi);
    allow_paths(&landlock, ctx);
    confine_check("Landlock", landlock_enforce(&landlock));
}

static void confine_calls(bool with_kvm)
{
    struct seccomp_program program;
    if (!seccomp_is_there())
        return;
    seccomp_make(&program, getpid(), with_kvm);
    confine_check("seccomp", seccomp_enforce(&program));
}

void confine_opener(void)
{
    struct landlock landlock;
    struct seccomp_program program;
    const int abi = landlock_abi();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return;
    if (abi != 0) {
        landlock_begin(&landlock, abi);
        landlock_allow(&landlock, "/", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
        landlock_enforce(&landlock);
    }
    seccomp_make_opener(&program);
    if (seccomp_is_there())
        seccomp_enforce(&program);
}

void confine(bool with_kvm, confine_allow_paths *allow_paths, void *ctx)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        confine_check("no_new_privs, Landlock and seccomp", errno);
        return; /* the others need it */
    }
    confine_files(allow_paths, ctx);
    confine_calls(with_kvm); /* last: it forbids the calls above */
}
