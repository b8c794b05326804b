#include "devices/shared_files.h"

#include "mh/guest_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct shared_file {
    const char *name; /* within the path its owner passed */
    int fd;
};

struct mh_shared_files {
    size_t count;
    struct shared_file file[];
};

bool file_name_is_allowed(const char *name, size_t length)
{
    if (length == 0 || length > MH_FILE_NAME_MAX || (length <= 2 && memcmp(name, "..", length) == 0))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte < 0x20 || byte == 0x7f || byte == '/')
            return false;
    }
    return true;
}

static enum mh_status open_shared(struct mh_shared_files *files, const char *path, struct mh_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (!file_name_is_allowed(name, strlen(name)))
        return mh_fail(err, MH_ERR_USAGE, "shared file '%s' has no name that guests could open", path);
    if (shared_files_find(files, name) >= 0)
        return mh_fail(err, MH_ERR_USAGE,
                       "two shared files are called '%s': guests know files by the last part of their path", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return mh_fail(err, MH_ERR_IMAGE, "shared file '%s' cannot be opened: %s", path, strerror(errno));
    files->file[files->count++] = (struct shared_file){.name = name, .fd = fd};
    struct stat info;
    if (fstat(fd, &info) != 0)
        return mh_fail(err, MH_ERR_IMAGE, "shared file '%s' cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return mh_fail(err, MH_ERR_IMAGE, "shared file '%s' is %s, not a file", path,
                       S_ISDIR(info.st_mode) ? "a directory" : "a device or a pipe");
    return MH_OK;
}

enum mh_status mh_shared_files_open(const char *const *paths, size_t count, struct mh_shared_files **files,
                                    struct mh_error *err)
{
    struct mh_shared_files *opened = calloc(1, sizeof *opened + count * sizeof opened->file[0]);
    if (opened == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %zu shared files", count);
    for (size_t i = 0; i < count; i++) {
        enum mh_status status = open_shared(opened, paths[i], err);
        if (status != MH_OK) {
            mh_shared_files_close(opened);
            return status;
        }
    }
    *files = opened;
    return MH_OK;
}

void mh_shared_files_close(struct mh_shared_files *files)
{
    if (files == NULL)
        return;
    for (size_t i = 0; i < files->count; i++)
        close(files->file[i].fd);
    free(files);
}

int shared_files_find(const struct mh_shared_files *files, const char *name)
{
    for (size_t i = 0; files != NULL && i < files->count; i++) {
        if (strcmp(files->file[i].name, name) == 0)
            return files->file[i].fd;
    }
    return -1;
}

const char *shared_files_name(const struct mh_shared_files *files, int fd)
{
    for (size_t i = 0; files != NULL && i < files->count; i++) {
        if (files->file[i].fd == fd)
            return files->file[i].name;
    }
    return "";
}
