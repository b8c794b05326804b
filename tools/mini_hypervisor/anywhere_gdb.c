#include "anywhere_gdb.h"

#include "anywhere.h"
#include "anywhere_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum mh_status open_entrance(struct anywhere_entrance *entrance, const struct mh_gdb_endpoint *endpoint,
                                    struct mh_error *err)
{
    enum mh_status status = mh_gdb_listen(endpoint, &entrance->listener, err);
    if (status != MH_OK || gdb_door_init(&entrance->door, &entrance->listener))
        return status;
    status = mh_fail(err, MH_ERR_HOST, "no timer for a listener: %s", strerror(errno));
    mh_gdb_close(&entrance->listener);
    return status;
}

enum mh_status anywhere_gdb_open(struct anywhere_gdb *gdb, const struct options *options, struct mh_error *err)
{
    size_t count = options->gdb_all ? 1 : options->guests.count;
    *gdb = (struct anywhere_gdb){0};
    if (!options->gdb || options->gdb_endpoint.transport == MH_GDB_STDIO)
        return MH_OK;
    if (count > START_LISTENERS_MAX)
        return mh_fail(err, MH_ERR_HOST, "--anywhere lets debuggers come to %u places at most; use --gdb-all",
                       START_LISTENERS_MAX);
    gdb->entrances = calloc(count, sizeof *gdb->entrances);
    if (gdb->entrances == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %zu listeners", count);
    for (; gdb->count < count; gdb->count++) {
        const struct mh_gdb_endpoint endpoint =
            options->gdb_all ? options->gdb_endpoint : options_gdb_endpoint(options, gdb->count + 1);
        enum mh_status status = open_entrance(&gdb->entrances[gdb->count], &endpoint, err);
        if (status != MH_OK)
            return status;
    }
    return MH_OK;
}

void anywhere_gdb_close(struct anywhere_gdb *gdb)
{
    for (size_t i = 0; i < gdb->count; i++) {
        gdb_door_close(&gdb->entrances[i].door);
        mh_gdb_close(&gdb->entrances[i].listener);
    }
    free(gdb->entrances);
}

void anywhere_gdb_tell(const struct anywhere_gdb *gdb, FILE *to)
{
    for (size_t i = 0; i < gdb->count; i++) {
        const struct mh_gdb_listener *listener = &gdb->entrances[i].listener;
        const struct mh_gdb_endpoint *endpoint = &listener->endpoint;
        fprintf(to, START_GDB_VARIABLE "%zu=%s", i + 1, listener->beyond_host ? "!" : "");
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

int anywhere_gdb_fd(const struct anywhere_gdb *gdb, size_t number)
{
    return gdb_door_fd(&gdb->entrances[number].door);
}

void anywhere_gdb_accept(struct anywhere_gdb *gdb, size_t number, struct relay *relay)
{
    int fd;
    if (gdb_door_open(&gdb->entrances[number].door, &fd) != GDB_ENTERED)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    unsigned stream = copy < 0 ? 0 : relay_free_stream(relay);
    if (stream == 0) { /* the one that is served has its stream; who else comes is refused inside as well */
        close(fd);
        if (copy >= 0)
            close(copy);
        return;
    }
    relay_open(relay, stream, fd, copy);
    relay_send_number(relay, WIRE_OPEN, stream, (uint32_t)number);
}
