#include "fake_debugger.h"

#include "packets/dispatch.h"
#include "session/breakpoint_should_stop.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_debugger *fake_debugger_new(unsigned count)
{
    struct fake_debugger *debugger = malloc(sizeof *debugger);

    if (debugger == NULL)
        return NULL;
    fake_target_init(&debugger->fake, count);
    gdb_machines_init(&debugger->machines, &debugger->fake.target, debugger->list, count, false,
                      gdb_breakpoint_should_stop);
    debugger->input_length = debugger->output_length = debugger->text_length = 0;
    debugger->reply_count = 0;
    return debugger;
}

void fake_debugger_free(struct fake_debugger *debugger)
{
    gdb_machines_free(&debugger->machines);
    free(debugger);
}

int fake_debugger_of_one(void **state)
{
    *state = fake_debugger_new(1);
    return *state ? 0 : -1;
}

int fake_debugger_of_two(void **state)
{
    *state = fake_debugger_new(2);
    return *state ? 0 : -1;
}

int fake_debugger_tear_down(void **state)
{
    fake_debugger_free(*state);
    return 0;
}

void fake_debugger_raw(struct fake_debugger *debugger, const void *bytes, size_t length)
{
    if (length > FAKE_INPUT_MAX - debugger->input_length)
        abort();
    memcpy(debugger->input + debugger->input_length, bytes, length);
    debugger->input_length += length;
}

void fake_debugger_binary_packet(struct fake_debugger *debugger, const void *payload, size_t length)
{
    const unsigned char *bytes = payload;
    char trailer[5];
    unsigned sum = 0;

    fake_debugger_raw(debugger, "$", 1);
    for (size_t i = 0; i < length; i++) {
        char escaped[2] = {'}', (char)(bytes[i] ^ 0x20)};
        bool special = bytes[i] == '#' || bytes[i] == '$' || bytes[i] == '}' || bytes[i] == '*';

        sum += special ? (unsigned)'}' + (bytes[i] ^ 0x20u) : bytes[i];
        fake_debugger_raw(debugger, special ? escaped : (const char *)bytes + i, special ? 2 : 1);
    }
    snprintf(trailer, sizeof trailer, "#%02x+", sum & 0xff);
    fake_debugger_raw(debugger, trailer, 4);
}

void fake_debugger_packet(struct fake_debugger *debugger, const char *payload)
{
    fake_debugger_binary_packet(debugger, payload, strlen(payload));
}

static void put_text(struct fake_debugger *debugger, char c)
{
    if (debugger->text_length == FAKE_OUTPUT_MAX)
        abort();
    debugger->texts[debugger->text_length++] = c;
}

/* Undo runs, then escapes, of a payload. */
static void decode(struct fake_debugger *debugger, const char *payload, size_t length)
{
    size_t start = debugger->text_length, end;

    for (size_t i = 0; i < length; i++) {
        if (payload[i] != '*' || i == 0 || i + 1 == length) {
            put_text(debugger, payload[i]);
            continue;
        }
        for (int repeats = payload[++i] - 29; repeats > 0; repeats--)
            put_text(debugger, debugger->texts[debugger->text_length - 1]);
    }
    end = debugger->text_length;
    debugger->text_length = start;
    for (size_t i = start; i < end; i++) {
        bool escape = debugger->texts[i] == '}' && i + 1 < end;

        i += escape;
        debugger->texts[debugger->text_length++] = (char)(debugger->texts[i] ^ (escape ? 0x20 : 0));
    }
    put_text(debugger, '\0');
}

/* The next packet or notification, NULL if there is none. */
static const char *find_packet(const char *at, const char *end)
{
    while (at < end && *at != '$' && *at != '%')
        at++;
    return at < end ? at : NULL;
}

/* Take the packets out of the output. */
static void take_replies(struct fake_debugger *debugger)
{
    const char *at = debugger->output, *end = at + debugger->output_length;

    debugger->reply_count = 0;
    debugger->text_length = 0;
    while ((at = find_packet(at, end))) {
        const char *payload = at + (*at == '$'), *hash = memchr(at, '#', (size_t)(end - at));
        struct fake_reply *reply = &debugger->replies[debugger->reply_count];
        unsigned sum = 0;

        if (hash == NULL || end - hash < 3 || debugger->reply_count == FAKE_REPLIES_MAX)
            abort();
        for (const char *byte = at + 1; byte < hash; byte++)
            sum += (unsigned char)*byte;
        reply->checksum_ok = strtoul((char[]){hash[1], hash[2], '\0'}, NULL, 16) == (sum & 0xff);
        reply->text = debugger->texts + debugger->text_length;
        decode(debugger, payload, (size_t)(hash - payload));
        reply->length = (size_t)(debugger->texts + debugger->text_length - 1 - reply->text);
        debugger->reply_count++;
        at = hash + 3;
    }
}

static void rewind_with(int fd, const char *bytes, size_t length)
{
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)
        abort();
}

static void run_session(struct fake_debugger *debugger, int in)
{
    int out = memfd_create("out", MFD_CLOEXEC);
    const struct gdb_session_options options = {
        .dispatch = gdb_dispatch, .in_fd = in, .out_fd = out, .stop_fd = -1, .pending_fd = -1};

    debugger->input_length = 0;
    debugger->end = gdb_session_run(&debugger->session, &debugger->machines, &options);
    ssize_t got = pread(out, debugger->output, FAKE_OUTPUT_MAX, 0);
    if (got < 0)
        abort();
    debugger->output_length = (size_t)got;
    close(in);
    close(out);
    take_replies(debugger);
}

void fake_debugger_run(struct fake_debugger *debugger)
{
    int in = memfd_create("in", MFD_CLOEXEC);

    rewind_with(in, debugger->input, debugger->input_length);
    run_session(debugger, in);
}

/* A socket that keeps the bounds of what is sent: the stub's end, and in *other the debugger's. */
static int open_pieces(int *other)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    *other = ends[1];
    return ends[0];
}

static void send_piece(int to, const char *bytes, size_t length)
{
    if (send(to, bytes, length, MSG_DONTWAIT) != (ssize_t)length)
        abort();
}

void fake_debugger_run_by_packets(struct fake_debugger *debugger)
{
    const char *at = debugger->input, *end = at + debugger->input_length;
    int other, in = open_pieces(&other);

    while (at < end) {
        const char *hash = *at == '$' ? memchr(at, '#', (size_t)(end - at)) : NULL;
        const char *next = hash != NULL ? hash + 4 : at + 1;

        send_piece(other, at, (size_t)(next - at));
        at = next;
    }
    close(other);
    run_session(debugger, in);
}

void fake_debugger_run_in_pieces(struct fake_debugger *debugger, size_t first, size_t rest)
{
    int other, in = open_pieces(&other);

    for (size_t at = 0, piece = first; at < debugger->input_length; at += piece, piece = rest) {
        size_t left = debugger->input_length - at;

        piece = piece == 0 || piece > left ? left : piece;
        send_piece(other, debugger->input + at, piece);
    }
    close(other);
    run_session(debugger, in);
}

const char *fake_debugger_ask(struct fake_debugger *debugger, const char *features, const char *payload)
{
    char supported[256];

    snprintf(supported, sizeof supported, "qSupported:%s", features);
    fake_debugger_packet(debugger, supported);
    fake_debugger_packet(debugger, payload);
    fake_debugger_run(debugger);
    return debugger->reply_count > 1 ? fake_debugger_last(debugger, 0)->text : "";
}

void fake_debugger_expect(struct fake_debugger *debugger, const char *features, const char *payload, const char *reply)
{
    const char *got = fake_debugger_ask(debugger, features, payload);

    if (strcmp(got, reply) != 0)
        fail_msg("%s: got \"%s\", not \"%s\"", payload, got, reply);
}

void fake_debugger_expect_each(struct fake_debugger *debugger, const char *features, const struct fake_exchange *list,
                               size_t count)
{
    for (size_t i = 0; i < count; i++)
        fake_debugger_expect(debugger, features, list[i].packet, list[i].reply);
}

void fake_debugger_expect_session(struct fake_debugger *debugger, const struct fake_exchange *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fake_debugger_packet(debugger, list[i].packet);
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, count);
    for (size_t i = 0; i < count; i++) {
        if (list[i].reply != NULL && strcmp(debugger->replies[i].text, list[i].reply) != 0)
            fail_msg("%s: got \"%s\", not \"%s\"", list[i].packet, debugger->replies[i].text, list[i].reply);
    }
}

const struct fake_reply *fake_debugger_last(const struct fake_debugger *debugger, unsigned back)
{
    static const struct fake_reply none = {"(no reply)", 10, true};

    return back < debugger->reply_count ? &debugger->replies[debugger->reply_count - 1 - back] : &none;
}
