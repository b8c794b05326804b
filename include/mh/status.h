/* Errors are values: a status that decides what happens next, and one line for the user. */
#ifndef MH_STATUS_H
#define MH_STATUS_H

#include <stdarg.h>

enum mh_status {
    MH_OK = 0,
    MH_ERR_USAGE,       /* the command line asks for something that makes no sense */
    MH_ERR_HOST,        /* this machine, or this user, cannot run what was asked */
    MH_ERR_IMAGE,       /* a guest image or a shared file cannot be used */
    MH_ERR_IO,          /* reading or writing on the host failed while guests ran */
    MH_ERR_RANGE,       /* an address or a length lies outside what it must lie in */
    MH_ERR_INTERRUPTED, /* someone asked for the end while this was under way */
};

struct mh_error {
    enum mh_status status;
    char text[512]; /* one line without a newline, cut at the end when too long */
};

/*
 * Fill *err with `status` and a printf-formatted line; err may be NULL.
 * Returns `status`, so that callers can write `return mh_fail(err, ...)`.
 */
enum mh_status mh_fail(struct mh_error *err, enum mh_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Put a printf-formatted prefix before the text *err already holds ("VM 2 (hello): " and the like).
 * Returns err->status.
 */
enum mh_status mh_fail_in(struct mh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
