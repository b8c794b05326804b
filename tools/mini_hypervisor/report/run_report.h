/* --report: collects what a machine does, and writes a page about it. */
#ifndef MH_TOOL_REPORT_RUN_REPORT_H
#define MH_TOOL_REPORT_RUN_REPORT_H

#include "mh/event.h"
#include "mh/vm.h"
#include "observe/stats.h"

#include <stdatomic.h>

struct run_report;

/*
 * Create or overwrite the file at `path`. MH_OK with *report set; MH_ERR_IO with what is wrong, or MH_ERR_HOST, and
 * *report NULL. Free with run_report_close(), which takes NULL.
 */
enum mh_status run_report_open(struct run_report **report, const char *path, const atomic_bool *ending,
                               struct mh_error *err);
void run_report_close(struct run_report *report);

/* Note an event, which happened at `now`, in nanoseconds since any fixed moment. */
void run_report_event(struct run_report *report, uint64_t now, const struct mh_event *event);

/* The machine has stopped for good: write the page, on the machine's thread. 0, or minus an errno. */
int run_report_write(struct run_report *report, const struct mh_vm_config *config, struct mh_vm *vm,
                     const struct mh_stop *stop);

#endif
