#include "anywhere_gdb.h"

#include "anywhere.h"
#include "anywhere_start.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum mh_status anywhere_gdb_open(struct anywhere_gdb *gdb, const struct options *options, struct mh_error *err)
{
    size_t count = options->gdb_all ? 1 : options->guests.count;
    *gdb = (struct anywhere_gdb){0};
    if (!options->gdb || options->gdb_endpoint.transport == MH_GDB_STDIO)
        return MH_OK;
    if (count > START_LISTENERS_MAX)
        return mh_fail(err, MH_ERR_HOST, "--anywhere lets debuggers come to %u places at most; use --gdb-all",
                       START_LISTENERS_MAX);
    gdb->listeners = calloc(count, sizeof *gdb->listeners);
    if (gdb->listeners == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %zu listeners", count);
    for (; gdb->count < count; gdb->count++) {
        const struct mh_gdb_endpoint endpoint =
            options->gdb_all ? options->gdb_endpoint : options_gdb_endpoint(options, gdb->count + 1);
        enum mh_status status = mh_gdb_listen(&endpoint, &gdb->listeners[gdb->count], err);
        if (status != MH_OK)
            return status;
    }
    return MH_OK;
}

void anywhere_gdb_close(struct anywhere_gdb *gdb)
{
    for (size_t i = 0; i < gdb->count; i++)
        mh_gdb_close(&gdb->listeners[i]);
    free(gdb->listeners);
}

void anywhere_gdb_tell(const struct anywhere_gdb *gdb, FILE *to)
{
    for (size_t i = 0; i < gdb->count; i++) {
        const struct mh_gdb_endpoint *endpoint = &gdb->listeners[i].endpoint;
        fprintf(to, START_GDB_VARIABLE "%zu=%s", i + 1, gdb->listeners[i].beyond_host ? "!" : "");
        if (endpoint->transport == MH_GDB_UNIX)
            fprintf(to, "unix:%s", endpoint->path);
        else
            fprintf(to, strchr(endpoint->host, ':') != NULL ? "[%s]:%u" : "%s:%u", endpoint->host, endpoint->port);
        fputc('\0', to);
    }
}

bool anywhere_inherit_listener(size_t number, struct mh_gdb_listener *listener)
{
    char name[sizeof START_GDB_VARIABLE + 24];
    struct mh_error ignored;
    snprintf(name, sizeof name, START_GDB_VARIABLE "%zu", number);
    const char *place = getenv(name);
    if (place == NULL)
        return false;
    *listener = (struct mh_gdb_listener){.fd = START_GDB_FD + (int)number - 1, .beyond_host = place[0] == '!'};
    fcntl(listener->fd, F_SETFD, FD_CLOEXEC);
    return mh_gdb_parse_endpoint(place + (place[0] == '!'), &listener->endpoint, &ignored) == MH_OK;
}

void anywhere_gdb_accept(const struct anywhere_gdb *gdb, size_t number, struct relay *relay)
{
    const int yes = 1;
    int fd = accept4(gdb->listeners[number].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    unsigned stream = relay_free_stream(relay);
    if (fd < 0)
        return;
    if (stream == 0) { /* the one that is served has its stream; who else comes is refused inside as well */
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* fails on a UNIX socket, which needs no such thing */
    relay_open(relay, stream, fd, fcntl(fd, F_DUPFD_CLOEXEC, 0));
    relay_send_number(relay, WIRE_OPEN, stream, (uint32_t)number);
}
