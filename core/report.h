#ifndef MH_CORE_REPORT_H
#define MH_CORE_REPORT_H

#include "vm_internal.h"

/* Write the report of mh_vm_describe_stop(). */
void report_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                 void *write_ctx);

#endif
