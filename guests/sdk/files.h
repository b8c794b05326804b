/*
 * Files, with one exit from the guest per call: the call is described in memory, at an address that is passed to the
 * port. Names, flags and errors are explained in docs/guest-interface.md. Every function returns a negative number when
 * it fails: minus one of enum mh_file_error.
 */
#ifndef SDK_FILES_H
#define SDK_FILES_H

#include "mh/guest_abi.h"

#include <stddef.h>
#include <stdint.h>

/* Open the file `name`; flags are MH_O_READ, MH_O_WRITE or both, and more. Returns a descriptor. */
int open(const char *name, uint32_t flags);

/* Returns 0. */
int close(int fd);

/* Read up to `length` bytes from where the descriptor stands. Returns how many there were, 0 at the end of the file. */
long read(int fd, void *buffer, size_t length);

/* Returns how many bytes were written. */
long write(int fd, const void *data, size_t length);

/* Move a descriptor: `whence` is MH_SEEK_SET, MH_SEEK_CUR or MH_SEEK_END. Returns the new position. */
int64_t lseek(int fd, int64_t offset, uint32_t whence);

/* Returns the size of an open file in bytes. */
int64_t fsize(int fd);

/* What the negative result of one of these functions means, in English. */
const char *file_error(int64_t result);

#endif
