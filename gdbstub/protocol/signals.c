#include "protocol/signals.h"

#include <signal.h>

uint8_t gdb_stop_signal(const struct mh_stop *stop)
{
    int signal = mh_stop_signal(stop);

    /* the only signal of a stop that GDB numbers differently */
    return signal == SIGBUS ? GDB_SIGNAL_BUS : (uint8_t)signal;
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
