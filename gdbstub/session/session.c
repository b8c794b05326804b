#include "session/session.h"

#include "mh/gdbstub.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- events from the connection --- */

/* A packet other than an interrupt arrives while machines run: stop them and report that first. */
static void session_stop_for_packet(struct gdb_session *session)
{
    gdb_machines_interrupt(session->machines);
    while (session->resumed && !gdb_session_report(session)) {
        const struct mh_debug_target *target = session->machines->target;
        struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
        unsigned vm = 0;

        /* what the debugger resumed may have been detached or killed since, and others run on */
        if (!gdb_machines_running(session->machines, true)) {
            session->resumed = false;
            return;
        }
        switch (target->ops->wait(target->ctx, NULL, 0, &vm, &stop)) {
        case MH_WAIT_STOPPED:
            gdb_machines_on_stop(session->machines, vm, &stop);
            break;
        case MH_WAIT_IDLE:
            gdb_machines_on_idle(session->machines);
            break;
        case MH_WAIT_INPUT:
            break;
        }
    }
}

/* In non-stop mode a debugger does not wait, so the console has to. */
static void session_on_resumed(struct gdb_session *session)
{
    if (session->non_stop) {
        gdb_session_ok(session);
        gdb_session_send(session);
        return;
    }
    session->resumed = true;
    gdb_session_flush_console(session);
}

/* A machine that was stopped for the packet continues. */
static void session_unpause(struct gdb_session *session)
{
    if (session->paused != NULL)
        gdb_machines_unpause(session->machines, session->paused);
    session->paused = NULL;
}

static void session_finish_packet(struct gdb_session *session, enum gdb_outcome outcome)
{
    switch (outcome) {
    case GDB_REPLY:
        gdb_session_send(session);
        break;
    case GDB_SILENT:
        gdb_session_acknowledge(session);
        break;
    case GDB_RESUMED:
        session_on_resumed(session);
        break;
    case GDB_LEAVE:
        gdb_session_send(session);
        if (session->end == GDB_SESSION_ACTIVE)
            session->end = GDB_SESSION_DETACHED;
        break;
    }
}

static void session_log_command(struct gdb_session *session, struct gdb_text packet)
{
    char text[MH_GDB_COMMAND_MAX + 1];
    size_t length = 0;

    if (session->command == NULL)
        return;
    for (; packet.at < packet.end && length < MH_GDB_COMMAND_MAX; packet.at++)
        text[length++] = *packet.at >= ' ' && *packet.at <= '~' ? *packet.at : '.';
    text[length] = '\0';
    session->command(session->command_ctx, text);
}

/*
 * While acknowledgements are on, gdb sends a packet again if the acknowledgement takes longer than its remotetimeout,
 * as when the stub has only just been started. A second reply would be taken for the reply to gdb's next packet. So a
 * packet that equals the one before it is a retransmission until the reply to that has been acknowledged; it needs no
 * answer, for one is on its way. A lost reply is asked for with '-'.
 */
static bool session_is_retransmission(const struct gdb_session *session, struct gdb_text packet)
{
    bool awaits_ack = session->resumed ? session->reply_acked && session->unacked >= 0 : session->unacked > 0;

    return awaits_ack && gdb_text_length(&packet) == session->last_packet_length &&
           memcmp(packet.at, session->last_packet, session->last_packet_length) == 0;
}

/* Remember a packet, to recognize its retransmissions. */
static void session_remember_packet(struct gdb_session *session, struct gdb_text packet)
{
    session->unacked = 0;
    session->reply_acked = !session->no_ack;
    if (session->no_ack)
        return;
    session->last_packet_length = gdb_text_length(&packet);
    memcpy(session->last_packet, packet.at, session->last_packet_length);
}

static void session_on_packet(struct gdb_session *session, struct gdb_text packet)
{
    if (session_is_retransmission(session, packet))
        return;
    session_log_command(session, packet);
    if (session->resumed)
        session_stop_for_packet(session);
    session_remember_packet(session, packet);
    session->ack_owed = !session->no_ack;
    session->stop_acked = true;
    enum gdb_outcome outcome = session->dispatch(session, packet);
    session_unpause(session);
    session_finish_packet(session, outcome);
}

/* Request the packet again if acknowledgements are on; otherwise the debugger must not wait in vain. */
static void session_on_bad_packet(struct gdb_session *session)
{
    if (!session->no_ack) {
        gdb_session_send_bytes(session, "-", 1);
        return;
    }
    gdb_session_fail(session, GDB_ERROR_FORMAT, "packet with a bad checksum");
    gdb_session_send(session);
}

static void session_on_long_packet(struct gdb_session *session)
{
    session_remember_packet(session, gdb_text_of(""));
    session->ack_owed = !session->no_ack;
    gdb_session_fail(session, GDB_ERROR_FORMAT, "packet longer than the PacketSize of %u bytes", GDB_PACKET_SIZE);
    gdb_session_send(session);
}

static void session_on_interrupt(struct gdb_session *session)
{
    if (session->command != NULL)
        session->command(session->command_ctx, "interrupt");
    /*
     * If everything is stopped, the interrupt may have crossed the stop reply, and the debugger has what it wants. But
     * if it knows of the stop, the interrupt is for what it resumes next; so it is if it steps and steps.
     */
    if (session->resumed || session->non_stop)
        gdb_machines_interrupt(session->machines);
    else
        session->interrupt_due = session->stepping || session->stop_acked;
}

static void session_on_nack(struct gdb_session *session)
{
    if (!session->no_ack && session->last_sent != NULL)
        gdb_session_send_bytes(session, session->last_sent, session->last_length);
}

/* --- waiting --- */

/* `soon`: wait a moment, if this connection can. */
static bool session_receive(struct gdb_session *session, bool soon)
{
    size_t room, length;
    uint8_t *to = gdb_packet_room(&session->in, &room);
    enum gdb_receive_result result = soon ? gdb_transport_receive_soon(&session->io, to, room, &length)
                                          : gdb_transport_receive(&session->io, to, room, &length);

    switch (result) {
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

/* Check the other descriptors: stop_fd, and another debugger that connects. */
static void session_check_other_fds(struct gdb_session *session, const struct pollfd *fds, bool hung_up)
{
    for (unsigned i = 1; i < session->watched_count; i++) {
        if (!fds[i].revents)
            continue;
        if (fds[i].fd == session->io.stop_fd)
            session->end = GDB_SESSION_STOPPED;
        else if (!hung_up) /* a debugger that connects when this one has gone is not refused */
            session->watched[i] = session->on_pending(session->on_pending_ctx);
    }
}

#define HUNG_UP (POLLRDHUP | POLLHUP | POLLERR)

/*
 * Poll the descriptors, waiting for the first if `timeout` is -1, and process all but the connection. Returns the
 * events of the connection, 0 if there is nothing to do.
 */
static int session_poll_fds(struct gdb_session *session, int timeout)
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
    session_check_other_fds(session, fds, fds[0].revents & HUNG_UP);
    return session->end == GDB_SESSION_ACTIVE ? fds[0].revents : 0;
}

static void session_poll_connection(struct gdb_session *session, int timeout)
{
    if (session_poll_fds(session, timeout))
        session_receive(session, false);
}

/* See "non-stop mode" in stop_reply.c. gdb asks for the next thing within milliseconds while it connects. */
#define SESSION_CONNECTED_MS 300

static int64_t session_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void session_await_connected(struct gdb_session *session)
{
    const int64_t begin = session_clock_ms();

    if (session_poll_fds(session, SESSION_CONNECTED_MS))
        session_receive(session, false);
    else if (session_clock_ms() - begin >= SESSION_CONNECTED_MS) /* no signal, and not another descriptor */
        session->notifies_later = false;
}

bool gdb_session_poll(struct gdb_session *session)
{
    if (session_poll_fds(session, 0) & HUNG_UP)
        session->end = GDB_SESSION_LOST;
    return session->end == GDB_SESSION_ACTIVE;
}

/* Run machines until one stops or a descriptor is readable. */
static void session_run_machines(struct gdb_session *session)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
    unsigned vm = 0;

    switch (target->ops->wait(target->ctx, session->watched, session->watched_count, &vm, &stop)) {
    case MH_WAIT_STOPPED:
        gdb_machines_on_stop(session->machines, vm, &stop);
        break;
    case MH_WAIT_INPUT:
        session_poll_connection(session, 0);
        break;
    case MH_WAIT_IDLE:
        gdb_machines_on_idle(session->machines);
        break;
    }
}

static void session_wait(struct gdb_session *session)
{
    if (session->resumed && gdb_session_report(session))
        return;
    if (session->non_stop)
        gdb_session_notify(session);
    if (session->notifies_later)
        session_await_connected(session);
    else if (gdb_machines_running(session->machines, false))
        session_run_machines(session);
    else if (!session->io.can_wait || !session_receive(session, true))
        session_poll_connection(session, -1);
}

/* --- the session --- */

/* A debugger may send faster than it is served, and must not keep the session from noticing stop_fd. */
#define UNWATCHED_MAX 16u

static void session_handle_event(struct gdb_session *session)
{
    struct gdb_text packet;

    if (++session->unwatched > UNWATCHED_MAX)
        session_poll_fds(session, 0);
    if (session->end != GDB_SESSION_ACTIVE)
        return;
    switch (gdb_packet_next(&session->in, &packet)) {
    case GDB_PACKET_NEED_MORE:
        session_wait(session);
        break;
    case GDB_PACKET_ACK:
        session->unacked -= session->unacked > 0 || (session->resumed && session->unacked == 0);
        break;
    case GDB_PACKET_NACK:
        session_on_nack(session);
        break;
    case GDB_PACKET_INTERRUPT:
        session_on_interrupt(session);
        break;
    case GDB_PACKET_WHOLE:
        session_on_packet(session, packet);
        break;
    case GDB_PACKET_BAD:
        session_on_bad_packet(session);
        break;
    case GDB_PACKET_TOO_LONG:
        session_on_long_packet(session);
        break;
    }
}

static void session_watch(struct gdb_session *session, int fd)
{
    if (fd >= 0)
        session->watched[session->watched_count++] = fd;
}

/* Output of breakpoint commands goes to the debugger's console whenever the protocol allows it. */
static void session_print(void *ctx, const struct gdb_machine *machine, const char *text, size_t length)
{
    struct gdb_session *session = ctx;

    if (session->resumed && machine->attached && session->end == GDB_SESSION_ACTIVE) {
        gdb_session_print(session, text, length);
        gdb_session_flush_console(session);
    } else if (session->outer_print != NULL) {
        session->outer_print(session->outer_print_ctx, machine, text, length);
    }
}

/* Texts of a target that has several machines name the machine. The rest of what does not fit is dropped. */
static void session_keep_text(struct gdb_session *session, unsigned vm, const char *text)
{
    size_t left = GDB_CONSOLE_SIZE - session->console_length;
    char *to = session->console + session->console_length;
    int length =
        session->machines->count > 1 ? snprintf(to, left, "VM %u: %s", vm, text) : snprintf(to, left, "%s", text);

    if (length > 0)
        session->console_length += (size_t)length < left ? (size_t)length : left - (left > 0);
}

/* A mh_console: the text is sent at once if the protocol allows it, otherwise at the next chance. */
static void session_on_text(void *ctx, unsigned vm, const char *text)
{
    struct gdb_session *session = ctx;
    const struct gdb_machine *machine = gdb_machines_find(session->machines, vm);

    if (session->non_stop && machine != NULL) {
        gdb_machines_print(session->machines, machine, text, strlen(text));
        return;
    }
    session_keep_text(session, vm, text);
    if (session->resumed && session->end == GDB_SESSION_ACTIVE)
        gdb_session_flush_console(session);
}

static void session_set_console(struct gdb_session *session, mh_console *console)
{
    const struct mh_debug_target *target = session->machines->target;

    if (target->ops->set_console != NULL)
        target->ops->set_console(target->ctx, console, session);
}

/* The buffers at the end are large and need no initialization. */
static void session_init(struct gdb_session *session, struct gdb_machines *machines,
                         const struct gdb_session_options *options)
{
    memset(session, 0, offsetof(struct gdb_session, console));
    session->machines = machines;
    session->outer_print = machines->print;
    session->outer_print_ctx = machines->print_ctx;
    machines->print = session_print;
    machines->print_ctx = session;
    session->dispatch = options->dispatch;
    session->on_pending = options->on_pending;
    session->on_pending_ctx = options->on_pending_ctx;
    session->command = options->command;
    session->command_ctx = options->command_ctx;
    gdb_transport_init(&session->io, options->in_fd, options->out_fd, options->stop_fd);
    gdb_packet_reader_init(&session->in, session->input, sizeof session->input);
    gdb_reply_init(&session->out, session->output, sizeof session->output);
    session_watch(session, options->in_fd);
    session_watch(session, options->stop_fd);
    session_watch(session, options->pending_fd);
    memset(session->program_signal, true, sizeof session->program_signal);
    for (unsigned i = 0; i < GDB_FILES_MAX; i++)
        session->files[i] = -1;
}

/* The debugger expects everything to be stopped. */
static void session_attach_all(struct gdb_session *session)
{
    struct gdb_machines *machines = session->machines;

    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].state != GDB_MACHINE_ENDED)
            gdb_machines_attach(&machines->list[i]);
    gdb_machines_halt(machines);
    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].attached)
            gdb_machines_clear_persistent(machines, &machines->list[i]);
    session->g_thread = gdb_machines_pending(machines, false);
    if (session->g_thread == NULL)
        session->g_thread = gdb_machines_first_alive(machines, true);
    if (session->g_thread == NULL)
        session->g_thread = &machines->list[0];
}

/* Close the files that the debugger left open. */
static void session_close_files(struct gdb_session *session)
{
    for (unsigned i = 0; i < GDB_FILES_MAX; i++) {
        if (session->files[i] >= 0)
            close(session->files[i]);
        session->files[i] = -1;
    }
}

/* stop_fd ended the session while the debugger waited: report that its program was terminated. */
static void session_report_termination(struct gdb_session *session)
{
    session->end = GDB_SESSION_ACTIVE;
    gdb_reply_clear(&session->out);
    gdb_reply_text(&session->out, "X0f");
    if (session->multiprocess)
        gdb_reply_printf(&session->out, ";process:%x", session->g_thread->vm);
    /* stop_fd is readable, so sending does not wait for a debugger that does not read */
    gdb_session_send(session);
    session->end = GDB_SESSION_STOPPED;
}

enum gdb_session_end gdb_session_run(struct gdb_session *session, struct gdb_machines *machines,
                                     const struct gdb_session_options *options)
{
    session_init(session, machines, options);
    session_set_console(session, session_on_text);
    session_attach_all(session);
    while (session->end == GDB_SESSION_ACTIVE)
        session_handle_event(session);
    gdb_machines_halt(machines);
    if (session->end == GDB_SESSION_STOPPED && session->resumed)
        session_report_termination(session);
    session_close_files(session);
    session_set_console(session, NULL);
    machines->print = session->outer_print;
    machines->print_ctx = session->outer_print_ctx;
    return session->end;
}
