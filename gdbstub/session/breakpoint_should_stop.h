/*
 * Deciding about breakpoints without the debugger: conditions, commands and tracepoints are evaluated here, in the
 * filter that each resume carries. A breakpoint whose condition is false never leaves the target's wait().
 *
 * A machine *arrives* at an instruction when it gets there by executing, or when it is put there by the debugger and
 * continued. On each arrival tracepoints record and commands run once. A CONTINUE that starts where the machine stopped
 * asks about the breakpoints there again, because the target stops at them at once; that is the same arrival, so only
 * conditions are evaluated: a condition that holds stops the machine again, and a false one lets it step off.
 *
 * A machine that runs *backwards* arrives nowhere: it returns to where it has been. Conditions are evaluated there, but
 * nothing is recorded and no command runs; nor when it is continued forwards from where it stopped.
 */
#ifndef GDBSTUB_BREAKPOINT_SHOULD_STOP_H
#define GDBSTUB_BREAKPOINT_SHOULD_STOP_H

#include "mh/debug_target.h"

/*
 * A mh_stop_filter with the struct gdb_machines as context.
 *
 * A stop for a breakpoint is wanted if one of the breakpoints at the address has no commands and has no condition or
 * one that holds; if a condition or command cannot be evaluated; or if no breakpoint is known there. Other stops are
 * always wanted. Without a debugger none is.
 * Returns true if the machine should stop. Then *stop is what to report: the breakpoint that wants the stop, or else
 * the interruption or the end of the step that coincides with it.
 */
bool gdb_breakpoint_should_stop(void *machines, unsigned vm, struct mh_stop *stop);

#endif
