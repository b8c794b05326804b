#include "wrapped_io.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

struct wrapped_io wrapped_io;

ssize_t __real_pread(int fd, void *to, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t length, off_t offset);
ssize_t __real_pwrite(int fd, const void *from, size_t length, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t length, off_t offset);
int __real_ftruncate(int fd, off_t length);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __real_copy_file_range(int from, off_t *in, int to, off_t *out, size_t length, unsigned flags);
ssize_t __wrap_copy_file_range(int from, off_t *in, int to, off_t *out, size_t length, unsigned flags);

void wrapped_io_reset(void)
{
    wrapped_io = (struct wrapped_io){0};
}

static bool fails(int *errors, int error)
{
    if (*errors == 0)
        return false;
    --*errors;
    errno = error;
    return true;
}

static size_t part(size_t length)
{
    return wrapped_io.most != 0 && length > wrapped_io.most ? wrapped_io.most : length;
}

ssize_t __wrap_pread(int fd, void *to, size_t length, off_t offset)
{
    if (fails(&wrapped_io.pread_errors, wrapped_io.pread_errno))
        return -1;
    return __real_pread(fd, to, part(length), offset);
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t length, off_t offset)
{
    if (fails(&wrapped_io.pwrite_errors, wrapped_io.pwrite_errno))
        return -1;
    return __real_pwrite(fd, from, part(length), offset);
}

int __wrap_ftruncate(int fd, off_t length)
{
    errno = wrapped_io.truncate_errno;
    return wrapped_io.truncate_errno != 0 ? -1 : __real_ftruncate(fd, length);
}

ssize_t __wrap_copy_file_range(int from, off_t *in, int to, off_t *out, size_t length, unsigned flags)
{
    wrapped_io.copies++;
    if (wrapped_io.on_copy != NULL)
        wrapped_io.on_copy(wrapped_io.on_copy_ctx);
    if (fails(&wrapped_io.copy_errors, wrapped_io.copy_errno))
        return -1;
    return __real_copy_file_range(from, in, to, out, part(length), flags);
}
