/* The server: one session after another, and running the machines in between. */
#include "session/server.h"

#include "net/acceptor.h"
#include "protocol/signals.h"
#include "session/breakpoint_should_stop.h"
#include "session/machines.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSED_MAX 4u
#define REFUSAL_MAX 256u

struct server {
    const struct mh_gdb_listener *listener;
    const struct mh_gdb_options *options;
    gdb_dispatch_fn *dispatch;
    struct gdb_machines machines;
    struct gdb_machine *list;
    /* The connections refused last. Closing one at once could discard the refusal before it is read. */
    int refused[REFUSED_MAX];
    unsigned refused_next;
    struct gdb_acceptor acceptor;
    struct gdb_session session;
};

/* How waiting for a debugger ended. */
enum await_result {
    AWAIT_CONNECTED,
    AWAIT_ALL_ENDED,
    AWAIT_CANCELLED,
    AWAIT_FAILED, /* the listener has failed */
};

static void server_note(const struct server *server, const char *line)
{
    if (server->options->note != NULL)
        server->options->note(server->options->note_ctx, line);
}

/* Without a debugger, output of breakpoint commands becomes notes, one per line. */
static void server_print(void *ctx, const struct gdb_machine *machine, const char *text, size_t length)
{
    const struct server *server = ctx;
    const char *end = text + length;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline != NULL ? newline : end;
        char line[AGENT_OUTPUT_MAX + 32];

        if (server->machines.count == 1)
            snprintf(line, sizeof line, "%.*s", (int)(line_end - text), text);
        else
            snprintf(line, sizeof line, "VM %u: %.*s", machine->vm, (int)(line_end - text), text);
        server_note(server, line);
        text = line_end + 1;
    }
}

/* --- connections --- */

/* Accept a connection. A failure is noted once, not each time it repeats. */
static enum gdb_accept_result server_accept(struct server *server, int *fd)
{
    char line[128];
    int before = server->acceptor.error;
    enum gdb_accept_result result = gdb_acceptor_accept(&server->acceptor, fd);

    if (result == GDB_ACCEPT_NONE && server->acceptor.error != before) {
        snprintf(line, sizeof line, "cannot accept a debugger at the moment: %s", strerror(server->acceptor.error));
        server_note(server, line);
    }
    return result;
}

/* Frame the refusal as the reply to a debugger's first packet, whose error message it displays. */
static size_t refusal_make(char buffer[REFUSAL_MAX], const char **packet)
{
    struct gdb_reply reply;
    size_t length;

    gdb_reply_init(&reply, buffer, REFUSAL_MAX);
    gdb_reply_text(&reply, "E.another debugger is connected; there can be only one at a time");
    char *start = gdb_reply_finish(&reply, &length);
    *--start = '+';
    *packet = start;
    return length + 1;
}

static void server_keep_refused(struct server *server, int fd)
{
    int *place = &server->refused[server->refused_next++ % REFUSED_MAX];

    if (*place >= 0)
        close(*place);
    *place = fd;
}

/* Another debugger connects: tell it why it is refused. Returns the descriptor to watch next. */
static int server_refuse(void *ctx)
{
    struct server *server = ctx;
    char buffer[REFUSAL_MAX];
    const char *packet;
    int fd;

    if (server_accept(server, &fd) != GDB_ACCEPTED)
        return gdb_acceptor_fd(&server->acceptor);
    size_t length = refusal_make(buffer, &packet);
    /* this fits into an empty socket buffer, and a client that is gone needs no reply */
    if (send(fd, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        shutdown(fd, SHUT_WR);
    server_keep_refused(server, fd);
    server_note(server, "refused a second debugger");
    return gdb_acceptor_fd(&server->acceptor);
}

/* --- between sessions --- */

static unsigned server_descriptors(const struct server *server, int fds[2])
{
    unsigned count = 0;

    if (gdb_acceptor_fd(&server->acceptor) >= 0)
        fds[count++] = gdb_acceptor_fd(&server->acceptor);
    if (server->options->stop_fd >= 0)
        fds[count++] = server->options->stop_fd;
    return count;
}

static bool fd_is_readable(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};

    return fd >= 0 && poll(&one, 1, 0) > 0;
}

/* Run machines until one stops or a descriptor is readable; if none is running, wait for a descriptor. */
static void server_run_machines(struct server *server)
{
    const struct mh_debug_target *target = server->machines.target;
    struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
    int fds[2];
    unsigned vm = 0, count = server_descriptors(server, fds);
    struct pollfd polled[2];

    if (!gdb_machines_running(&server->machines, false)) {
        for (unsigned i = 0; i < count; i++)
            polled[i] = (struct pollfd){fds[i], POLLIN, 0};
        poll(polled, count, -1);
        return;
    }
    switch (target->ops->wait(target->ctx, fds, count, &vm, &stop)) {
    case MH_WAIT_STOPPED:
        gdb_machines_on_stop(&server->machines, vm, &stop);
        break;
    case MH_WAIT_IDLE:
        gdb_machines_on_idle(&server->machines);
        break;
    case MH_WAIT_INPUT:
        break;
    }
}

/* Wait for a debugger while detached machines run. */
static enum await_result server_await_debugger(struct server *server, int *fd)
{
    for (;;) {
        if (gdb_machines_first_alive(&server->machines, false) == NULL)
            return AWAIT_ALL_ENDED;
        if (fd_is_readable(server->options->stop_fd))
            return AWAIT_CANCELLED;
        if (!fd_is_readable(gdb_acceptor_fd(&server->acceptor))) {
            server_run_machines(server);
            continue;
        }
        switch (server_accept(server, fd)) {
        case GDB_ACCEPTED:
            return AWAIT_CONNECTED;
        case GDB_ACCEPT_BROKEN:
            return AWAIT_FAILED;
        case GDB_ACCEPT_NONE:
            break;
        }
    }
}

static bool server_is_stdio(const struct server *server)
{
    return server->listener->endpoint.transport == MH_GDB_STDIO;
}

static void server_lose_machine(struct server *server, struct gdb_machine *machine)
{
    enum mh_gdb_lost policy = server->options->lost;

    gdb_machines_detach(&server->machines, machine);
    if (policy == MH_GDB_LOST_KILL || (policy == MH_GDB_LOST_STOP && server_is_stdio(server)))
        gdb_machines_kill(&server->machines, machine, GDB_SIGNAL_KILL);
    else if (policy == MH_GDB_LOST_CONTINUE)
        gdb_machines_run_detached(&server->machines, machine);
}

/*
 * Clean up after a session: machines that the debugger has not detached, because the connection was lost, and ended
 * ones.
 */
static void server_clean_up(struct server *server)
{
    for (unsigned i = 0; i < server->machines.count; i++) {
        struct gdb_machine *machine = &server->machines.list[i];

        if (machine->attached && machine->state != GDB_MACHINE_ENDED)
            server_lose_machine(server, machine);
        machine->attached = false;
    }
}

static enum gdb_session_end server_run_session(struct server *server, int in_fd, int out_fd)
{
    const struct gdb_session_options options = {
        .dispatch = server->dispatch,
        .in_fd = in_fd,
        .out_fd = out_fd,
        .stop_fd = server->options->stop_fd,
        .pending_fd = gdb_acceptor_fd(&server->acceptor),
        .on_pending = server_refuse,
        .on_pending_ctx = server,
        .command = server->options->command,
        .command_ctx = server->options->command_ctx,
    };

    server_note(server, "a debugger has connected");
    enum gdb_session_end end = gdb_session_run(&server->session, &server->machines, &options);
    server_note(server, end == GDB_SESSION_LOST ? "the debugger's connection is closed" : "the debugger has left");
    return end;
}

static enum gdb_session_end server_serve_connection(struct server *server, int fd)
{
    enum gdb_session_end end = server_run_session(server, fd, fd);

    shutdown(fd, SHUT_WR);
    close(fd);
    return end;
}

static enum mh_status server_fail_cancelled(struct mh_error *err)
{
    return mh_fail(err, MH_ERR_INTERRUPTED, "interrupted while serving a debugger");
}

/* Stop all machines, attached or not: the caller decides about them. */
static void server_stop_all(struct server *server)
{
    for (unsigned i = 0; i < server->machines.count; i++)
        server->machines.list[i].attached = server->machines.list[i].state != GDB_MACHINE_ENDED;
    gdb_machines_halt(&server->machines);
}

static enum mh_status server_run(struct server *server, struct mh_error *err)
{
    enum gdb_session_end end;
    int fd = -1;

    if (server_is_stdio(server)) {
        end = server_run_session(server, STDIN_FILENO, STDOUT_FILENO);
        if (end == GDB_SESSION_STOPPED)
            return server_fail_cancelled(err);
        /* no other debugger can connect, so no machine is held for one */
        server->machines.hold = false;
        server_clean_up(server);
    }
    for (;;) {
        switch (server_await_debugger(server, &fd)) {
        case AWAIT_ALL_ENDED:
            return MH_OK;
        case AWAIT_CANCELLED:
            return server_fail_cancelled(err);
        case AWAIT_FAILED:
            return mh_fail(err, MH_ERR_IO, "cannot accept debuggers: %s", strerror(server->acceptor.error));
        case AWAIT_CONNECTED:
            break;
        }
        if (server_serve_connection(server, fd) == GDB_SESSION_STOPPED)
            return server_fail_cancelled(err);
        server_clean_up(server);
    }
}

/* --- setting up --- */

static void server_free(struct server *server)
{
    for (unsigned i = 0; i < REFUSED_MAX; i++)
        if (server->refused[i] >= 0)
            close(server->refused[i]);
    gdb_acceptor_close(&server->acceptor);
    gdb_machines_free(&server->machines);
    free(server->list);
    free(server);
}

static struct server *server_new(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                                 const struct mh_gdb_options *options, gdb_dispatch_fn *dispatch)
{
    unsigned count = target->ops->vm_count(target->ctx);
    struct server *server = malloc(sizeof *server);

    if (server == NULL)
        return NULL;
    server->list = calloc(count, sizeof *server->list);
    if (server->list == NULL || !gdb_acceptor_init(&server->acceptor, listener)) {
        free(server->list);
        free(server);
        return NULL;
    }
    server->listener = listener;
    server->options = options;
    server->dispatch = dispatch;
    server->refused_next = 0;
    for (unsigned i = 0; i < REFUSED_MAX; i++)
        server->refused[i] = -1;
    gdb_machines_init(&server->machines, target, server->list, count, options->hold_at_exit,
                      gdb_breakpoint_should_stop);
    server->machines.print = server_print;
    server->machines.print_ctx = server;
    return server;
}

static void server_start_machines(struct server *server)
{
    for (unsigned i = 0; i < server->machines.count; i++)
        gdb_machines_run_detached(&server->machines, &server->machines.list[i]);
}

/* Writing to a pipe without a reader must be an error, not the end of the program. */
static void sigpipe_block(sigset_t *before)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

static void sigpipe_unblock(const sigset_t *before)
{
    const struct timespec now = {0, 0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (!sigismember(before, SIGPIPE))
        while (sigtimedwait(&set, NULL, &now) == SIGPIPE)
            continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

enum mh_status gdb_server_run(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                              const struct mh_gdb_options *options, gdb_dispatch_fn *dispatch, struct mh_error *err)
{
    struct server *server = server_new(listener, target, options, dispatch);
    sigset_t before;

    if (server == NULL)
        return mh_fail(err, MH_ERR_HOST, "cannot serve a debugger: out of memory or descriptors");
    sigpipe_block(&before);
    if (options->start_running)
        server_start_machines(server);
    enum mh_status status = server_run(server, err);
    server_stop_all(server);
    sigpipe_unblock(&before);
    server_free(server);
    return status;
}
