#include "devices/serial.h"

#include "crc32.h"
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
    if (serial->is_muted)
        return;
    serial->printed += length;
    serial->checksum = crc32_more(serial->checksum, bytes, length);
    while (length > 0) {
        unsigned used = atomic_load_explicit(&serial->pending, memory_order_relaxed);
        size_t part = length < SERIAL_BUFFER - used ? length : SERIAL_BUFFER - used;
        if (part == 1) /* as most guests print */
            serial->buffer[used] = *bytes;
        else
            memcpy(serial->buffer + used, bytes, part);
        atomic_store_explicit(&serial->pending, used + (unsigned)part, memory_order_relaxed);
        if (used + part == SERIAL_BUFFER)
            serial_flush(serial);
        bytes += part;
        length -= part;
    }
}

/* A wait for input, as the source of the input log. */
struct serial_wait {
    struct serial *serial;
    const int *wake_fds;
    unsigned wake_count;
};

static int64_t serial_read_byte(void *source_ctx, void *to, size_t length)
{
    (void)length; /* one byte at a time */
    const struct serial_wait *wait = source_ctx;
    const struct mh_serial_end *end = &wait->serial->end;
    int result = end->read != NULL ? end->read(end->ctx, wait->wake_fds, wait->wake_count) : MH_SERIAL_INPUT_ENDED;
    if (result == MH_SERIAL_INTERRUPTED)
        return -EINTR;
    if (result < MH_SERIAL_INTERRUPTED)
        return result;
    uint8_t byte = result == MH_SERIAL_INPUT_ENDED ? MH_SERIAL_EOF : (uint8_t)result;
    memcpy(to, &byte, 1);
    return 1;
}

int serial_get(struct serial *serial, struct input_log *log, uint8_t *to, const int *wake_fds, unsigned wake_count)
{
    struct serial_wait wait = {.serial = serial, .wake_fds = wake_fds, .wake_count = wake_count};
    serial_flush(serial);
    int64_t result = input_log_next(log, to, serial_read_byte, &wait);
    return result < 0 ? (int)result : 0;
}
