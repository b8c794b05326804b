/*
 * The functions of files.h for a guest that knows nothing but `outb` and `inb`: a request goes out one byte at a time,
 * and the answer comes back the same way. Slower, an exit a byte, but easy to write in a few lines of assembly.
 */
#ifndef SDK_FILES_BYTES_H
#define SDK_FILES_BYTES_H

#include "mh/guest_abi.h"

#include <stddef.h>
#include <stdint.h>

int open_bytes(const char *name, uint32_t flags);
int close_bytes(int fd);
long read_bytes(int fd, void *buffer, size_t length);      /* at most MH_FILE_STREAM_MAX bytes at once */
long write_bytes(int fd, const void *data, size_t length); /* likewise */
int64_t lseek_bytes(int fd, int64_t offset, uint32_t whence);
int64_t fsize_bytes(int fd);

#endif
