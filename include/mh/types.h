/* Addresses of different spaces are different types, so that mixing them does not compile. */
#ifndef MH_TYPES_H
#define MH_TYPES_H

#include <stdint.h>

/* A guest-physical address: what the guest's page tables lead to, what KVM's memory slots hold. */
typedef struct {
    uint64_t v;
} mh_gpa;

/* A guest-virtual address: what the guest's instructions name. */
typedef struct {
    uint64_t v;
} mh_gva;

static inline mh_gpa mh_gpa_of(uint64_t v)
{
    return (mh_gpa){v};
}

static inline mh_gva mh_gva_of(uint64_t v)
{
    return (mh_gva){v};
}

#endif
