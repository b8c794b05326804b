/* Running all machines: starting them, ticking them, and ending them for a timeout or a signal. */
#ifndef MH_TOOL_SUPERVISOR_H
#define MH_TOOL_SUPERVISOR_H

#include "run/machine.h"

/*
 * Block the signals the supervisor answers, in this thread and all it will start, and open what it needs.
 * Returns a signalfd, or minus an errno.
 */
int supervisor_open_signals(void);

/*
 * Run all machines to their ends. Returns 0 when they ended by themselves, ETIMEDOUT after a timeout, or the number of
 * the signal that ended them, negated. `endings` of the machines tell the rest.
 */
int supervisor_run(struct shared *shared, struct machine *machines, size_t count, int signal_fd);

#endif
