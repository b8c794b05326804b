#include "devices/own_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_beneath(int directory, const char *name, int flags, unsigned mode)
{
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd;
    do {
        fd = syscall(SYS_openat2, directory, name, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: something was renamed meanwhile */
    return fd < 0 ? -errno : (int)fd;
}

#define UNFINISHED "unfinished\n" /* no guest can say a name with a control character */

void own_directory_forget(int directory)
{
    unlinkat(directory, UNFINISHED, 0);
}

int own_directory_begin(int directory)
{
    int fd = open_beneath(directory, ".", O_TMPFILE | O_RDWR, 0666);
    if (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -EINVAL) /* a file system, or a kernel, without such files */
        return fd;
    own_directory_forget(directory);
    return open_beneath(directory, UNFINISHED, O_RDWR | O_CREAT | O_EXCL, 0666);
}

/* Give a name to a file that has none. Only the former way needs no /proc, and older kernels allow it to root only. */
static int link_nameless(int directory, int fd, const char *name)
{
    char path[32];
    if (linkat(fd, "", directory, name, AT_EMPTY_PATH) == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

int own_directory_name(int directory, int fd, const char *name)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || (unlinkat(directory, name, 0) != 0 && errno != ENOENT))
        return -errno;
    if (info.st_nlink == 0)
        return link_nameless(directory, fd, name);
    return renameat(directory, UNFINISHED, directory, name) == 0 ? 0 : -errno;
}

static int open_and_lock(int parent, const char *name)
{
    if (mkdirat(parent, name, 0777) != 0 && errno != EEXIST)
        return -errno;
    int directory = open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);
    if (directory < 0)
        return directory;
    if (flock(directory, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(directory);
        return -error;
    }
    own_directory_forget(directory);
    return directory;
}

int own_directory_open(const char *parent, const char *name)
{
    if (mkdir(parent, 0777) != 0 && errno != EEXIST)
        return -errno;
    int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0)
        return -errno;
    int result = open_and_lock(parent_fd, name);
    close(parent_fd);
    return result;
}

int own_directory_create(int directory, const char *name)
{
    /* a new file, not the old one emptied: the old one may be linked from elsewhere */
    if (unlinkat(directory, name, 0) != 0 && errno != ENOENT)
        return -errno;
    return open_beneath(directory, name, O_RDWR | O_CREAT | O_EXCL, 0666);
}

int own_directory_reopen(int directory, const char *name, bool for_writing)
{
    int fd = open_beneath(directory, name, for_writing ? O_RDWR : O_RDONLY, 0);
    if (fd < 0)
        return fd;
    struct stat info;
    int error = fstat(fd, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : EACCES;
    if (error != 0) {
        close(fd);
        return -error;
    }
    return fd;
}
