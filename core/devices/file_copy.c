#include "devices/file_copy.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* A piece of a file between two holes. */
struct piece {
    struct piece *next;
    off_t start;
    size_t length;
    uint8_t bytes[];
};

struct file_copy {
    unsigned users;
    off_t size;
    uint64_t *room, taken; /* bytes, and where they are given back to */
    struct piece *pieces;
};

static int read_all(int fd, struct piece *piece)
{
    size_t done = 0;
    while (done < piece->length) {
        ssize_t got = pread(fd, piece->bytes + done, piece->length - done, piece->start + (off_t)done);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break; /* truncated on the host meanwhile */
        done += got > 0 ? (size_t)got : 0;
    }
    piece->length = done;
    return 0;
}

static int write_all(int fd, const struct piece *piece)
{
    size_t done = 0;
    while (done < piece->length) {
        ssize_t put = pwrite(fd, piece->bytes + done, piece->length - done, piece->start + (off_t)done);
        if (put < 0 && errno != EINTR)
            return -errno;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

static int add_piece(struct file_copy *copy, int fd, off_t start, off_t end)
{
    size_t length = (size_t)(end - start);
    struct piece *piece = malloc(sizeof *piece + length);
    if (piece == NULL)
        return -ENOMEM;
    *piece = (struct piece){.next = copy->pieces, .start = start, .length = length};
    copy->pieces = piece;
    return read_all(fd, piece);
}

/* Copy the data piece by piece; it is one piece if holes are not known. */
static int copy_pieces(struct file_copy *copy, int fd)
{
    for (off_t end = 0;;) {
        off_t start = lseek(fd, end, SEEK_DATA);
        if (start < 0)
            return errno == ENXIO ? 0 : -errno;
        end = lseek(fd, start, SEEK_HOLE);
        if (end < 0)
            return -errno;
        if ((uint64_t)(end - start) > *copy->room)
            return -EFBIG;
        *copy->room -= (uint64_t)(end - start);
        copy->taken += (uint64_t)(end - start);
        int result = add_piece(copy, fd, start, end);
        if (result < 0)
            return result;
    }
}

int file_copy_make(int fd, uint64_t *room, struct file_copy **copy)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return -errno;
    struct file_copy *made = malloc(sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    *made = (struct file_copy){.users = 1, .size = info.st_size, .room = room};
    int result = copy_pieces(made, fd);
    if (result < 0) {
        file_copy_release(made);
        return result;
    }
    *copy = made;
    return 0;
}

int file_copy_write(const struct file_copy *copy, int fd)
{
    int result = ftruncate(fd, copy->size) != 0 ? -errno : 0;
    for (const struct piece *piece = copy->pieces; piece != NULL && result == 0; piece = piece->next)
        result = write_all(fd, piece);
    return result;
}

struct file_copy *file_copy_share(struct file_copy *copy)
{
    if (copy != NULL)
        copy->users++;
    return copy;
}

void file_copy_release(struct file_copy *copy)
{
    if (copy == NULL || --copy->users > 0)
        return;
    *copy->room += copy->taken;
    while (copy->pieces != NULL) {
        struct piece *next = copy->pieces->next;
        free(copy->pieces);
        copy->pieces = next;
    }
    free(copy);
}
