#include "session/session.h"

#include "packets/commands.h"
#include "mh/gdbstub.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* --- events from the connection --- */

/* Something other than an interrupt while machines run: stop them and tell, so that the packet can be answered. */
static void stop_for_packet(struct gdb_session *session)
{
    gdb_machines_interrupt(session->machines);
    while (session->resumed && !gdb_session_report(session)) {
        const struct mh_debug_target *target = session->machines->target;
        struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
        unsigned vm = 0;

        switch (target->ops->wait(target->ctx, NULL, 0, &vm, &stop)) {
        case MH_WAIT_STOPPED:
            gdb_machines_stopped(session->machines, vm, &stop);
            break;
        case MH_WAIT_IDLE:
            gdb_machines_idle(session->machines);
            break;
        case MH_WAIT_INPUT:
            break;
        }
    }
}

static void conclude(struct gdb_session *session, enum gdb_outcome outcome)
{
    switch (outcome) {
    case GDB_REPLY:
        gdb_session_send(session);
        break;
    case GDB_SILENT:
        gdb_session_acknowledge(session);
        break;
    case GDB_RESUMED:
        session->resumed = true;
        break;
    case GDB_LEAVE:
        gdb_session_send(session);
        if (session->end == GDB_SESSION_GOES_ON)
            session->end = GDB_SESSION_LEFT;
        break;
    }
}

static void tell_command(struct gdb_session *session, struct gdb_text packet)
{
    char text[MH_GDB_COMMAND_MAX + 1];
    size_t length = 0;

    if (!session->command)
        return;
    for (; packet.at < packet.end && length < MH_GDB_COMMAND_MAX; packet.at++)
        text[length++] = *packet.at >= ' ' && *packet.at <= '~' ? *packet.at : '.';
    text[length] = '\0';
    session->command(session->command_ctx, text);
}

static void on_packet(struct gdb_session *session, struct gdb_text packet)
{
    tell_command(session, packet);
    if (session->resumed)
        stop_for_packet(session);
    session->ack_owed = !session->no_ack;
    session->heard = true;
    conclude(session, gdb_dispatch(session, packet));
}

/* Ask for the packet again if the debugger still listens for that; else it must not wait in vain. */
static void on_bad_packet(struct gdb_session *session)
{
    if (!session->no_ack) {
        gdb_session_send_bytes(session, "-", 1);
        return;
    }
    gdb_session_fail(session, GDB_ERROR_FORMAT, "packet with a bad checksum");
    gdb_session_send(session);
}

static void on_long_packet(struct gdb_session *session)
{
    session->ack_owed = !session->no_ack;
    gdb_session_fail(session, GDB_ERROR_FORMAT, "packet longer than the PacketSize of %u bytes", GDB_PACKET_SIZE);
    gdb_session_send(session);
}

static void on_interrupt(struct gdb_session *session)
{
    if (session->command)
        session->command(session->command_ctx, "interrupt");
    /*
     * With everything stopped, the interrupt and the stop reply may have crossed: then the debugger has what it wants.
     * But one that knows of the stop means what it is about to resume, and so does one that steps step after step.
     */
    if (session->resumed)
        gdb_machines_interrupt(session->machines);
    else
        session->interrupt_due = session->stepping || session->heard;
}

static void on_nack(struct gdb_session *session)
{
    if (!session->no_ack && session->last_sent)
        gdb_session_send_bytes(session, session->last_sent, session->last_length);
}

/* --- waiting --- */

static bool receive(struct gdb_session *session)
{
    size_t room, length;
    uint8_t *to = gdb_packet_room(&session->in, &room);

    switch (gdb_transport_receive(&session->io, to, room, &length)) {
    case GDB_RECEIVED:
        gdb_packet_received(&session->in, length);
        return true;
    case GDB_RECEIVE_CLOSED:
        session->end = GDB_SESSION_LOST;
        return true;
    case GDB_RECEIVE_NOTHING:
        break;
    }
    return false;
}

/* Descriptors other than the connection: someone wants the end, or another debugger knocks. */
static void look_around(struct gdb_session *session, const struct pollfd *fds, bool hung_up)
{
    for (unsigned i = 1; i < session->watched_count; i++) {
        if (!fds[i].revents)
            continue;
        if (fds[i].fd == session->io.stop_fd)
            session->end = GDB_SESSION_STOPPED;
        else if (!hung_up) /* who comes when this debugger has gone is not the second one */
            session->watched[i] = session->knocked(session->knocked_ctx);
    }
}

#define HUNG_UP (POLLRDHUP | POLLHUP | POLLERR)

/*
 * Look at the descriptors, waiting for the first when `timeout` is -1, and heed all but the connection.
 * Returns what poll() says of that; 0 when there is nothing to be taken from it.
 */
static int look(struct gdb_session *session, int timeout)
{
    struct pollfd fds[GDB_WATCHED_MAX] = {{0}};

    for (unsigned i = 0; i < session->watched_count; i++)
        fds[i] = (struct pollfd){session->watched[i], POLLIN, 0};
    fds[0].events |= POLLRDHUP;
    session->unwatched = 0;
    if (poll(fds, session->watched_count, timeout) < 0) {
        if (errno != EINTR)
            session->end = GDB_SESSION_LOST;
        return 0;
    }
    look_around(session, fds, fds[0].revents & HUNG_UP);
    return session->end == GDB_SESSION_GOES_ON ? fds[0].revents : 0;
}

static void watch(struct gdb_session *session, int timeout)
{
    if (look(session, timeout))
        receive(session);
}

bool gdb_session_goes_on(struct gdb_session *session)
{
    if (look(session, 0) & HUNG_UP)
        session->end = GDB_SESSION_LOST;
    return session->end == GDB_SESSION_GOES_ON;
}

/* Let machines run until one stops or the debugger, or someone else, wants something. */
static void run_machines(struct gdb_session *session)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
    unsigned vm = 0;

    switch (target->ops->wait(target->ctx, session->watched, session->watched_count, &vm, &stop)) {
    case MH_WAIT_STOPPED:
        gdb_machines_stopped(session->machines, vm, &stop);
        break;
    case MH_WAIT_INPUT:
        watch(session, 0);
        break;
    case MH_WAIT_IDLE:
        gdb_machines_idle(session->machines);
        break;
    }
}

static void wait_for_something(struct gdb_session *session)
{
    if (session->resumed && gdb_session_report(session))
        return;
    if (gdb_machines_running(session->machines, false))
        run_machines(session);
    else if (!session->io.in_is_socket || !gdb_packet_is_partial(&session->in) || !receive(session))
        watch(session, -1);
}

/* --- the session --- */

/* A debugger may send faster than it is served: it must not keep us from hearing that all this is to end. */
#define UNWATCHED_MAX 16u

static void handle_next(struct gdb_session *session)
{
    struct gdb_text packet;

    if (++session->unwatched > UNWATCHED_MAX)
        look(session, 0);
    if (session->end != GDB_SESSION_GOES_ON)
        return;
    switch (gdb_packet_next(&session->in, &packet)) {
    case GDB_PACKET_NEED_MORE:
        wait_for_something(session);
        break;
    case GDB_PACKET_ACK:
        break;
    case GDB_PACKET_NACK:
        on_nack(session);
        break;
    case GDB_PACKET_INTERRUPT:
        on_interrupt(session);
        break;
    case GDB_PACKET_WHOLE:
        on_packet(session, packet);
        break;
    case GDB_PACKET_BAD:
        on_bad_packet(session);
        break;
    case GDB_PACKET_TOO_LONG:
        on_long_packet(session);
        break;
    }
}

static void watch_fd(struct gdb_session *session, int fd)
{
    if (fd >= 0)
        session->watched[session->watched_count++] = fd;
}

/* What commands of breakpoints print: for the debugger's console, while the protocol lets it listen. */
static void say(void *ctx, const struct gdb_machine *machine, const char *text, size_t length)
{
    struct gdb_session *session = ctx;

    if (session->resumed && machine->attended && session->end == GDB_SESSION_GOES_ON) {
        gdb_session_print(session, text, length);
        gdb_session_flush_console(session);
    } else if (session->outer_say) {
        session->outer_say(session->outer_say_ctx, machine, text, length);
    }
}

/* The buffers are large and need no clearing: everything before them is reset. */
static void start(struct gdb_session *session, struct gdb_machines *machines, const struct gdb_session_options *options)
{
    memset(session, 0, offsetof(struct gdb_session, console));
    session->machines = machines;
    session->outer_say = machines->say;
    session->outer_say_ctx = machines->say_ctx;
    machines->say = say;
    machines->say_ctx = session;
    session->knocked = options->knocked;
    session->knocked_ctx = options->knocked_ctx;
    session->command = options->command;
    session->command_ctx = options->command_ctx;
    gdb_transport_init(&session->io, options->in_fd, options->out_fd, options->stop_fd);
    gdb_packet_reader_init(&session->in, session->input, sizeof(session->input));
    gdb_reply_init(&session->out, session->output, sizeof(session->output));
    watch_fd(session, options->in_fd);
    watch_fd(session, options->stop_fd);
    watch_fd(session, options->knock_fd);
    memset(session->program_signal, true, sizeof(session->program_signal));
    for (unsigned i = 0; i < GDB_FILES_MAX; i++)
        session->files[i] = -1;
}

/* Whoever runs is stopped, for the debugger expects to find everything stopped. */
static void attend_all(struct gdb_session *session)
{
    struct gdb_machines *machines = session->machines;

    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].state != GDB_MACHINE_ENDED)
            gdb_machines_attend(&machines->list[i]);
    gdb_machines_halt(machines);
    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].attended)
            gdb_machines_clear(machines, &machines->list[i]);
    session->general = gdb_machines_pending(machines, false);
    if (!session->general)
        session->general = gdb_machines_first_alive(machines, true);
    if (!session->general)
        session->general = &machines->list[0];
}

/* The end came from outside while the debugger waited: tell it that its program was terminated. */
static void tell_termination(struct gdb_session *session)
{
    session->end = GDB_SESSION_GOES_ON;
    gdb_reply_clear(&session->out);
    gdb_reply_text(&session->out, "X0f");
    if (session->multiprocess)
        gdb_reply_printf(&session->out, ";process:%x", session->general->vm);
    /* one that takes nothing is not waited for: stop_fd is readable, and that ends the sending */
    gdb_session_send(session);
    session->end = GDB_SESSION_STOPPED;
}

enum gdb_session_end gdb_session_run(struct gdb_session *session, struct gdb_machines *machines,
                                     const struct gdb_session_options *options)
{
    start(session, machines, options);
    attend_all(session);
    while (session->end == GDB_SESSION_GOES_ON)
        handle_next(session);
    gdb_machines_halt(machines);
    if (session->end == GDB_SESSION_STOPPED && session->resumed)
        tell_termination(session);
    gdb_files_close(session);
    machines->say = session->outer_say;
    machines->say_ctx = session->outer_say_ctx;
    return session->end;
}
