/* Port accesses of the software processor (Intel SDM volume 1, chapter 19). */
#ifndef MH_CORE_SOFT_SOFT_IO_H
#define MH_CORE_SOFT_SOFT_IO_H

#include "soft_cpu.h"

/*
 * Complete the access that left the guest: write what an IN read, move on the pointers and the count of a string
 * instruction, retire. SOFT_NEXT or SOFT_REPEAT; with SOFT_FAULT or SOFT_EXIT the memory that an INS was to write has
 * gone since, and nothing was changed.
 */
enum soft_result soft_io_finish(struct soft_cpu *cpu);

#endif
