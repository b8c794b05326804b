/*
 * Endpoints, the places where debuggers connect: parsing their text form, listening on them, and describing them to the
 * user.
 */
#include "mh/gdbstub.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8
#define PORT_DIGITS 5u

static enum mh_status endpoint_parse_port(const char *text, uint16_t *port, struct mh_error *err)
{
    unsigned long number;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > PORT_DIGITS)
        return mh_fail(err, MH_ERR_USAGE, "\"%s\" is not a port number; give [HOST:]PORT, unix:PATH or stdio", text);
    number = strtoul(text, NULL, 10);
    if (number > UINT16_MAX)
        return mh_fail(err, MH_ERR_USAGE, "port %lu is greater than %u", number, UINT16_MAX);
    *port = (uint16_t)number;
    return MH_OK;
}

static enum mh_status endpoint_parse_host(const char *from, size_t length, struct mh_gdb_endpoint *to,
                                          struct mh_error *err)
{
    /* the brackets separate the colons of an IPv6 address from that of the port */
    if (length >= 2 && from[0] == '[' && from[length - 1] == ']') {
        from++;
        length -= 2;
    } else if (memchr(from, ':', length) != NULL) {
        return mh_fail(err, MH_ERR_USAGE, "write IPv6 addresses in brackets, such as [::1]:1234");
    }
    if (length >= MH_GDB_HOST_MAX)
        return mh_fail(err, MH_ERR_USAGE, "host name too long");
    memcpy(to->host, from, length);
    return MH_OK;
}

enum mh_status mh_gdb_parse_endpoint(const char *text, struct mh_gdb_endpoint *to, struct mh_error *err)
{
    const char *colon = strrchr(text, ':');
    enum mh_status status = MH_OK;

    *to = (struct mh_gdb_endpoint){.transport = MH_GDB_TCP};
    if (strcmp(text, "stdio") == 0) {
        to->transport = MH_GDB_STDIO;
        return MH_OK;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        to->transport = MH_GDB_UNIX;
        if (text[5] == '\0' || strlen(text + 5) >= MH_GDB_PATH_MAX)
            return mh_fail(err, MH_ERR_USAGE, "the path of a UNIX socket must have 1 to %u bytes", MH_GDB_PATH_MAX - 1);
        memcpy(to->path, text + 5, strlen(text + 5));
        return MH_OK;
    }
    if (colon != NULL)
        status = endpoint_parse_host(text, (size_t)(colon - text), to, err);
    return status != MH_OK ? status : endpoint_parse_port(colon != NULL ? colon + 1 : text, &to->port, err);
}

/* --- TCP --- */

static bool address_is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static uint16_t socket_port(int fd)
{
    struct sockaddr_storage address = {0};
    in_port_t port;
    socklen_t length = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return 0;
    /* the port of an IPv6 address is at the same offset */
    memcpy(&port, (const char *)&address + offsetof(struct sockaddr_in, sin_port), sizeof port);
    return ntohs(port);
}

static int socket_set_up(int fd, sa_family_t family)
{
    const int yes = 1;

    if (family != AF_UNIX)
        return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    /* bind() gives the socket a mode that depends on the umask, but write permission means control over the machine */
    return fchmod(fd, 0600);
}

/*
 * Returns a socket that listens at the address, or -1 with errno set. It is non-blocking, because the client may be
 * gone by the time of accept().
 */
static int listen_at_address(const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;

    if (fd < 0)
        return -1;
    bool is_bound = socket_set_up(fd, address->sa_family) == 0 && bind(fd, address, length) == 0;
    if (is_bound && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    if (is_bound && address->sa_family == AF_UNIX)
        unlink(((const struct sockaddr_un *)address)->sun_path);
    close(fd);
    errno = saved;
    return -1;
}

static enum mh_status listen_tcp(struct mh_gdb_listener *listener, struct mh_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const struct mh_gdb_endpoint *endpoint = &listener->endpoint;
    struct addrinfo *found;
    char port[PORT_DIGITS + 1];

    const char *host = endpoint->host[0] ? endpoint->host : "127.0.0.1";
    snprintf(port, sizeof port, "%u", endpoint->port);
    int problem = getaddrinfo(host, port, &hints, &found);
    if (problem != 0)
        return mh_fail(err, MH_ERR_HOST, "cannot listen for a debugger on %s: %s", host, gai_strerror(problem));
    errno = EADDRNOTAVAIL;
    for (const struct addrinfo *one = found; one != NULL && listener->fd < 0; one = one->ai_next) {
        listener->fd = listen_at_address(one->ai_addr, one->ai_addrlen);
        listener->beyond_host = !address_is_loopback(one->ai_addr);
    }
    problem = errno;
    freeaddrinfo(found);
    if (listener->fd < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot listen for a debugger on %s port %s: %s%s", host, port,
                       strerror(problem), problem == EADDRINUSE ? "; port 0 selects a free one" : "");
    listener->endpoint.port = socket_port(listener->fd);
    return MH_OK;
}

/* --- UNIX sockets --- */

/* True if nothing listens on the socket at `address`: the program that created it has ended. */
static bool unix_is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* True if the path exists and is not a socket. Such a file must not be replaced because of a mistyped path. */
static bool unix_is_other_file(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 && !S_ISSOCK(info.st_mode);
}

static enum mh_status listen_unix(struct mh_gdb_listener *listener, struct mh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, listener->endpoint.path, MH_GDB_PATH_MAX);
    if (unix_is_other_file(address.sun_path))
        return mh_fail(err, MH_ERR_HOST,
                       "cannot listen for a debugger on %s: the file exists and is not a socket; choose another path",
                       address.sun_path);
    listener->fd = listen_at_address((const struct sockaddr *)&address, sizeof address);
    if (listener->fd < 0 && errno == EADDRINUSE) {
        if (unix_is_stale(&address) && unlink(address.sun_path) == 0)
            listener->fd = listen_at_address((const struct sockaddr *)&address, sizeof address);
        else
            errno = EADDRINUSE;
    }
    if (listener->fd < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot listen for a debugger on %s: %s", address.sun_path, strerror(errno));
    return MH_OK;
}

enum mh_status mh_gdb_listen(const struct mh_gdb_endpoint *endpoint, struct mh_gdb_listener *listener,
                             struct mh_error *err)
{
    *listener = (struct mh_gdb_listener){.endpoint = *endpoint, .fd = -1};
    switch (endpoint->transport) {
    case MH_GDB_TCP:
        return listen_tcp(listener, err);
    case MH_GDB_UNIX:
        return listen_unix(listener, err);
    case MH_GDB_STDIO:
        return MH_OK;
    }
    return mh_fail(err, MH_ERR_HOST, "no such transport");
}

void mh_gdb_close(struct mh_gdb_listener *listener)
{
    if (listener->fd < 0)
        return;
    close(listener->fd);
    listener->fd = -1;
    if (listener->endpoint.transport == MH_GDB_UNIX)
        unlink(listener->endpoint.path);
}

/* Nobody can connect to the address that means "every interface". */
static bool host_is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

void mh_gdb_connect_text(const struct mh_gdb_listener *listener, char text[MH_GDB_CONNECT_MAX])
{
    const struct mh_gdb_endpoint *endpoint = &listener->endpoint;
    /* not ":PORT": gdb would resolve "localhost", which not every machine knows */
    const char *host = endpoint->host[0] == '\0' || host_is_wildcard(endpoint->host) ? "127.0.0.1" : endpoint->host;

    switch (endpoint->transport) {
    case MH_GDB_TCP:
        snprintf(text, MH_GDB_CONNECT_MAX, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, endpoint->port);
        break;
    case MH_GDB_UNIX:
        snprintf(text, MH_GDB_CONNECT_MAX, "%s", endpoint->path);
        break;
    case MH_GDB_STDIO:
        snprintf(text, MH_GDB_CONNECT_MAX, "-");
        break;
    }
}
