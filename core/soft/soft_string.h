/* Repeated string instructions, many repetitions at once. */
#ifndef MH_CORE_SOFT_SOFT_STRING_H
#define MH_CORE_SOFT_SOFT_STRING_H

#include "soft_cpu.h"

/*
 * Execute up to `limit` repetitions of `insn`, all but the last one, when it is a REP MOVS or REP STOS that goes
 * forward over pages whose translations are at hand. Returns how many; 0 when it has to be done one by one.
 */
uint64_t soft_string_bulk(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t limit);

#endif
