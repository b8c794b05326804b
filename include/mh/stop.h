/* Why a virtual machine stopped. Core returns these and acts on none of them. */
#ifndef MH_STOP_H
#define MH_STOP_H

#include <stdbool.h>
#include <stdint.h>

enum mh_stop_kind {
    MH_STOP_HALTED,        /* HLT: the good end; rip is after it */
    MH_STOP_BREAKPOINT,    /* a breakpoint the debugger set, rip at it */
    MH_STOP_HW_BREAKPOINT, /* an execute breakpoint in a debug register the debugger set, rip at it */
    MH_STOP_WATCHPOINT,    /* a watched access was made, rip after it */
    MH_STOP_STEP,          /* the one instruction, or the range, is done */
    MH_STOP_CAUGHT,        /* an event with a catchpoint has happened, rip after it */
    MH_STOP_EXCEPTION,     /* a fault the guest has no handler for, rip at the faulting instruction */
    MH_STOP_RETURNED,      /* the guest's entry point returned to its caller, which does not exist */
    MH_STOP_TRIPLE_FAULT,  /* a fault while a fault was being delivered to the guest's own broken handlers */
    MH_STOP_NO_MEMORY,     /* the guest reached a physical address that has no memory */
    MH_STOP_CPU_ERROR,     /* the processor cannot continue: `text` says why */
    MH_STOP_HOST_ERROR,    /* the host failed the processor: `text` says how */
    MH_STOP_IO_ERROR,      /* the host could not read or write for the guest */
    MH_STOP_HISTORY_BEGIN, /* it ran backwards to the earliest place that is kept */
    MH_STOP_HISTORY_END,   /* a recording was replayed to its end */
    MH_STOP_INTERRUPTED,   /* someone asked: between two instructions, nothing half done */
    MH_STOP_EXCHANGE,      /* the guest broke the rules of the exchange: `text` says how */
};

enum mh_watch_kind {
    MH_WATCH_WRITE,
    MH_WATCH_READ,
    MH_WATCH_ACCESS,
};

#define MH_INSTRUCTION_MAX 15u

#define MH_STOP_TEXT_MAX 512u

struct mh_stop {
    enum mh_stop_kind kind;

    /* EXCEPTION */
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
    uint64_t cr2; /* of a page fault */

    /* WATCHPOINT */
    enum mh_watch_kind watch;
    uint64_t watch_address; /* the watched guest-virtual address, as the debugger named it */

    /* INTERRUPTED: because mh_vm_config.max_instructions were executed */
    bool at_limit;

    /* NO_MEMORY */
    uint64_t physical;
    bool is_write;

    /* CPU_ERROR, HOST_ERROR, EXCHANGE */
    char text[MH_STOP_TEXT_MAX];             /* one line */
    uint8_t instruction[MH_INSTRUCTION_MAX]; /* the bytes that could not be executed */
    uint8_t instruction_length;              /* 0: not known */

    /* IO_ERROR. After other stops not 0 if the guest's output could not be written. */
    int host_errno;
};

/* What a kind of stop is called: "halted" to "interrupted". */
const char *mh_stop_name(enum mh_stop_kind kind);

/* True when the machine cannot continue after this stop unless a debugger corrects it. */
bool mh_stop_is_crash(const struct mh_stop *stop);

/* The signal (of <signal.h>) that Linux would have sent a program for this stop; 0 for MH_STOP_HALTED. */
int mh_stop_signal(const struct mh_stop *stop);

#endif
