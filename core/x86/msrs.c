#include "x86/msrs.h"

#include "x86/descriptors.h"
#include <stddef.h>

const char *x86_msr_not_canonical(const struct mh_x86_msrs *msrs, uint64_t *value)
{
    const struct {
        const char *name;
        uint64_t value;
    } addresses[] = {{"LSTAR", msrs->lstar},
                     {"CSTAR", msrs->cstar},
                     {"KERNEL_GS_BASE", msrs->kernel_gs_base},
                     {"SYSENTER_ESP", msrs->sysenter_esp},
                     {"SYSENTER_EIP", msrs->sysenter_eip}};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (!x86_is_canonical(addresses[i].value)) {
            *value = addresses[i].value;
            return addresses[i].name;
        }
    }
    return NULL;
}
