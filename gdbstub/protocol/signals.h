/*
 * Signals of GDB's own numbering (gdb/signals.def). A machine has no signals; they make its stops look familiar to
 * those who debug native programs.
 */
#ifndef GDBSTUB_SIGNALS_H
#define GDBSTUB_SIGNALS_H

#include "mh/stop.h"

#include <stdbool.h>
#include <stdint.h>

enum gdb_signal {
    GDB_SIGNAL_0 = 0,
    GDB_SIGNAL_INT = 2,
    GDB_SIGNAL_ILL = 4,
    GDB_SIGNAL_TRAP = 5,
    GDB_SIGNAL_ABRT = 6,
    GDB_SIGNAL_FPE = 8,
    GDB_SIGNAL_KILL = 9,
    GDB_SIGNAL_BUS = 10,
    GDB_SIGNAL_SEGV = 11,
    GDB_SIGNAL_TERM = 15,
    GDB_SIGNAL_URG = 16,
    GDB_SIGNAL_STOP = 17,
    GDB_SIGNAL_TSTP = 18,
    GDB_SIGNAL_CONT = 19,
    GDB_SIGNAL_CHLD = 20,
    GDB_SIGNAL_TTIN = 21,
    GDB_SIGNAL_TTOU = 22,
    GDB_SIGNAL_WINCH = 28,
};

/* Return mh_stop_signal() in GDB's numbering. */
uint8_t gdb_stop_signal(const struct mh_stop *stop);

/* True if the signal ends a program without handlers. */
bool gdb_signal_is_deadly(uint8_t signal);

#endif
