#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_OF_ABI_1 ((UINT64_C(1) << 13) - 1) /* LANDLOCK_ACCESS_FS_EXECUTE to LANDLOCK_ACCESS_FS_MAKE_SYM */

static const struct {
    int abi;
    struct landlock_handled added;
} history[] = {
    {1, {.fs = FS_OF_ABI_1}},           {2, {.fs = LANDLOCK_ACCESS_FS_REFER}},
    {3, {.fs = LANDLOCK_FS_TRUNCATE}},  {4, {.net = LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONNECT_TCP}},
    {5, {.fs = LANDLOCK_FS_IOCTL_DEV}}, {6, {.scoped = LANDLOCK_SCOPED_UNIX_SOCKET | LANDLOCK_SCOPED_SIGNAL}},
};

struct landlock_handled landlock_handled(int abi)
{
    struct landlock_handled handled = {0};
    for (size_t i = 0; i < sizeof history / sizeof history[0] && history[i].abi <= abi; i++) {
        handled.fs |= history[i].added.fs;
        handled.net |= history[i].added.net;
        handled.scoped |= history[i].added.scoped;
    }
    return handled;
}

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static void landlock_note_error(struct landlock *landlock)
{
    if (landlock->error == 0)
        landlock->error = errno;
}

void landlock_begin(struct landlock *landlock, int abi)
{
    *landlock = (struct landlock){.handled = landlock_handled(abi)};
    landlock->fd =
        (int)syscall(SYS_landlock_create_ruleset, &landlock->handled, sizeof landlock->handled, 0 /* no flags */);
    if (landlock->fd < 0)
        landlock_note_error(landlock);
}

/* Errors of paths that nothing could use later either. */
static bool cannot_be_used(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP || error == ENAMETOOLONG;
}

void landlock_allow(struct landlock *landlock, const char *path, uint64_t rights)
{
    /* the kernel refuses rules about what the ruleset does not handle */
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & landlock->handled.fs};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        if (!cannot_be_used(errno))
            landlock_note_error(landlock);
        return;
    }
    if (syscall(SYS_landlock_add_rule, landlock->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        landlock_note_error(landlock);
    close(rule.parent_fd);
}

void landlock_allow_parent(struct landlock *landlock, const char *path, uint64_t rights)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    char parent[PATH_MAX] = ".";
    if (length >= sizeof parent) /* the kernel refuses it too */
        return;
    if (length > 0)
        snprintf(parent, sizeof parent, "%.*s", (int)length, path);
    landlock_allow(landlock, parent, rights);
}

int landlock_enforce(struct landlock *landlock)
{
    if (landlock->error == 0 && syscall(SYS_landlock_restrict_self, landlock->fd, 0) != 0)
        landlock_note_error(landlock);
    if (landlock->fd >= 0)
        close(landlock->fd);
    return landlock->error;
}
