#include "sandbox/files_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another run may remove the directory between mkdir() and flock(); try this often. */
#define ATTEMPTS 16

static bool files_dir_is_same(const struct files_dir *dir)
{
    struct stat held, named;
    return fstat(dir->fd, &held) == 0 && stat(dir->path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

static bool files_dir_try_hold(struct files_dir *dir)
{
    if (mkdir(dir->path, 0777) == 0)
        dir->made = true;
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0)
        return false;
    /* do not wait: anyone who can read the directory can lock it for as long as they like */
    if (flock(dir->fd, LOCK_SH | LOCK_NB) == 0 && files_dir_is_same(dir))
        return true;
    close(dir->fd);
    dir->fd = -1;
    return false;
}

void files_dir_hold(struct files_dir *dir, const char *path)
{
    *dir = (struct files_dir){.path = path, .fd = -1};
    for (int i = 0; i < ATTEMPTS && !files_dir_try_hold(dir); i++)
        ;
}

void files_dir_release(struct files_dir *dir)
{
    if (dir->fd < 0)
        return;
    if (dir->made && flock(dir->fd, LOCK_EX | LOCK_NB) == 0)
        rmdir(dir->path);
    close(dir->fd);
    dir->fd = -1;
}
