#include "serial.h"

#include "mh/guest_abi.h"

#include <errno.h>
#include <string.h>

void serial_init(struct serial *serial, struct mh_serial_end end)
{
    serial->end = end;
    serial->error = 0;
    atomic_init(&serial->pending, 0);
}

void serial_flush(struct serial *serial)
{
    unsigned length = atomic_load_explicit(&serial->pending, memory_order_relaxed);
    if (length == 0)
        return;
    if (serial->error == 0 && serial->end.write != NULL) {
        int result = serial->end.write(serial->end.ctx, serial->buffer, length);
        if (result < 0)
            serial->error = -result;
    }
    atomic_store_explicit(&serial->pending, 0, memory_order_relaxed);
}

void serial_put(struct serial *serial, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        unsigned used = atomic_load_explicit(&serial->pending, memory_order_relaxed);
        size_t part = length < SERIAL_BUFFER - used ? length : SERIAL_BUFFER - used;
        memcpy(serial->buffer + used, bytes, part);
        atomic_store_explicit(&serial->pending, used + (unsigned)part, memory_order_relaxed);
        if (used + part == SERIAL_BUFFER)
            serial_flush(serial);
        bytes += part;
        length -= part;
    }
}

static int64_t byte_source(void *source_ctx, void *to, size_t length)
{
    (void)length; /* one byte an operation */
    struct serial *serial = source_ctx;
    int result = serial->end.read != NULL ? serial->end.read(serial->end.ctx) : MH_SERIAL_INPUT_ENDED;
    if (result == MH_SERIAL_INTERRUPTED)
        return -EINTR;
    if (result < MH_SERIAL_INTERRUPTED)
        return result;
    uint8_t byte = result == MH_SERIAL_INPUT_ENDED ? MH_SERIAL_EOF : (uint8_t)result;
    memcpy(to, &byte, 1);
    return 1;
}

int serial_get(struct serial *serial, struct inbound *inbound, uint8_t *to)
{
    serial_flush(serial);
    int64_t result = inbound_take(inbound, to, byte_source, serial);
    return result < 0 ? (int)result : 0;
}
