/* Runs all machines: starts them, ticks them, and ends them at the timeout or for a signal. */
#ifndef MH_TOOL_SUPERVISOR_H
#define MH_TOOL_SUPERVISOR_H

#include "run/machine.h"

/*
 * Block the signals that the supervisor handles, in this thread and all it will start.
 * Returns a signalfd, or minus an errno.
 */
int supervisor_open_signals(void);

/*
 * Run all machines to their ends. Returns 0 when they ended by themselves, ETIMEDOUT after a timeout, or the number of
 * the signal that ended them, negated. The rest is in each machine's `ending`.
 */
int supervisor_run(struct shared *shared, struct machine *machines, size_t count, int signal_fd);

#endif
