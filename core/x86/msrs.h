#ifndef X86_MSRS_H
#define X86_MSRS_H

#include "mh/x86_regs.h"
#include <stdint.h>

/*
 * The first of the model-specific registers that hold an address whose value is not canonical: its name, with the value
 * in *value; NULL when all are canonical. WRMSR raises #GP for such a value (Intel SDM volume 2, WRMSR).
 */
const char *x86_msr_not_canonical(const struct mh_x86_msrs *msrs, uint64_t *value);

#endif
