/* `monitor info ...`, in the form of QEMU's monitor, which scripts for debuggers read. */
#ifndef MH_CORE_DEBUG_MONITOR_INFO_H
#define MH_CORE_DEBUG_MONITOR_INFO_H

#include "text.h"

struct debug;

/* "mem", "registers" or "tlb". MH_OK; MH_ERR_RANGE for another, or MH_ERR_HOST. */
enum mh_status monitor_info(struct debug *debug, const char *what, const struct text_output *output,
                            struct mh_error *err);

#endif
