/* The software processor, as the layers above see it: how to make one. All else goes by cpu/cpu.h. */
#ifndef MH_CORE_SOFT_SOFT_H
#define MH_CORE_SOFT_SOFT_H

#include "cpu/cpu.h"
#include "x86/cpuid.h"

/*
 * Create a software processor for `ram` in the state *boot. Both ram and cpuid must outlive it.
 * MH_OK with *cpu set; MH_ERR_HOST without memory, or when *boot is no state of 64-bit code. Destroy it by
 * cpu->ops->destroy().
 */
enum mh_status soft_cpu_create(struct guest_ram *ram, const struct x86_cpuid *cpuid, const struct mh_cpu_state *boot,
                               struct cpu **cpu, struct mh_error *err);

struct host_code; /* host_x86_64_code.h */

#define SOFT_HOT 200u /* times a block is interpreted before it is translated */

/*
 * Translate blocks that were entered `hot` times to code of the host, in this memory, which must outlive the processor.
 * Without it, or when all of it is in use, everything is interpreted. Does nothing to a
 * processor of another kind.
 */
void soft_cpu_use_code(struct cpu *cpu, struct host_code *code, uint32_t hot);

/*
 * Make the count of retired instructions `count`, as after going back to a place where it was that. The time stamp
 * counter does not change.
 */
void soft_set_instructions(struct cpu *cpu, uint64_t count);

#endif
