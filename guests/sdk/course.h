/*
 * The names and numbers of the course: a main.c that is written for its three phases builds against this header.
 *
 * The functions are those of files.h with the flags, names and errors of the course; they make the same calls to the
 * same port. Include one of the two headers. A file's name begins with a letter, and letters, digits and dots follow.
 * Every function returns -1 for every error.
 */
#ifndef SDK_COURSE_H
#define SDK_COURSE_H

#ifdef SDK_FILES_H
#error "include course.h or files.h: both have open(), with different flags"
#endif

#include "console.h"
#include "string.h"
#include "x86.h"

#include <stddef.h>

/* Flags of open(): one of the first three, and O_CREATE to make the file if it does not exist. */
#define O_RD 1
#define O_WR 2
#define O_RDWR 4
#define O_CREATE 8

/* Whence of lseek(): from the start, from the end. */
#define SEEK_SET 1
#define SEEK_END 2

/* Open the file `name`. Returns a descriptor. */
int open(const char *name, int flags) __asm__("course_open");

/* Returns 0. */
int close(int fd) __asm__("course_close");

/* Read up to `length` bytes. Returns how many there were, 0 at the end of the file. */
long read(int fd, void *buffer, size_t length) __asm__("course_read");

/* Returns how many bytes were written. */
long write(int fd, const void *data, size_t length) __asm__("course_write");

/* Move a descriptor. Returns the new position, counted from the start. */
long lseek(int fd, long offset, int whence) __asm__("course_lseek");

#endif
