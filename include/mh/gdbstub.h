/*
 * The GDB stub: a server of GDB's remote serial protocol for a debug target. The functions below open the place where
 * debuggers connect, and serve them until the machines have ended. docs/gdbstub.md explains the stub's decisions.
 */
#ifndef MH_GDBSTUB_H
#define MH_GDBSTUB_H

#include "mh/debug_target.h"
#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MH_GDB_HOST_MAX 256u
#define MH_GDB_PATH_MAX 108u /* including the terminator, as in struct sockaddr_un */
#define MH_GDB_COMMAND_MAX 127u
#define MH_GDB_CONNECT_MAX (MH_GDB_HOST_MAX + 16u)

enum mh_gdb_transport {
    MH_GDB_TCP,
    MH_GDB_UNIX,
    MH_GDB_STDIO,
};

/* Where debuggers connect. */
struct mh_gdb_endpoint {
    enum mh_gdb_transport transport;
    char host[MH_GDB_HOST_MAX]; /* TCP: name or address; "" for this host only (127.0.0.1) */
    uint16_t port;              /* TCP; 0 for any free one */
    char path[MH_GDB_PATH_MAX]; /* UNIX */
};

/* An endpoint in use. */
struct mh_gdb_listener {
    struct mh_gdb_endpoint endpoint; /* with the actual port */
    bool beyond_host;                /* other hosts can connect: worth a warning */
    int fd;                          /* -1 for stdio, and when closed */
};

/*
 * Parse "PORT", "HOST:PORT", "[ADDRESS]:PORT", "unix:PATH" or "stdio".
 * Returns MH_OK; or MH_ERR_USAGE with the reason in *err, and *to unspecified.
 */
enum mh_status mh_gdb_parse_endpoint(const char *text, struct mh_gdb_endpoint *to, struct mh_error *err);

/*
 * Start listening; the descriptor is close-on-exec. Only its owner can connect to a UNIX socket; a stale one, left
 * behind by a program that has ended, is replaced. Returns MH_OK; or MH_ERR_HOST with the reason in *err, and nothing
 * left open. Close with mh_gdb_close().
 */
enum mh_status mh_gdb_listen(const struct mh_gdb_endpoint *endpoint, struct mh_gdb_listener *listener,
                             struct mh_error *err);

/* Stop listening, and remove a UNIX socket's name. Closing twice is harmless. */
void mh_gdb_close(struct mh_gdb_listener *listener);

/* Write what to type after "target remote" to reach the listener: "127.0.0.1:1234", "HOST:PORT" or a path; "-" for
 * stdio. */
void mh_gdb_connect_text(const struct mh_gdb_listener *listener, char text[MH_GDB_CONNECT_MAX]);

/* What happens to attached machines when the connection is lost without a detach. */
enum mh_gdb_lost {
    MH_GDB_LOST_STOP,     /* they stay stopped until a debugger connects (with stdio none can, so they are killed) */
    MH_GDB_LOST_CONTINUE, /* they continue */
    MH_GDB_LOST_KILL,
};

struct mh_gdb_options {
    bool start_running; /* do not wait for a debugger before the first instruction */
    bool hold_at_exit;  /* HLT is a stop first; machines that end without a debugger are held for one */
    enum mh_gdb_lost lost;
    int stop_fd; /* readable when serving is to end; -1 for none */
    /* Receives notes for the user, such as that a debugger has connected: one line without a newline. May be NULL. */
    void (*note)(void *ctx, const char *line);
    void *note_ctx;
    /* Receives each packet before it is carried out, and "interrupt" for the interrupt byte: the first
     * MH_GDB_COMMAND_MAX bytes at most, those that are not printable ASCII as '.'. May be NULL. */
    void (*command)(void *ctx, const char *text);
    void *command_ctx;
};

/*
 * Serve debuggers on the calling thread until all machines of the target have ended, or stop_fd is readable. A debugger
 * may restart machines that have ended. The machines must be stopped at first; none is running on return. A debugger
 * that connects stops all running machines. While one is connected, others are refused with an error. With stdio,
 * descriptors 0 and 1 are the connection. SIGPIPE is blocked meanwhile.
 *
 * Returns MH_OK when all machines have ended; MH_ERR_INTERRUPTED because of stop_fd; MH_ERR_HOST without memory or
 * descriptors; MH_ERR_IO when no connection can be accepted any more. On error *err has the reason.
 */
enum mh_status mh_gdb_serve(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                            const struct mh_gdb_options *options, struct mh_error *err);

#endif
