/* Registers and state of the software processor, in and out. */
#ifndef MH_CORE_SOFT_SOFT_STATE_H
#define MH_CORE_SOFT_SOFT_STATE_H

#include "soft_cpu.h"

/* As the functions of struct cpu_ops. Of a state or a group that is refused nothing is taken over. */
enum mh_status soft_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err);
enum mh_status soft_write_regs(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs, struct mh_error *err);
enum mh_status soft_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err);
enum mh_status soft_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err);

#endif
