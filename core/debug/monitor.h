/* The debugger's `monitor` commands that look at the machine. */
#ifndef MH_CORE_DEBUG_MONITOR_H
#define MH_CORE_DEBUG_MONITOR_H

#include "mh/debug_target.h"
#include "text.h"

struct debug;

/* Run one command; see mh/debug_target.h. */
enum mh_status monitor_run(struct debug *debug, const char *command, const struct text_output *output,
                           struct mh_error *err);

#endif
