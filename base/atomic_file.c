#include "atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool can_be_a_file(const char *name)
{
    return *name != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

int atomic_file_begin(struct atomic_file *file, int directory, const char *name)
{
    int length = snprintf(file->part, sizeof file->part, ".%s.part", name);
    if (!can_be_a_file(name) || length < 0 || (size_t)length >= sizeof file->part)
        return -EINVAL;
    snprintf(file->name, sizeof file->name, "%s", name);
    if (unlinkat(directory, file->part, 0) != 0 && errno != ENOENT)
        return -errno;
    file->directory = directory;
    file->fd = openat(directory, file->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return file->fd < 0 ? -errno : 0;
}

static int remove_part(const struct atomic_file *file, int error)
{
    unlinkat(file->directory, file->part, 0);
    return -error;
}

int atomic_file_finish(struct atomic_file *file)
{
    if (close(file->fd) != 0 || renameat(file->directory, file->part, file->directory, file->name) != 0)
        return remove_part(file, errno);
    return 0;
}

void atomic_file_abandon(struct atomic_file *file)
{
    close(file->fd);
    remove_part(file, 0);
}
