/*
 * gdb_floor: a bare exchange over the loopback device, for tools/bench to compare debugger stubs with. It answers every
 * packet that gdb_client.c sends with a reply made before, as long as the true one: one receive, one send, and no
 * machine behind them. Prints the port it listens on, serves one debugger and ends.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 0x60000
#define REGISTERS_LENGTH 440 /* what a stub that encodes runs sends for g, about */

struct server {
    int connection;
    bool has_breakpoint;
    bool interrupted; /* a Ctrl-C came along with the packet */
    char received[BUFFER_SIZE];
    char filled[BUFFER_SIZE]; /* a packet of nothing but payload */
};

static long check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
    return result;
}

static void reply(const struct server *server, const char *packet, size_t length)
{
    check(send(server->connection, packet, length, MSG_NOSIGNAL), "send");
}

static void reply_text(const struct server *server, const char *packet)
{
    reply(server, packet, strlen(packet));
}

/* A reply with `length` bytes of payload. */
static void reply_filled(struct server *server, size_t length)
{
    memcpy(server->filled + 1 + length, "#00", 3);
    reply(server, server->filled, length + 4);
    memset(server->filled + 1 + length, '5', 3);
}

/* A continue without a breakpoint waits for Ctrl-C, which is not a packet. */
static void resume(const struct server *server, bool continues)
{
    char interrupt;
    if (continues && !server->has_breakpoint && !server->interrupted)
        check(recv(server->connection, &interrupt, 1, 0), "recv");
    reply_text(server, "$T05thread:p1.1;6:0*,;7:f8ff1f0*&;10:050*+;11:020*+;#00");
}

static void set_breakpoint(struct server *server, bool is_set)
{
    server->has_breakpoint = is_set;
    reply_text(server, "$OK#9a");
}

/* Reads "ADDRESS,LENGTH" of m and x. */
static size_t length_of(const char *range)
{
    const char *comma = strchr(range, ',');
    return comma == NULL ? 0 : strtoul(comma + 1, NULL, 16);
}

static void answer(struct server *server, const char *packet)
{
    if (strncmp(packet, "vCont;", 6) == 0)
        resume(server, packet[6] == 'c');
    else if (*packet == 'Z' || *packet == 'z')
        set_breakpoint(server, *packet == 'Z');
    else if (*packet == 'g')
        reply_filled(server, REGISTERS_LENGTH);
    else if (*packet == 'm')
        reply_filled(server, 2 * length_of(packet));
    else if (*packet == 'x')
        reply_filled(server, 1 + length_of(packet));
    else if (strncmp(packet, "qSupported", 10) == 0)
        reply_text(server, "$PacketSize=20000#00");
    else
        reply_text(server, "$OK#9a");
}

/* One packet, with the acknowledgement that may come before it. False at the end. */
static bool receive(struct server *server, const char **packet)
{
    size_t length = 0;
    do {
        ssize_t got = recv(server->connection, server->received + length, BUFFER_SIZE - length - 1, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
        server->interrupted = server->received[length - 1] == '\3';
        length -= server->interrupted ? 1 : 0;
    } while (length < 4 || server->received[length - 3] != '#');
    server->received[length] = '\0';
    *packet = server->received;
    while (**packet == '+' || **packet == '$')
        ++*packet;
    return true;
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = (int)check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(bind(fd, (struct sockaddr *)&address, length), "bind");
    check(listen(fd, 1), "listen");
    check(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    struct server *server = calloc(1, sizeof *server);
    int yes = 1, listener = listen_somewhere();
    const char *packet;
    if (server == NULL)
        return EXIT_FAILURE;
    memset(server->filled, '5', sizeof server->filled);
    server->filled[0] = '$';
    server->connection = (int)check(accept(listener, NULL, NULL), "accept");
    setsockopt(server->connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (receive(server, &packet))
        answer(server, packet);
    return EXIT_SUCCESS;
}
