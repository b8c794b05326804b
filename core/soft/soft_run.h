/* The outer loop of the software processor. */
#ifndef MH_CORE_SOFT_SOFT_RUN_H
#define MH_CORE_SOFT_SOFT_RUN_H

#include "soft_cpu.h"

/* As those of struct cpu_ops. */
void soft_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit);
void soft_finish_io(struct cpu *cpu);
bool soft_accepts_interrupt(struct cpu *cpu);

#endif
