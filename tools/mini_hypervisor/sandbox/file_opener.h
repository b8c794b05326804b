/*
 * Opens some files again after the process is confined. Landlock can allow a file, which ends when another file takes
 * its name, or all that is beneath a directory, which is too much. So a second process, which is not confined by
 * Landlock, opens the files that it was told when it was started, and nothing else, and passes the descriptors. It is
 * asked for a file by its index, and so cannot be made to open another.
 */
#ifndef MH_TOOL_FILE_OPENER_H
#define MH_TOOL_FILE_OPENER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct file_opener {
    int fd;                /* connected to the process; -1: it has not been started */
    pthread_mutex_t mutex; /* one question at a time */
};

/* Start the process, before there are other threads and before confine(); `confined`: it gives up what it does not
 * need. `paths` may be relative. Returns 0 or a negative errno. */
int file_opener_start(struct file_opener *opener, const char *const *paths, size_t count, bool confined);

/* Open path `index` for reading, as it is now; links are followed. On any thread. A descriptor, or a negative errno;
 * what is not a regular file is not opened. */
int file_opener_open(struct file_opener *opener, size_t index);

/* End the process. Harmless when it has not been started. */
void file_opener_stop(struct file_opener *opener);

#endif
