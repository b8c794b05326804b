/*
 * A program that turns what is written to it into a file, outside the sandbox: its process waits from before confine()
 * on, and becomes the program when the first byte is there.
 */
#ifndef MH_TOOL_FILTER_H
#define MH_TOOL_FILTER_H

struct filter {
    int fd;        /* what is written here is its standard input; -1: it has not been started */
    int status_fd; /* where its exit status comes from */
};

/* Start the process, before there are other threads and before confine(). argv[0] is the path of the program; `output`
 * becomes its standard output, and stays the caller's. Returns 0 or a negative errno. */
int filter_start(struct filter *filter, const char *const *argv, int output);

/* All has been written: wait for the program. Returns its exit status, 0 when nothing was written; 127 when it could
 * not be started, and -EPIPE when it was killed. */
int filter_finish(struct filter *filter);

/* End the process, if it has been started and not finished. */
void filter_stop(struct filter *filter);

#endif
