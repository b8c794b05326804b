#include "signals.h"

#define VECTORS 32u

/* What Linux makes of each exception in a user program; those it has no answer for are SIGSEGV. */
static const uint8_t vector_signal[VECTORS] = {
    [0] = GDB_SIGNAL_FPE,  /* #DE */
    [1] = GDB_SIGNAL_TRAP, /* #DB */
    [2] = GDB_SIGNAL_BUS,  /* NMI */
    [3] = GDB_SIGNAL_TRAP, /* #BP */
    [6] = GDB_SIGNAL_ILL,  /* #UD */
    [7] = GDB_SIGNAL_FPE,  /* #NM */
    [9] = GDB_SIGNAL_FPE,  /* coprocessor segment overrun */
    [10] = GDB_SIGNAL_BUS, /* #TS */
    [11] = GDB_SIGNAL_BUS, /* #NP */
    [12] = GDB_SIGNAL_BUS, /* #SS */
    [16] = GDB_SIGNAL_FPE, /* #MF */
    [17] = GDB_SIGNAL_BUS, /* #AC */
    [18] = GDB_SIGNAL_BUS, /* #MC */
    [19] = GDB_SIGNAL_FPE, /* #XM */
};

static uint8_t exception_signal(uint8_t vector)
{
    if (vector < VECTORS && vector_signal[vector])
        return vector_signal[vector];
    return GDB_SIGNAL_SEGV;
}

uint8_t gdb_stop_signal(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_HALTED:
        return GDB_SIGNAL_0;
    case MH_STOP_BREAKPOINT:
    case MH_STOP_HW_BREAKPOINT:
    case MH_STOP_WATCHPOINT:
    case MH_STOP_STEP:
        return GDB_SIGNAL_TRAP;
    case MH_STOP_INTERRUPTED:
        return GDB_SIGNAL_INT;
    case MH_STOP_EXCEPTION:
        return exception_signal(stop->vector);
    case MH_STOP_NO_MEMORY:
        return GDB_SIGNAL_BUS;
    case MH_STOP_RETURNED:
    case MH_STOP_TRIPLE_FAULT:
        return GDB_SIGNAL_SEGV;
    case MH_STOP_KVM_ERROR:
    case MH_STOP_IO_ERROR:
        return GDB_SIGNAL_ABRT;
    }
    return GDB_SIGNAL_ABRT;
}

bool gdb_stop_is_crash(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_EXCEPTION:
    case MH_STOP_RETURNED:
    case MH_STOP_TRIPLE_FAULT:
    case MH_STOP_NO_MEMORY:
    case MH_STOP_KVM_ERROR:
    case MH_STOP_IO_ERROR:
        return true;
    default:
        return false;
    }
}

bool gdb_signal_is_deadly(uint8_t signal)
{
    switch (signal) {
    case GDB_SIGNAL_0:
    case GDB_SIGNAL_URG:
    case GDB_SIGNAL_STOP:
    case GDB_SIGNAL_TSTP:
    case GDB_SIGNAL_CONT:
    case GDB_SIGNAL_CHLD:
    case GDB_SIGNAL_TTIN:
    case GDB_SIGNAL_TTOU:
    case GDB_SIGNAL_WINCH:
        return false;
    default:
        return true;
    }
}
