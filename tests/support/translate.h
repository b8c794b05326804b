/* Tests of the software processor run twice, with and without generated code. */
#ifndef MH_TEST_TRANSLATE_H
#define MH_TEST_TRANSLATE_H

#include "cpu/cpu.h"

struct host_code;

/*
 * If MH_TRANSLATE is set in the environment, let a processor translate blocks from the first time on. Returns what has
 * to be destroyed with host_code_destroy() after the processor, NULL otherwise.
 */
struct host_code *translate_if_asked(struct cpu *cpu);

#endif
