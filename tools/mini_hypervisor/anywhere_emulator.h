/* The emulator that runs the tiny machine of --anywhere: what it needs, and the process. */
#ifndef MH_TOOL_ANYWHERE_EMULATOR_H
#define MH_TOOL_ANYWHERE_EMULATOR_H

#include "options.h"

#include <stddef.h>
#include <sys/types.h>

struct emulator {
    pid_t pid;   /* 0: not started */
    int channel; /* a socket to the machine's serial port; does not block */
    int log_fd;  /* what the emulator and the machine's kernel print */
};

/*
 * Start the machine: `start` is the contents of its start file. Of the host's files it has what the options name, and
 * nothing else that matters (anywhere_confine.h). MH_OK, or MH_ERR_HOST when something it needs is missing, with the
 * remedy. End it with emulator_end() in either case, when *emulator was zeroed.
 */
enum mh_status emulator_begin(struct emulator *emulator, const struct options *options, const char *start,
                              size_t length, struct mh_error *err);
void emulator_end(struct emulator *emulator);

/* It ended by itself, makes no sense, or does not start: `what` says so. End it, and say why, as far as it said
 * something. Always returns MH_ERR_HOST. */
enum mh_status emulator_explain(struct emulator *emulator, const char *what, struct mh_error *err);

#endif
