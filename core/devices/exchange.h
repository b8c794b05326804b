/*
 * The exchange as one of its machines sees it: ports 0x510 and 0x520, and the interrupts that say whose turn it is.
 *
 * A machine is interrupted once to learn its role, and then once for each turn. The writer's turn is to send a count
 * and the bytes. That gives each reader a turn, to take them and to report how many it took; when all have, the writer
 * is interrupted again. Accesses are streams of bytes, lowest byte first, so their width does not matter.
 *
 * Everything here is called by the threads of the machines, and guarded by one mutex.
 */
#ifndef MH_CORE_DEVICES_EXCHANGE_H
#define MH_CORE_DEVICES_EXCHANGE_H

#include "mh/exchange.h"

#include <stdbool.h>
#include <stddef.h>

#define EXCHANGE_TEXT_MAX 160u

enum exchange_result {
    EXCHANGE_DONE,
    EXCHANGE_OUT_OF_TURN, /* nothing is to be read or written at this port now: no effect, reads give all ones */
    EXCHANGE_BROKEN,      /* the machine broke the rules, and is to be stopped: *text says how */
};

/* What a guest reads or writes at MH_PORT_EXCHANGE or MH_PORT_EXCHANGE_DONE. `text` has EXCHANGE_TEXT_MAX bytes. */
enum exchange_result exchange_in(struct mh_exchange *exchange, unsigned number, uint16_t port, uint8_t *data,
                                 size_t length);
enum exchange_result exchange_out(struct mh_exchange *exchange, unsigned number, uint16_t port, const uint8_t *data,
                                  size_t length, char *text);

/* Does an interrupt wait to be delivered? And take it: the machine delivers it now. */
bool exchange_is_pending(struct mh_exchange *exchange, unsigned number);
void exchange_take_interrupt(struct mh_exchange *exchange, unsigned number);

enum exchange_wait {
    EXCHANGE_INTERRUPT, /* one waits to be delivered */
    EXCHANGE_NO_MORE,   /* there will be none any more */
    EXCHANGE_STOPPED,   /* the machine waits although it has left its turn unfinished: *text says how */
    EXCHANGE_WAIT_ENDS, /* a signal came, or one of the descriptors became readable */
};

/* The guest executed HLT: wait for its next interrupt. */
enum exchange_wait exchange_wait(struct mh_exchange *exchange, unsigned number, const int *wake_fds,
                                 unsigned wake_count, char *text);

/* The machine runs on after it had left, as a debugger lets it: others did not wait for it, and do again from the next
 * turn on. Or it begins anew, and will learn its role again. */
void exchange_return(struct mh_exchange *exchange, unsigned number);
void exchange_restart(struct mh_exchange *exchange, unsigned number);

#endif
