/*
 * Failures of the host's file calls, for tests linked with --wrap=pread,pwrite,ftruncate,copy_file_range:
 * each call goes to the real one unless the test says otherwise.
 */
#ifndef MH_TEST_WRAPPED_IO_H
#define MH_TEST_WRAPPED_IO_H

#include <stddef.h>

struct wrapped_io {
    int pread_errors, pread_errno; /* the next so many fail with this errno */
    int pwrite_errors, pwrite_errno;
    int copy_errors, copy_errno; /* of copy_file_range() */
    int truncate_errno;          /* 0: none */
    size_t most;                 /* bytes one call moves; 0: as many as it can */
    unsigned copies;             /* how often copy_file_range() was called */
    void (*on_copy)(void *ctx);  /* called before each */
    void *on_copy_ctx;
};

/* Of this test program; a test sets what it wants, wrapped_io_reset() takes it back. */
extern struct wrapped_io wrapped_io;
void wrapped_io_reset(void);

#endif
