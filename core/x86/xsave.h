/* The standard form of the XSAVE area (Intel SDM volume 1, 13.4), and the registers in it as a debugger sees them. */
#ifndef MH_CORE_X86_XSAVE_H
#define MH_CORE_X86_XSAVE_H

#include "mh/cpu_state.h"

/*
 * Convert between an area, whose components are all current (XSTATE_BV), and x87, SSE and AVX registers. `xcr0` says
 * which components exist; x87 and SSE always do. What does not exist is zero in *fpu and left alone in the area.
 * Writing sets the bits of XSTATE_BV, because a component without its bit would count as in its initial state.
 */
void x86_xsave_to_fpu(const uint8_t area[MH_XSAVE_SIZE], uint64_t xcr0, struct mh_x86_fpu *fpu);
void x86_xsave_from_fpu(uint8_t area[MH_XSAVE_SIZE], uint64_t xcr0, const struct mh_x86_fpu *fpu);

/* The state after RESET: FCW 0x37f, MXCSR 0x1f80, all else zero, no component in use. */
void x86_xsave_init(uint8_t area[MH_XSAVE_SIZE]);

/* Make components that XSTATE_BV does not name hold their initial values, where an area may hold anything. */
void x86_xsave_fill_initial(uint8_t area[MH_XSAVE_SIZE]);

#endif
