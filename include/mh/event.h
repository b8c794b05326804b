/* Events of a virtual machine, for catchpoints and traces. */
#ifndef MH_EVENT_H
#define MH_EVENT_H

#include "mh/stop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mh_event_kind {
    MH_EVENT_PORT,      /* an access to a port was served */
    MH_EVENT_FILE,      /* a file call was made */
    MH_EVENT_FAULT,     /* an exception was delivered to a handler of the guest's */
    MH_EVENT_CR3,       /* CR3 was written */
    MH_EVENT_ENTER,     /* the guest is about to run, ... */
    MH_EVENT_EXIT,      /* ... and was left */
    MH_EVENT_STOP,      /* the machine stopped: for good, or for its debugger */
    MH_EVENT_INTERRUPT, /* an external interrupt is about to be delivered, at rip */
};

struct mh_event {
    enum mh_event_kind kind;

    /* where the guest was left last; at a STOP, where it is. Some KVMs report an OUT before rip is after it. */
    bool has_rip;
    uint64_t rip;
    bool has_instructions; /* the processor counts: */
    uint64_t instructions; /* how many it has retired, the machine's position */

    /* PORT */
    uint16_t port;
    uint8_t width; /* bytes of one access */
    bool is_in;
    uint32_t count;      /* accesses; more than one of a string instruction */
    uint32_t value;      /* of the first */
    const uint8_t *data; /* of all, `width` times `count` bytes; for the time of the call only */

    /* FILE */
    uint8_t op;       /* enum mh_file_op */
    const char *name; /* of the file, as the guest knows it; "" when there is none. For the time of the call only */
    int64_t result;   /* what the guest received */

    /* FAULT, INTERRUPT */
    uint8_t vector;
    /* FAULT */
    uint64_t handler; /* guest-virtual address of its first instruction */

    /* CR3 */
    uint64_t old, now;

    /* EXIT */
    const char *reason; /* one of a few constant strings, each always the same pointer */

    /* STOP; both for the time of the call only */
    const struct mh_stop *stop;
    const char *text; /* what happened, in one line for people */
};

/* Write one line about the event, without a newline, at most `size` bytes with its NUL. */
void mh_event_text(const struct mh_event *event, char *text, size_t size);

/* The name of a file call: "open" to "size", or "unknown call". */
const char *mh_file_op_name(uint8_t op);

#endif
