/* The software processor's side: a machine with the areas of outcome.h mapped for ring 3, and an IDT that ends a run.
 */
#ifndef MH_TEST_SOFT_SIDE_H
#define MH_TEST_SOFT_SIDE_H

#include "cpu/cpu.h"
#include "outcome.h"
#include "x86/cpuid.h"

struct host_code;

struct soft_side {
    struct guest_ram ram;
    struct x86_cpuid cpuid;
    struct mh_cpu_state boot;
    struct cpu *cpu;
    struct host_code *code; /* NULL: everything is interpreted */
};

/* False with a message printed. */
bool soft_side_create(struct soft_side *side);
void soft_side_destroy(struct soft_side *side);

/* The areas. After writing to the code, call soft_side_code_changed(). */
uint8_t *soft_side_code(const struct soft_side *side);
uint8_t *soft_side_data(const struct soft_side *side);
void soft_side_code_changed(struct soft_side *side, size_t offset, size_t length);

/* Run until an exception, at most `limit` instructions. */
void soft_side_run(struct soft_side *side, const struct start *start, uint64_t limit, struct outcome *outcome);

/* Did the processor stop because of what it does not implement, and says so? */
bool soft_side_is_unsupported(const struct outcome *outcome);

/* Does the guest's CPUID have this bit? `reg` is 0 to 3 for EAX to EDX. */
bool soft_side_has(const struct soft_side *side, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

#endif
