/* The serial port 0xe9: output is written in batches, input is read byte by byte. */
#ifndef MH_CORE_DEVICES_SERIAL_H
#define MH_CORE_DEVICES_SERIAL_H

#include "devices/input_log.h"
#include "mh/vm.h"

#include <stdatomic.h>

#define SERIAL_BUFFER 4096u

struct serial {
    struct mh_serial_end end;
    bool is_muted;    /* what the guest prints has been printed before: drop it */
    uint64_t printed; /* bytes, and their CRC-32 */
    uint32_t checksum;
    int error;           /* errno of the first failed write; what is printed after it is dropped */
    atomic_uint pending; /* bytes in `buffer`; other threads read it to see whether a kick is worth it */
    uint8_t buffer[SERIAL_BUFFER];
};

void serial_init(struct serial *serial, struct mh_serial_end end);

/* The guest printed bytes. They stay in the buffer until it is full or serial_flush() is called. */
void serial_put(struct serial *serial, const uint8_t *bytes, size_t length);

/* Write everything to the other end. A failure remains in serial->error. */
void serial_flush(struct serial *serial);

/*
 * The guest reads a byte into `to`: what it printed before is flushed first.
 * Returns 0, -EINTR when the wait was broken off (nothing was taken), or minus an errno.
 */
int serial_get(struct serial *serial, struct input_log *log, uint8_t *to, const int *wake_fds, unsigned wake_count);

#endif
