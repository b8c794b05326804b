#include "mh/stop.h"

#include <signal.h>

#define VECTORS 32u

/* What Linux makes of each exception in a user program; those it has no answer for are SIGSEGV. */
static const uint8_t vector_signal[VECTORS] = {
    [0] = SIGFPE,  /* #DE */
    [1] = SIGTRAP, /* #DB */
    [2] = SIGBUS,  /* NMI */
    [3] = SIGTRAP, /* #BP */
    [6] = SIGILL,  /* #UD */
    [7] = SIGFPE,  /* #NM */
    [9] = SIGFPE,  /* coprocessor segment overrun */
    [10] = SIGBUS, /* #TS */
    [11] = SIGBUS, /* #NP */
    [12] = SIGBUS, /* #SS */
    [16] = SIGFPE, /* #MF */
    [17] = SIGBUS, /* #AC */
    [18] = SIGBUS, /* #MC */
    [19] = SIGFPE, /* #XM */
};

static int exception_signal(uint8_t vector)
{
    if (vector < VECTORS && vector_signal[vector] != 0)
        return vector_signal[vector];
    return SIGSEGV;
}

int mh_stop_signal(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_HALTED:
        return 0;
    case MH_STOP_BREAKPOINT:
    case MH_STOP_HW_BREAKPOINT:
    case MH_STOP_WATCHPOINT:
    case MH_STOP_CAUGHT:
    case MH_STOP_STEP:
    case MH_STOP_HISTORY_BEGIN:
    case MH_STOP_HISTORY_END:
        return SIGTRAP;
    case MH_STOP_INTERRUPTED:
        return SIGINT;
    case MH_STOP_EXCEPTION:
        return exception_signal(stop->vector);
    case MH_STOP_NO_MEMORY:
        return SIGBUS;
    case MH_STOP_RETURNED:
    case MH_STOP_TRIPLE_FAULT:
        return SIGSEGV;
    case MH_STOP_CPU_ERROR:
    case MH_STOP_HOST_ERROR:
    case MH_STOP_IO_ERROR:
    case MH_STOP_EXCHANGE:
        return SIGABRT;
    }
    return SIGABRT;
}

const char *mh_stop_name(enum mh_stop_kind kind)
{
    static const char *const names[] = {[MH_STOP_HALTED] = "halted",
                                        [MH_STOP_BREAKPOINT] = "breakpoint",
                                        [MH_STOP_HW_BREAKPOINT] = "hardware breakpoint",
                                        [MH_STOP_WATCHPOINT] = "watchpoint",
                                        [MH_STOP_STEP] = "step",
                                        [MH_STOP_CAUGHT] = "catchpoint",
                                        [MH_STOP_EXCEPTION] = "fault",
                                        [MH_STOP_RETURNED] = "returned",
                                        [MH_STOP_TRIPLE_FAULT] = "triple fault",
                                        [MH_STOP_NO_MEMORY] = "no memory there",
                                        [MH_STOP_CPU_ERROR] = "processor error",
                                        [MH_STOP_HOST_ERROR] = "host error",
                                        [MH_STOP_IO_ERROR] = "input/output error",
                                        [MH_STOP_HISTORY_BEGIN] = "begin of history",
                                        [MH_STOP_HISTORY_END] = "end of history",
                                        [MH_STOP_INTERRUPTED] = "interrupted",
                                        [MH_STOP_EXCHANGE] = "error in the exchange"};
    return names[kind];
}

bool mh_stop_is_crash(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_EXCEPTION:
    case MH_STOP_RETURNED:
    case MH_STOP_TRIPLE_FAULT:
    case MH_STOP_NO_MEMORY:
    case MH_STOP_CPU_ERROR:
    case MH_STOP_HOST_ERROR:
    case MH_STOP_IO_ERROR:
    case MH_STOP_EXCHANGE:
        return true;
    default:
        return false;
    }
}
