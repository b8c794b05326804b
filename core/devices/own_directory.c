#include "own_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
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
