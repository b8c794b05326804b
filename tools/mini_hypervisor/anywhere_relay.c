#include "anywhere_relay.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void relay_init(struct relay *relay, int channel, relay_take_frame *take_frame, void *ctx)
{
    relay->channel = channel;
    relay->take_frame = take_frame;
    relay->ctx = ctx;
    relay->last_opened = STDERR_FILENO;
    relay->in_length = relay->out_length = 0;
    for (unsigned i = 0; i < WIRE_STREAMS; i++)
        relay->streams[i].is_open = false;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_stream(struct relay_stream *stream)
{
    if (!stream->is_open)
        return;
    close_end(&stream->read_fd);
    close_end(&stream->write_fd);
    stream->is_open = false;
}

void relay_close(struct relay *relay)
{
    for (unsigned i = 0; i < WIRE_STREAMS; i++)
        close_stream(&relay->streams[i]);
}

void relay_open(struct relay *relay, unsigned number, int read_fd, int write_fd)
{
    struct relay_stream *stream = &relay->streams[number];
    close_stream(stream);
    memset(stream, 0, offsetof(struct relay_stream, buffer));
    relay->last_opened = number;
    stream->is_open = true;
    stream->is_socket = read_fd >= 0 && write_fd >= 0;
    stream->read_fd = read_fd;
    stream->write_fd = write_fd;
    stream->end_byte = -1;
    stream->credit = RELAY_WINDOW;
    stream->peer_closed = write_fd < 0;
}

unsigned relay_free_stream(const struct relay *relay)
{
    const unsigned first = STDERR_FILENO + 1, count = WIRE_STREAMS - first;
    for (unsigned i = 0; i < count; i++) {
        unsigned number = first + (relay->last_opened + 1 - first + i) % count;
        if (!relay->streams[number].is_open)
            return number;
    }
    return 0;
}

bool relay_may_open(const struct relay *relay, unsigned number)
{
    const struct relay_stream *stream = &relay->streams[number];
    return number > STDERR_FILENO && (!stream->is_open || (stream->read_fd < 0 && stream->peer_closed));
}

/* --- to the other side --- */

/*
 * There is room: bytes of streams leave half of the buffer to the other frames, of which few can wait. Were it full
 * all the same, a frame would be lost and the other side could make no sense of the rest; so it is the channel that
 * is given up then.
 */
void relay_send(struct relay *relay, enum wire_type type, unsigned stream, const void *payload, size_t length)
{
    const struct wire_frame frame = {.type = type, .stream = stream, .payload = payload, .length = length};
    size_t added = wire_encode(relay->out + relay->out_length, sizeof relay->out - relay->out_length, &frame);
    if (added == 0)
        shutdown(relay->channel, SHUT_RDWR);
    relay->out_length += added;
}

void relay_send_number(struct relay *relay, enum wire_type type, unsigned stream, uint32_t number)
{
    uint8_t payload[4];
    wire_put_number(payload, sizeof payload, number);
    relay_send(relay, type, stream, payload, sizeof payload);
}

static bool has_room_for_data(const struct relay *relay)
{
    return relay->out_length < sizeof relay->out / 2;
}

static enum relay_state flush(struct relay *relay)
{
    while (relay->out_length > 0) {
        ssize_t written = write(relay->channel, relay->out, relay->out_length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 && errno == EAGAIN ? RELAY_GOES_ON : RELAY_ENDED;
        relay->out_length -= (size_t)written;
        memmove(relay->out, relay->out + written, relay->out_length);
    }
    return RELAY_GOES_ON;
}

/* --- streams --- */

/* A stream that ended both ways makes room for another. */
static void end_if_over(struct relay_stream *stream)
{
    if (stream->read_fd < 0 && stream->write_fd < 0 && stream->peer_closed)
        stream->is_open = false;
}

static void finish_reading(struct relay *relay, unsigned number)
{
    struct relay_stream *stream = &relay->streams[number];
    if (stream->read_fd < 0)
        return;
    close_end(&stream->read_fd);
    relay_send(relay, WIRE_CLOSE, number, NULL, 0);
    end_if_over(stream);
}

static void read_stream(struct relay *relay, unsigned number)
{
    struct relay_stream *stream = &relay->streams[number];
    uint8_t bytes[WIRE_PAYLOAD_MAX];
    size_t most = stream->credit < sizeof bytes ? stream->credit : sizeof bytes;
    ssize_t got = read(stream->read_fd, bytes, most);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) { /* a terminal and a debugger that are gone say so with an error */
        finish_reading(relay, number);
        return;
    }
    stream->credit -= (uint32_t)got;
    relay_send(relay, WIRE_DATA, number, bytes, (size_t)got);
}

/* All is written that came: say the end. */
static void finish_writing(struct relay_stream *stream)
{
    if (stream->write_fd < 0)
        return;
    const uint8_t end_byte = (uint8_t)stream->end_byte;
    if (stream->end_byte >= 0 && write(stream->write_fd, &end_byte, 1) < 0)
        stream->write_error = errno;
    if (stream->is_socket)
        shutdown(stream->write_fd, SHUT_WR); /* the other descriptor may still be open for reading */
    close_end(&stream->write_fd);
    end_if_over(stream);
}

static void fail_writing(struct relay *relay, unsigned number, int error)
{
    struct relay_stream *stream = &relay->streams[number];
    stream->write_error = error;
    stream->held = 0;
    close_end(&stream->write_fd);
    if (!stream->peer_closed)
        relay_send(relay, WIRE_BROKEN, number, NULL, 0);
    end_if_over(stream);
}

static void write_stream(struct relay *relay, unsigned number)
{
    struct relay_stream *stream = &relay->streams[number];
    size_t part = RELAY_WINDOW - stream->first < stream->held ? RELAY_WINDOW - stream->first : stream->held;
    part = part < PIPE_BUF ? part : PIPE_BUF; /* what a pipe that polls as writable takes at once */
    ssize_t written = write(stream->write_fd, stream->buffer + stream->first, part);
    if (written < 0 && errno != EINTR && errno != EAGAIN)
        fail_writing(relay, number, errno);
    if (written < 0)
        return;
    stream->first = (stream->first + (size_t)written) % RELAY_WINDOW;
    stream->held -= (size_t)written;
    stream->unclaimed += (uint32_t)written;
    if (stream->peer_closed && stream->held == 0)
        finish_writing(stream);
}

/* Credit is given in large parts, or when all is written: fewer frames. */
static void give_credit(struct relay *relay, unsigned number)
{
    struct relay_stream *stream = &relay->streams[number];
    if (!stream->is_open || stream->peer_closed || stream->unclaimed == 0 || !has_room_for_data(relay))
        return;
    if (stream->held == 0 || stream->unclaimed >= RELAY_WINDOW / 2) {
        relay_send_number(relay, WIRE_CREDIT, number, stream->unclaimed);
        stream->unclaimed = 0;
    }
}

/* --- from the other side --- */

static bool take_data(struct relay_stream *stream, const struct wire_frame *frame)
{
    if (stream->peer_closed || frame->length > RELAY_WINDOW - stream->held)
        return false;
    stream->received += frame->length;
    if (stream->write_fd < 0) /* it was sent before the other side knew */
        return true;
    for (size_t i = 0; i < frame->length; i++)
        stream->buffer[(stream->first + stream->held + i) % RELAY_WINDOW] = frame->payload[i];
    stream->held += frame->length;
    return true;
}

static bool take_credit(struct relay_stream *stream, const struct wire_frame *frame)
{
    uint64_t more = wire_get_number(frame->payload, frame->length);
    if (more > RELAY_WINDOW - stream->credit)
        return false;
    stream->credit += (uint32_t)more;
    return true;
}

static bool take_close(struct relay_stream *stream)
{
    if (stream->peer_closed)
        return false;
    stream->peer_closed = true;
    if (stream->held == 0)
        finish_writing(stream);
    end_if_over(stream);
    return true;
}

static bool take_frame(struct relay *relay, const struct wire_frame *frame)
{
    struct relay_stream *stream = &relay->streams[frame->stream];
    bool is_of_stream = frame->type <= WIRE_BROKEN;
    if (!is_of_stream)
        return relay->take_frame(relay->ctx, frame);
    if (!stream->is_open) /* the last words about one that ended meanwhile */
        return frame->type == WIRE_CREDIT || frame->type == WIRE_BROKEN;
    switch (frame->type) {
    case WIRE_DATA:
        return take_data(stream, frame);
    case WIRE_CREDIT:
        return take_credit(stream, frame);
    case WIRE_CLOSE:
        return take_close(stream);
    default:
        finish_reading(relay, frame->stream);
        return true;
    }
}

static enum relay_state take_frames(struct relay *relay)
{
    struct wire_frame frame;
    size_t at = 0;
    int used;
    while ((used = wire_decode(relay->in + at, relay->in_length - at, &frame)) > 0) {
        if (!take_frame(relay, &frame))
            return RELAY_NONSENSE;
        at += (size_t)used;
    }
    relay->in_length -= at;
    memmove(relay->in, relay->in + at, relay->in_length);
    return used < 0 ? RELAY_NONSENSE : RELAY_GOES_ON;
}

static enum relay_state read_channel(struct relay *relay)
{
    ssize_t got = read(relay->channel, relay->in + relay->in_length, sizeof relay->in - relay->in_length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return RELAY_GOES_ON;
    if (got <= 0)
        return RELAY_ENDED;
    relay->in_length += (size_t)got;
    return take_frames(relay);
}

/* --- both --- */

void relay_prepare_poll(const struct relay *relay, struct pollfd *fds)
{
    bool may_read = has_room_for_data(relay);
    fds[0] = (struct pollfd){.fd = relay->channel, .events = POLLIN};
    if (relay->out_length > 0)
        fds[0].events |= POLLOUT;
    for (unsigned i = 0; i < WIRE_STREAMS; i++) {
        const struct relay_stream *stream = &relay->streams[i];
        bool reads = stream->is_open && !stream->pauses && stream->credit > 0 && may_read;
        bool writes = stream->is_open && stream->held > 0;
        fds[1 + 2 * i] = (struct pollfd){.fd = reads ? stream->read_fd : -1, .events = POLLIN};
        fds[2 + 2 * i] = (struct pollfd){.fd = writes ? stream->write_fd : -1, .events = POLLOUT};
    }
}

enum relay_state relay_serve(struct relay *relay, const struct pollfd *fds)
{
    enum relay_state state = RELAY_GOES_ON;
    for (unsigned i = 0; i < WIRE_STREAMS; i++) {
        if (fds[1 + 2 * i].revents != 0 && has_room_for_data(relay))
            read_stream(relay, i);
        if (fds[2 + 2 * i].revents != 0)
            write_stream(relay, i);
        give_credit(relay, i);
    }
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        state = read_channel(relay);
    return state == RELAY_GOES_ON ? flush(relay) : state;
}

bool relay_has_sent(const struct relay *relay)
{
    return relay->out_length == 0;
}

bool relay_has_written(const struct relay *relay, unsigned stream)
{
    return !relay->streams[stream].is_open || relay->streams[stream].held == 0;
}
