#include "files.h"

#include "string.h"

#include <stdbool.h>

/* course.h gives these their names in a guest, and has the numbers again: it cannot be included beside files.h. */
int course_open(const char *name, int flags);
int course_close(int fd);
long course_read(int fd, void *buffer, size_t length);
long course_write(int fd, const void *data, size_t length);
long course_lseek(int fd, long offset, int whence);

#define COURSE_O_RD 1
#define COURSE_O_WR 2
#define COURSE_O_RDWR 4
#define COURSE_O_CREATE 8
#define COURSE_O_ALL 15

#define COURSE_SEEK_SET 1
#define COURSE_SEEK_END 2

static long course_result(int64_t result)
{
    return result < 0 ? -1 : (long)result;
}

static bool course_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool course_is_name(const char *name)
{
    if (!course_is_letter(*name))
        return false;
    while (course_is_letter(*name) || (*name >= '0' && *name <= '9') || *name == '.')
        name++;
    return *name == '\0';
}

/* The port makes a file that is opened to be written to; here only O_CREATE does. */
static bool course_may_open(const char *name, int flags)
{
    int fd;

    if ((flags & COURSE_O_CREATE) != 0)
        return true;
    fd = open(name, MH_O_READ);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int course_open(const char *name, int flags)
{
    uint32_t wanted = 0;

    if ((flags & (COURSE_O_RD | COURSE_O_RDWR)) != 0)
        wanted |= MH_O_READ;
    if ((flags & (COURSE_O_WR | COURSE_O_RDWR)) != 0)
        wanted |= MH_O_WRITE;
    if ((flags & COURSE_O_CREATE) != 0)
        wanted |= MH_O_CREATE;
    if ((flags & ~COURSE_O_ALL) != 0 || !course_is_name(name) || !course_may_open(name, flags))
        return -1;
    return (int)course_result(open(name, wanted));
}

int course_close(int fd)
{
    return (int)course_result(close(fd));
}

long course_read(int fd, void *buffer, size_t length)
{
    return course_result(read(fd, buffer, length));
}

long course_write(int fd, const void *data, size_t length)
{
    return course_result(write(fd, data, length));
}

long course_lseek(int fd, long offset, int whence)
{
    if (whence != COURSE_SEEK_SET && whence != COURSE_SEEK_END)
        return -1;
    return course_result(lseek(fd, offset, whence == COURSE_SEEK_SET ? MH_SEEK_SET : MH_SEEK_END));
}
