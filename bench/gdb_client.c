/*
 * gdb_client ROUNDS SERVER...: a debugger that only measures. It connects to all servers, given as NAME:PORT:BASE:KIND
 * (where the guest of guests/loop.S lies, and the kind of breakpoint to set there), and takes every measurement on all
 * of them in turn, ROUNDS times, printing a line "MEASUREMENT NAME VALUE" each: things a second, or "none" when the
 * server cannot do that. Acknowledgements are off, as with a real gdb.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 8
#define BUFFER_SIZE 0x80000
#define SECONDS 0.06 /* a measurement */
#define ROUND 1002   /* instructions between two ends of the range */

#define OFFSET_BREAKPOINT 0x5
#define OFFSET_RANGE_END 0xf
#define OFFSET_DATA 0x10000
#define DATA_MAX 0x10000u

/* A condition that is true once in so many hits: eax counts the breakpoint's instruction. (eax & 0x3fff) == 0 */
#define CONDITION ";X9,260000233fff0f0e27"
#define HITS 16384

struct server {
    const char *name;
    int fd;
    uint64_t base;
    char kind;          /* of breakpoints: the digit of Z0 or Z1 */
    size_t packet_size; /* of payload it takes */
    bool evaluates;     /* conditions of breakpoints */
    char *payload;      /* of the last reply, in `buffer`, ended by a null byte */
    size_t length;
    char buffer[BUFFER_SIZE];
    char packet[BUFFER_SIZE];
    size_t packet_length;
    size_t piece; /* bytes of memory the packet is about */
    uint8_t data[DATA_MAX];
};

static void fail(const struct server *server, const char *what)
{
    fprintf(stderr, "gdb_client: %s: ", server->name);
    perror(what);
    exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- packets ---- */

static void send_bytes(struct server *server, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(server->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0)
            fail(server, "send");
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Frame the `length` bytes in `packet` from its second byte on. */
static void frame(struct server *server, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum = 0;
    for (size_t i = 1; i <= length; i++)
        sum = (uint8_t)(sum + (uint8_t)server->packet[i]);
    server->packet[0] = '$';
    server->packet[length + 1] = '#';
    server->packet[length + 2] = digits[sum >> 4];
    server->packet[length + 3] = digits[sum & 15];
    server->packet_length = length + 4;
}

static void send_packet(struct server *server, size_t length)
{
    frame(server, length);
    send_bytes(server, server->packet, server->packet_length);
}

/* Receive a packet; the servers send nothing unasked, so it is the last in the buffer. */
static void receive(struct server *server)
{
    size_t length = 0, looked_at = 0;
    const char *hash = NULL;
    while (hash == NULL || server->buffer + length < hash + 3) {
        ssize_t got = recv(server->fd, server->buffer + length, BUFFER_SIZE - length, 0);
        if (got <= 0)
            fail(server, "recv");
        length += (size_t)got;
        if (hash == NULL)
            hash = memchr(server->buffer + looked_at, '#', length - looked_at);
        looked_at = length;
    }
    server->payload = memchr(server->buffer, '$', length);
    if (server->payload++ == NULL)
        fail(server, "no packet");
    server->length = (size_t)(hash - server->payload);
    server->payload[server->length] = '\0';
}

/* What debuggers print while machines run is not what is waited for. */
static void receive_reply(struct server *server)
{
    do
        receive(server);
    while (server->payload[0] == 'O' && strcmp(server->payload, "OK") != 0);
}

static void ask(struct server *server, const char *text)
{
    size_t length = strlen(text);
    memcpy(server->packet + 1, text, length);
    send_packet(server, length);
    receive_reply(server);
}

static void ask_at(struct server *server, const char *command, uint64_t address, const char *rest)
{
    char text[128];
    snprintf(text, sizeof text, "%s%lx%s", command, address, rest);
    ask(server, text);
}

static void ask_breakpoint_with(struct server *server, char command, const char *rest)
{
    const char text[] = {command, server->kind, ',', '\0'};
    ask_at(server, text, server->base + OFFSET_BREAKPOINT, rest);
}

static void ask_breakpoint(struct server *server, char command)
{
    ask_breakpoint_with(server, command, ",1");
}

static bool refused(const struct server *server)
{
    return server->length == 0 || server->payload[0] == 'E';
}

/* The length of the reply with runs undone: byte, '*', count + 29. */
static size_t expanded_length(const struct server *server)
{
    const char *at = server->payload, *end = at + server->length;
    size_t length = server->length;
    while ((at = memchr(at, '*', (size_t)(end - at))) != NULL && at + 1 < end) {
        length += (size_t)(at[1] - 29) - 2;
        at += 2;
    }
    return length;
}

/* The same with escapes undone. */
static size_t unescaped_length(const struct server *server)
{
    const char *at = server->payload, *end = at + server->length;
    size_t length = expanded_length(server);
    while ((at = memchr(at, '}', (size_t)(end - at))) != NULL) {
        length--;
        at += 2;
    }
    return length;
}

/* ---- connecting ---- */

static void dial(struct server *server, uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 5};
    int yes = 1;
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(server->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        fail(server, "connect");
    setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* PacketSize from the answer to qSupported, which may have runs encoded. */
static size_t told_packet_size(const struct server *server)
{
    const char *at = strstr(server->payload, "PacketSize=");
    size_t size = 0, digit = 0;
    for (at = at == NULL ? "190" : at + 11; *at != '\0' && *at != ';'; at++) {
        bool is_run = at[0] == '*' && at[1] != '\0';
        int times = is_run ? *++at - 29 : 1;
        if (!is_run)
            digit = (size_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
        while (times-- > 0)
            size = size << 4 | digit;
    }
    return size;
}

static void shake_hands(struct server *server)
{
    send_bytes(server, "+", 1);
    ask(server, "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386");
    server->packet_size = told_packet_size(server);
    server->evaluates = strstr(server->payload, "ConditionalBreakpoints+") != NULL;
    send_bytes(server, "+", 1);
    ask(server, "QStartNoAckMode");
    send_bytes(server, "+", 1);
    ask(server, "Hgp0.0");
    ask(server, "qXfer:features:read:target.xml:0,1000"); /* the registers of those who read this are all there */
    ask(server, "?");
    /* some machines start with a firmware */
    ask_breakpoint(server, 'Z');
    ask(server, "vCont;c");
    ask_breakpoint(server, 'z');
}

static struct server *connect_to(char *text)
{
    struct server *server = calloc(1, sizeof *server);
    char *rest = text;
    if (server == NULL)
        exit(EXIT_FAILURE);
    server->name = strsep(&rest, ":");
    uint16_t port = (uint16_t)strtoul(rest, &rest, 10);
    server->base = strtoul(rest + 1, &rest, 16);
    server->kind = rest[1];
    for (size_t i = 0; i < sizeof server->data; i++)
        server->data[i] = (uint8_t)(rand() >> 8);
    dial(server, port);
    shake_hands(server);
    return server;
}

/* ---- measurements: each returns how much it did, 0 when it was refused ---- */

static size_t step(struct server *server)
{
    ask(server, "vCont;s");
    return refused(server) ? 0 : 1;
}

static size_t step_and_look(struct server *server)
{
    ask(server, "vCont;s");
    ask(server, "g");
    return refused(server) ? 0 : 1;
}

static size_t step_range(struct server *server)
{
    char text[64];
    snprintf(text, sizeof text, "vCont;r%lx,%lx", server->base, server->base + OFFSET_RANGE_END);
    ask(server, text);
    return refused(server) ? 0 : ROUND;
}

/* What gdb 13 sends for a "continue" from a breakpoint to itself, but for questions not all servers know. */
static size_t break_as_gdb(struct server *server)
{
    ask(server, "vCont;s");
    ask_breakpoint(server, 'Z');
    if (refused(server))
        return 0;
    ask(server, "vCont;c");
    ask_breakpoint(server, 'z');
    ask_at(server, "m", server->base + OFFSET_BREAKPOINT, ",1");
    ask_at(server, "m", server->base + OFFSET_BREAKPOINT, ",1");
    return refused(server) ? 0 : 1;
}

static void clear_breakpoint(struct server *server)
{
    ask_breakpoint(server, 'z');
}

static size_t go_on(struct server *server)
{
    ask(server, "vCont;c");
    return refused(server) ? 0 : 1;
}

static bool set_condition(struct server *server)
{
    if (server->evaluates)
        ask_breakpoint_with(server, 'Z', ",1" CONDITION);
    return server->evaluates && !refused(server);
}

/* Some servers report the current breakpoint again, so it is stepped over. */
static size_t pass_hits(struct server *server)
{
    ask(server, "vCont;s");
    return go_on(server) > 0 ? HITS : 0;
}

static void read_piece(struct server *server, const char *command, size_t length)
{
    char rest[32];
    snprintf(rest, sizeof rest, ",%zx", length);
    ask_at(server, command, server->base + OFFSET_DATA, rest);
}

static size_t piece_of(size_t room)
{
    return room < DATA_MAX ? room : DATA_MAX;
}

static size_t read_digits(struct server *server)
{
    size_t length = piece_of((server->packet_size - 4) / 2);
    read_piece(server, "m", length);
    return expanded_length(server) == 2 * length ? length : 0;
}

static size_t read_binary(struct server *server)
{
    size_t length = piece_of(server->packet_size - 16);
    read_piece(server, "x", length);
    return !refused(server) && unescaped_length(server) == length + 1 ? length : 0;
}

/* The same packet is sent over and over, so that making it does not count. */
static size_t write_binary(struct server *server)
{
    send_bytes(server, server->packet, server->packet_length);
    receive_reply(server);
    return strcmp(server->payload, "OK") == 0 ? server->piece : 0;
}

static bool make_binary_write(struct server *server)
{
    server->piece = piece_of(server->packet_size * 9 / 10);
    size_t end = 1 + (size_t)sprintf(server->packet + 1, "X%lx,%zx:", server->base + OFFSET_DATA, server->piece);
    for (size_t i = 0; i < server->piece; i++) {
        char byte = (char)server->data[i];
        bool escape = byte == '#' || byte == '$' || byte == '}' || byte == '*';
        if (escape)
            server->packet[end++] = '}';
        server->packet[end++] = (char)(escape ? byte ^ 0x20 : byte);
    }
    frame(server, end - 1);
    return true;
}

/* Puts data where it can be read, so that memory is not all one byte; by M, which all servers know. */
static bool fill_memory(struct server *server)
{
    size_t most = (server->packet_size - 64) / 2;
    for (size_t done = 0; done < DATA_MAX;) {
        size_t length = DATA_MAX - done < most ? DATA_MAX - done : most, end;
        end = 1 + (size_t)sprintf(server->packet + 1, "M%lx,%zx:", server->base + OFFSET_DATA + done, length);
        for (size_t i = 0; i < length; i++)
            end += (size_t)sprintf(server->packet + end, "%02x", server->data[done + i]);
        send_packet(server, end - 1);
        receive_reply(server);
        done += length;
    }
    return strcmp(server->payload, "OK") == 0;
}

struct measurement {
    const char *name;
    bool (*prepare)(struct server *server); /* false: there is nothing to measure */
    size_t (*once)(struct server *server);
    void (*finish)(struct server *server);
};

static const struct measurement measurements[] = {
    {"step", NULL, step, NULL},
    {"step_and_look", NULL, step_and_look, NULL},
    {"step_range", NULL, step_range, NULL},
    {"break_as_gdb", NULL, break_as_gdb, NULL},
    {"conditions", set_condition, pass_hits, clear_breakpoint},
    {"read_digits", fill_memory, read_digits, NULL},
    {"read_binary", NULL, read_binary, NULL},
    {"write_binary", make_binary_write, write_binary, NULL},
};

static void measure(struct server *server, const struct measurement *measurement)
{
    size_t amount = 0, one = 0;
    bool works = (measurement->prepare == NULL || measurement->prepare(server)) && measurement->once(server) > 0;
    double start = now(), end = start;
    while (works && end - start < SECONDS) {
        one = measurement->once(server);
        works = one > 0;
        amount += one;
        end = now();
    }
    if (measurement->finish != NULL)
        measurement->finish(server);
    if (works)
        printf("%s %s %.9g\n", measurement->name, server->name, (double)amount / (end - start));
    else
        printf("%s %s none\n", measurement->name, server->name);
}

/* Ctrl-C until the stop reply is here, in seconds; the guest gets a moment to be running. */
static double interrupt_once(struct server *server)
{
    const size_t length = strlen("vCont;c");
    memcpy(server->packet + 1, "vCont;c", length);
    send_packet(server, length);
    usleep(500);
    double start = now();
    send_bytes(server, "\3", 1);
    receive_reply(server);
    return now() - start;
}

static void measure_interrupts(struct server *server)
{
    for (unsigned i = 0; i < 20; i++)
        printf("interrupt %s %.9g\n", server->name, interrupt_once(server));
}

/* Every measurement on every server; the order turns, so that none always comes behind the same one. */
static void measure_all(struct server **servers, size_t count, size_t round)
{
    for (size_t i = 0; i < sizeof measurements / sizeof measurements[0]; i++) {
        for (size_t j = 0; j < count; j++)
            measure(servers[(round + j) % count], &measurements[i]);
    }
    for (size_t j = 0; j < count; j++)
        measure_interrupts(servers[(round + j) % count]);
}

int main(int argc, char **argv)
{
    struct server *servers[SERVERS_MAX];
    size_t count = 0;
    if (argc < 3 || argc - 2 > SERVERS_MAX) {
        fputs("usage: gdb_client ROUNDS NAME:PORT:BASE:KIND...\n", stderr);
        return EXIT_FAILURE;
    }
    while (count < (size_t)argc - 2) {
        servers[count] = connect_to(argv[2 + count]);
        count++;
    }
    for (size_t round = 0; round < strtoul(argv[1], NULL, 0); round++)
        measure_all(servers, count, round);
    return EXIT_SUCCESS;
}
