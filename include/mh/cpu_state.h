/*
 * Everything architectural about one processor, in a form that belongs to no implementation: what a snapshot keeps,
 * and what moves when a machine goes from one processor to another.
 */
#ifndef MH_CPU_STATE_H
#define MH_CPU_STATE_H

#include "mh/x86_regs.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of the standard form of the XSAVE area with x87, SSE and AVX (Intel SDM volume 1, 13.4): the legacy region,
 * the header, and the upper halves of ymm0 to ymm15. */
#define MH_XSAVE_SIZE 832u

/* An exception that was raised and not delivered yet. */
struct mh_x86_pending {
    bool valid;
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
};

/* What delays interrupts and debug exceptions for one instruction (Intel SDM volume 3, 6.8.3). */
#define MH_SHADOW_STI 1u
#define MH_SHADOW_MOV_SS 2u

struct mh_cpu_state {
    struct mh_x86_general general;
    struct mh_x86_system system;
    struct mh_x86_msrs msrs;
    uint64_t xcr0;
    uint64_t dr[4], dr6, dr7; /* the guest's own debug registers */
    struct mh_x86_pending pending;
    uint8_t shadow; /* MH_SHADOW_* */
    /* Between two repetitions of the string instruction at rip, where the processor knows: a breakpoint there has been
     * met. */
    bool is_repeating;
    alignas(64) uint8_t xsave[MH_XSAVE_SIZE];
};

#endif
