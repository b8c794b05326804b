/* --perf-map: the file in which perf looks for names of code that is made while a program runs. */
#ifndef MH_TOOL_PERF_MAP_H
#define MH_TOOL_PERF_MAP_H

#include "mh/status.h"

/*
 * Create /tmp/perf-PID.map, in the place of an old one, readable by its user only. MH_OK with *fd set, which the caller
 * closes and to which any thread may write whole lines; MH_ERR_HOST with the reason. The file stays: perf reads it when
 * the process has ended.
 */
enum mh_status perf_map_create(int *fd, struct mh_error *err);

#endif
