#include "anywhere_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIGNMENT 4u
#define HEADER_LENGTH 110u

static void pad(FILE *to, size_t length)
{
    for (; length % ALIGNMENT != 0; length++)
        fputc(0, to);
}

static void add(FILE *to, unsigned mode, const char *name, const void *contents, size_t length)
{
    size_t name_size = strlen(name) + 1;
    /* inode, mode, uid, gid, links, time, size, four device numbers, size of the name, checksum */
    fprintf(to, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0u, mode, 0u, 0u, 1u, 0u, length, 0u,
            0u, 0u, 0u, name_size, 0u);
    fwrite(name, 1, name_size, to);
    pad(to, HEADER_LENGTH + name_size);
    if (length > 0)
        fwrite(contents, 1, length, to);
    pad(to, length);
}

void archive_add_directory(FILE *to, const char *name)
{
    add(to, S_IFDIR | 0755, name, NULL, 0);
}

void archive_add(FILE *to, const char *name, const void *contents, size_t length)
{
    add(to, S_IFREG | 0755, name, contents, length);
}

enum mh_status archive_add_file(FILE *to, const char *name, const char *path, struct mh_error *err)
{
    struct stat info;
    void *contents = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &info) == 0)
        contents = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (contents == MAP_FAILED)
        return mh_fail(err, MH_ERR_HOST, "cannot read %s: %s", path, strerror(error));
    archive_add(to, name, contents, (size_t)info.st_size);
    munmap(contents, (size_t)info.st_size);
    return MH_OK;
}

void archive_finish(FILE *to)
{
    add(to, 0, "TRAILER!!!", NULL, 0);
}
