/*
 * The exchange: a device that all machines of a process share, and through which one of them sends data to the others.
 * docs/guest-interface.md describes what guests do with it.
 */
#ifndef MH_EXCHANGE_H
#define MH_EXCHANGE_H

#include "mh/status.h"

#include <stdint.h>

#define MH_EXCHANGE_SIZE_DEFAULT 4096u
#define MH_EXCHANGE_SIZE_MAX (1u << 20)

struct mh_exchange;

/*
 * An exchange among `machines` machines, numbered from 1, of which the first writes; its buffer has `size` bytes.
 * MH_OK with *exchange set, or MH_ERR_HOST. Destroy it after the machines that have it in their mh_vm_config.
 */
enum mh_status mh_exchange_create(unsigned machines, uint32_t size, struct mh_exchange **exchange,
                                  struct mh_error *err);
void mh_exchange_destroy(struct mh_exchange *exchange);

/* Machine `number` has ended, or could not be created: no other is to wait for it. From any thread, and more than once.
 */
void mh_exchange_leave(struct mh_exchange *exchange, unsigned number);

#endif
