/* A machine has met a breakpoint: do the debugger's conditions and commands, evaluated here, let it go on? */
#ifndef GDBSTUB_BREAKPOINT_SHOULD_STOP_H
#define GDBSTUB_BREAKPOINT_SHOULD_STOP_H

#include "session/machines.h"

/*
 * Look at a stop that has just come from the target, machine->stop. At the breakpoints where the machine has arrived,
 * conditions are evaluated and, where one holds, commands run: once an arrival, whatever the stop is for; tracepoints
 * record. A stop for a
 * breakpoint is wanted when one of those there has no commands and a condition that holds, or none, or when something
 * cannot be evaluated.
 * Returns true when nobody wants the stop, so that the machine should go on as it did. Otherwise machine->stop is what
 * to tell: the breakpoint that wants it; with none, the interruption or the end of the step that comes with it.
 */
bool gdb_hit_is_unwanted(struct gdb_machines *machines, struct gdb_machine *machine);

#endif
