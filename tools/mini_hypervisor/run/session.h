/* A run of the program: opens what the command line names, confines the process, runs the machines, and cleans up. */
#ifndef MH_TOOL_SESSION_H
#define MH_TOOL_SESSION_H

#include "options/options.h"

#include <stdbool.h>

/* Run all guests to their ends; `confined`: give up first what they do not need. Returns the exit status. */
int session_run(const struct options *options, bool confined);

#endif
