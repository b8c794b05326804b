#include "hostile_client.h"

#include "fake_target.h"
#include "mh/gdbstub.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 4u
#define PACKET_MAX 4096u
#define FLOOD_MAX 0x10000u
#define IN_VAIN_MAX 100u
/* And uses of its descriptors, once the server is to end: it may first answer 16 packets in 17 pieces each. */
#define LOOKS_AFTER_END 1000u
#define SMALL_BUFFER 4096

/* What a client expects next of the server. */
enum expecting { FRAME, PAYLOAD, FIRST_DIGIT, SECOND_DIGIT };

struct client {
    int fd; /* -1: not connected */
    enum expecting expecting;
    unsigned char sum;
    char digit;
};

struct hostile {
    const char *at, *end; /* of the script */
    struct client clients[CLIENTS];
    struct client *current;
    struct client *flooding; /* NULL: none is */
    char flood[FLOOD_MAX];   /* the packet again and again, so that a lot of it fits a socket buffer */
    size_t flood_length, flooded;
    bool small;
    bool is_out_of_descriptors;
    unsigned accepted_in_vain;
    unsigned looks_after_end;
    struct mh_gdb_listener listener;
    int stop_fd;
    struct fake_target fake;
};

/* The run in progress, which the wrapped calls belong to. */
static struct hostile *hostile;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
ssize_t __real_recv(int fd, void *to, size_t room, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t room, int flags);
ssize_t __real_send(int fd, const void *from, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t length, int flags);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

static void expect(bool is_right, const char *what)
{
    if (is_right)
        return;
    fprintf(stderr, "hostile client: %s\n", what);
    abort();
}

/* --- what the server sends --- */

static void check_byte(struct client *client, char byte)
{
    char digits[3] = {client->digit, byte, '\0'};

    switch (client->expecting) {
    case FRAME:
        expect(byte == '+' || byte == '-' || byte == '$', "the server sent what is no frame");
        client->expecting = byte == '$' ? PAYLOAD : FRAME;
        client->sum = 0;
        break;
    case PAYLOAD:
        expect(byte != '$', "the server sent a '$' within a packet");
        client->expecting = byte == '#' ? FIRST_DIGIT : PAYLOAD;
        client->sum += (unsigned char)byte;
        break;
    case FIRST_DIGIT:
        client->digit = byte;
        client->expecting = SECOND_DIGIT;
        break;
    case SECOND_DIGIT:
        expect(strtoul(digits, NULL, 16) == (unsigned char)(client->sum - '#'), "the server sent a wrong checksum");
        client->expecting = FRAME;
        break;
    }
}

/* Take at most `most` bytes that are there. */
static void take(struct client *client, size_t most)
{
    char bytes[4096];
    ssize_t got = 1;

    while (most > 0 && got > 0) {
        got = __real_recv(client->fd, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++)
            check_byte(client, bytes[i]);
        most -= got > 0 ? (size_t)got : 0;
    }
}

/* --- what the clients send --- */

static void send_bytes(const struct client *client, const char *bytes, size_t length)
{
    if (client->fd >= 0)
        __real_send(client->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL); /* what does not fit is cut off */
}

static size_t frame(char packet[PACKET_MAX], const char *text, size_t length)
{
    unsigned char sum = 0;

    length = length < PACKET_MAX - 6 ? length : PACKET_MAX - 6;
    packet[0] = '$';
    memcpy(packet + 1, text, length);
    for (size_t i = 0; i < length; i++)
        sum += (unsigned char)text[i];
    snprintf(packet + 1 + length, 4, "#%02x", sum);
    return length + 4;
}

static void send_packet(const struct client *client, const char *text, size_t length)
{
    char packet[PACKET_MAX];

    send_bytes(client, packet, frame(packet, text, length));
}

static void begin_flood(struct hostile *run, const char *text, size_t length)
{
    char packet[PACKET_MAX];

    length = frame(packet, text, length);
    packet[length++] = '+'; /* or all but the first would be retransmissions */
    run->flooding = run->current;
    run->flood_length = run->flooded = 0;
    for (; run->flood_length + length <= FLOOD_MAX; run->flood_length += length)
        memcpy(run->flood + run->flood_length, packet, length);
}

static void keep_flooding(struct hostile *run)
{
    ssize_t sent;

    if (run->flooding == NULL || run->flooding->fd < 0)
        return;
    take(run->flooding, SIZE_MAX);
    do {
        sent = __real_send(run->flooding->fd, run->flood + run->flooded, run->flood_length - run->flooded,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            run->flooded = (run->flooded + (size_t)sent) % run->flood_length;
    } while (sent > 0);
}

/* --- coming and going --- */

static void connect_client(const struct hostile *run, struct client *client)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;

    if (client->fd >= 0)
        return;
    *client = (struct client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    expect(client->fd >= 0 && getsockname(run->listener.fd, (struct sockaddr *)&address, &length) == 0, "no socket");
    if (connect(client->fd, (const struct sockaddr *)&address, length) < 0) { /* the queue is full, or no one is left */
        close(client->fd);
        client->fd = -1;
    }
}

static void close_client(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

/* --- the script --- */

static void play(struct hostile *run, const char *line, size_t length)
{
    struct client *client = run->current;

    switch (length > 0 ? line[0] : '\0') {
    case '0':
    case '1':
    case '2':
    case '3':
        run->current = &run->clients[line[0] - '0'];
        connect_client(run, run->current);
        break;
    case '$':
        send_packet(client, line + 1, length - 1);
        break;
    case '=':
        send_bytes(client, line + 1, length - 1);
        break;
    case '^':
        send_bytes(client, "\x03", 1);
        break;
    case '*':
        begin_flood(run, line + 1, length - 1);
        break;
    case '<':
        take(client, client->fd >= 0 ? SIZE_MAX : 0);
        break;
    case '/':
        take(client, client->fd >= 0 ? 64 : 0);
        break;
    case 'h':
        shutdown(client->fd, SHUT_WR);
        break;
    case 'x':
        close_client(client);
        break;
    case 'e':
        run->is_out_of_descriptors = !run->is_out_of_descriptors;
        break;
    default:
        break;
    }
}

/* The server looks at its descriptors or uses one: that is when its clients do something. */
static void take_turn(struct hostile *run)
{
    const char *line = run->at, *end;

    keep_flooding(run);
    if (line == run->end) {
        eventfd_write(run->stop_fd, 1);
        expect(++run->looks_after_end < LOOKS_AFTER_END, "the server does not end when it is asked to");
        return;
    }
    end = memchr(line, '\n', (size_t)(run->end - line));
    end = end != NULL ? end : run->end;
    run->at = end < run->end ? end + 1 : end;
    play(run, line, (size_t)(end - line));
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    int ready;

    do {
        if (hostile != NULL)
            take_turn(hostile);
        ready = __real_poll(fds, count, hostile != NULL ? 0 : timeout);
    } while (hostile != NULL && ready == 0 && timeout != 0);
    return ready;
}

ssize_t __wrap_recv(int fd, void *to, size_t room, int flags)
{
    if (hostile != NULL)
        take_turn(hostile);
    return __real_recv(fd, to, room, flags);
}

ssize_t __wrap_send(int fd, const void *from, size_t length, int flags)
{
    if (hostile != NULL)
        take_turn(hostile);
    return __real_send(fd, from, length, flags);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int accepted, size = SMALL_BUFFER;

    if (hostile != NULL && hostile->is_out_of_descriptors) {
        expect(++hostile->accepted_in_vain < IN_VAIN_MAX, "the server spins while it cannot accept");
        errno = EMFILE;
        return -1;
    }
    accepted = __real_accept4(fd, address, length, flags);
    if (accepted >= 0 && hostile != NULL && hostile->small)
        setsockopt(accepted, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return accepted;
}

/* --- the run --- */

/* A socket with a name that the kernel makes up. */
static int listening_socket(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    expect(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family) == 0 &&
               listen(fd, CLIENTS) == 0,
           "no socket to listen on");
    return fd;
}

static struct hostile *begin(const char *script, size_t length, struct mh_gdb_options *options)
{
    struct hostile *run = calloc(1, sizeof *run);
    unsigned choice = length > 0 ? (unsigned char)script[0] : 0;

    expect(run != NULL, "no memory");
    run->at = script + (length > 0);
    run->end = script + length;
    run->small = choice & 0x40;
    run->current = run->clients;
    for (unsigned i = 0; i < CLIENTS; i++)
        run->clients[i].fd = -1;
    run->listener = (struct mh_gdb_listener){.endpoint.transport = MH_GDB_UNIX, .fd = listening_socket()};
    run->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fake_target_init(&run->fake, 1 + (choice & 3));
    *options = (struct mh_gdb_options){.hold_at_exit = choice & 4,
                                       .start_running = choice & 8,
                                       .lost = (enum mh_gdb_lost)((choice >> 4 & 3) % 3),
                                       .stop_fd = run->stop_fd};
    return run;
}

static void end(struct hostile *run)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        close_client(&run->clients[i]);
    for (unsigned vm = 1; vm <= run->fake.count; vm++)
        expect(!fake_machine(&run->fake, vm)->running, "a machine was left running");
    close(run->listener.fd);
    close(run->stop_fd);
    free(run);
}

/* The descriptor that would be opened next: the same again when none was left open. */
static int next_descriptor(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    close(fd);
    return fd;
}

void hostile_client_run(const void *script, size_t length)
{
    int descriptor = next_descriptor();
    struct mh_gdb_options options;
    struct hostile *run = begin(script, length, &options);
    struct mh_error err = {.text = ""};

    hostile = run;
    enum mh_status status = mh_gdb_serve(&run->listener, &run->fake.target, &options, &err);
    hostile = NULL;
    expect(status == MH_OK || status == MH_ERR_INTERRUPTED, err.text);
    end(run);
    expect(next_descriptor() == descriptor, "a descriptor was left open");
}
