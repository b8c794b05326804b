/*
 * gdb_floor IMAGE: the least a program has to do to answer what gdb_client.c sends, for tools/bench to compare with:
 * one receive, what KVM cannot be spared, one send of a text made before, as long as the true one. Prints the port it
 * listens on, serves one debugger and ends. The machine is that of bare.h.
 */
#include "bare.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 0x60000
#define DATA 0x10000 /* as in gdb_client.c */

struct server {
    struct bare machine;
    int connection;
    struct kvm_guest_debug armed; /* what KVM was given last */
    uint64_t breakpoint;          /* ~0: none */
    bool has_condition;           /* the one of gdb_client.c, which is not read */
    bool interrupted;             /* a Ctrl-C came along with the packet */
    uint8_t *memory;              /* of the guest, from DATA on */
    char received[BUFFER_SIZE];
    char digits[BUFFER_SIZE]; /* a packet of nothing but payload */
};

static void reply(const struct server *server, const char *packet, size_t length)
{
    bare_check(send(server->connection, packet, length, 0), "send");
}

static void reply_text(const struct server *server, const char *packet)
{
    reply(server, packet, strlen(packet));
}

/* A reply with `length` bytes of payload. */
static void reply_filled(struct server *server, size_t length)
{
    memcpy(server->digits + 1 + length, "#00", 3);
    reply(server, server->digits, length + 4);
    memset(server->digits + 1 + length, '5', 3);
}

static void reply_stop(const struct server *server)
{
    reply_text(server, "$T05thread:p1.1;6:0*,;7:f8ff1f0*&;10:050*+;11:020*+;#00");
}

static void arm(struct server *server, uint32_t control)
{
    struct kvm_guest_debug wanted = {.control = KVM_GUESTDBG_ENABLE | control};
    wanted.arch.debugreg[0] = server->breakpoint;
    wanted.arch.debugreg[7] = 0x402;
    if (memcmp(&wanted, &server->armed, sizeof wanted) == 0)
        return;
    server->armed = wanted;
    bare_check(ioctl(server->machine.vcpu, KVM_SET_GUEST_DEBUG, &wanted), "KVM_SET_GUEST_DEBUG");
}

static uint64_t enter(const struct server *server)
{
    bare_check(ioctl(server->machine.vcpu, KVM_RUN, 0), "KVM_RUN");
    return server->machine.run->s.regs.regs.rip;
}

static void step(struct server *server)
{
    arm(server, KVM_GUESTDBG_SINGLESTEP);
    enter(server);
}

static void step_range(struct server *server, const char *range)
{
    char *comma;
    uint64_t start = strtoul(range, &comma, 16), end = strtoul(comma + 1, NULL, 16), rip;
    arm(server, KVM_GUESTDBG_SINGLESTEP);
    do
        rip = enter(server);
    while (rip >= start && rip < end);
}

static bool condition_is_false(const struct server *server)
{
    return server->has_condition && (server->machine.run->s.regs.regs.rax & 0xff) != 0;
}

static void go_on(struct server *server)
{
    do {
        if (server->machine.run->s.regs.regs.rip == server->breakpoint)
            step(server);
        arm(server, KVM_GUESTDBG_USE_HW_BP);
        enter(server);
    } while (condition_is_false(server));
}

/* Nothing kicks this program out of the guest, so a wait for Ctrl-C is no more than an echo. */
static void await_interrupt(const struct server *server)
{
    char interrupt;
    if (!server->interrupted)
        bare_check(recv(server->connection, &interrupt, 1, 0), "recv");
}

static void resume(struct server *server, const char *action)
{
    if (*action == 's')
        step(server);
    else if (*action == 'r')
        step_range(server, action + 1);
    else if (server->breakpoint == ~0ul)
        await_interrupt(server);
    else
        go_on(server);
    reply_stop(server);
}

static void set_breakpoint(struct server *server, const char *address)
{
    server->breakpoint = address == NULL ? ~0ul : strtoul(address, NULL, 16);
    server->has_condition = address != NULL && strchr(address, ';') != NULL;
    reply_text(server, "$OK#9a");
}

/* Reads "ADDRESS,LENGTH" of m, x and X. */
static size_t length_of(const char *range)
{
    const char *comma = strchr(range, ',');
    return comma == NULL ? 0 : strtoul(comma + 1, NULL, 16);
}

static void write_memory(struct server *server, const char *packet)
{
    memcpy(server->memory, strchr(packet, ':') + 1, length_of(packet));
    reply_text(server, "$OK#9a");
}

static void read_memory(struct server *server, const char *packet, bool is_binary)
{
    size_t length = length_of(packet + 1);
    memcpy(server->digits + 1, server->memory, 1); /* it has to be there */
    server->digits[1] = is_binary ? 'b' : '5';
    reply_filled(server, is_binary ? length + 1 : 2 * length);
}

/* About what the true one has with its runs encoded; the start is true, for who looks whether the guest moves. */
static void reply_registers(struct server *server)
{
    sprintf(server->digits + 1, "%08llx", server->machine.run->s.regs.regs.rax);
    server->digits[9] = '5';
    reply_filled(server, 440);
}

static void answer(struct server *server, const char *packet)
{
    if (strncmp(packet, "vCont;", 6) == 0)
        resume(server, packet + 6);
    else if (*packet == 's' || *packet == 'c')
        resume(server, packet);
    else if (*packet == 'Z' || *packet == 'z')
        set_breakpoint(server, *packet == 'Z' ? packet + 3 : NULL);
    else if (*packet == 'g')
        reply_registers(server);
    else if (*packet == 'm' || *packet == 'x')
        read_memory(server, packet, *packet == 'x');
    else if (*packet == 'X')
        write_memory(server, packet);
    else if (strncmp(packet, "qSupported", 10) == 0)
        reply_text(server, "$PacketSize=20000;ConditionalBreakpoints+#00");
    else
        reply_text(server, "$OK#9a");
}

/* One packet, without acknowledgement before it: the sender waits for the reply. False at the end. */
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
    int fd = (int)bare_check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    bare_check(bind(fd, (struct sockaddr *)&address, length), "bind");
    bare_check(listen(fd, 1), "listen");
    bare_check(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static struct server *create(const char *image)
{
    struct server *server = calloc(1, sizeof *server);
    struct bare_host host = {0};
    if (server == NULL)
        exit(EXIT_FAILURE);
    bare_open(&host);
    bare_create(&server->machine, &host, image);
    server->machine.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    server->memory = server->machine.ram + DATA;
    server->breakpoint = ~0ul;
    memset(server->digits, '5', sizeof server->digits);
    server->digits[0] = '$';
    return server;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: gdb_floor IMAGE\n", stderr);
        return EXIT_FAILURE;
    }
    struct server *server = create(argv[1]);
    int yes = 1, listener = listen_somewhere();
    const char *packet;
    server->connection = (int)bare_check(accept(listener, NULL, NULL), "accept");
    setsockopt(server->connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (receive(server, &packet))
        answer(server, packet);
    return EXIT_SUCCESS;
}
