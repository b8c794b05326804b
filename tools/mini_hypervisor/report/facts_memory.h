/* The part of a report's facts that is about memory and page tables. */
#ifndef MH_TOOL_REPORT_FACTS_MEMORY_H
#define MH_TOOL_REPORT_FACTS_MEMORY_H

#include "mh/vm.h"
#include "report/writer.h"

/* The member "memory"; it is left out without memory to look at the machine's. */
void facts_memory(struct writer *writer, struct mh_vm *vm);

/* The member "counts": how often each instruction was executed; left out when they were not counted. */
void facts_counts(struct writer *writer, const struct mh_vm_config *config, struct mh_vm *vm);

/* The member "tables". */
void facts_tables(struct writer *writer, struct mh_vm *vm, const struct mh_x86_system *system);

#endif
