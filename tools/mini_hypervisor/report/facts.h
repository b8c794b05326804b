/* The facts of a report, as JSON; docs/report.md describes them. */
#ifndef MH_TOOL_REPORT_FACTS_H
#define MH_TOOL_REPORT_FACTS_H

#include "mh/vm.h"
#include "observe/stats.h"
#include "report/serial_text.h"
#include "report/timeline.h"
#include "report/writer.h"

/* What the machine was made of, and what was collected while it ran. */
struct facts {
    const struct mh_vm_config *config;
    const struct stats *stats;
    const struct report_timeline *timeline;
    const struct serial_text *in, *out;
};

/* Write the object. The machine has stopped for good; called on its thread. */
void facts_write(struct writer *writer, const struct facts *facts, struct mh_vm *vm, const struct mh_stop *stop);

#endif
