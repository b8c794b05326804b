/* `monitor map` and `monitor pt`: a machine's memory and page tables. */
#ifndef MH_CORE_DEBUG_MONITOR_MEMORY_H
#define MH_CORE_DEBUG_MONITOR_MEMORY_H

#include "text.h"

struct debug;

/* What is mapped, and what each part of memory is used for. MH_OK, or MH_ERR_HOST without memory. */
enum mh_status monitor_show_map(struct debug *debug, const char *argument, const struct text_output *output,
                                struct mh_error *err);

/* The page tables as a tree; with an address, how they translate it. MH_OK, or MH_ERR_RANGE when it is none. */
enum mh_status monitor_show_tables(struct debug *debug, const char *argument, const struct text_output *output,
                                   struct mh_error *err);

#endif
