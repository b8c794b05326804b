/*
 * A server of GDB's remote serial protocol in front of a debug target: where it listens, and serving until the
 * machines have ended. docs/gdbstub.md explains what debuggers get.
 */
#ifndef MH_GDBSTUB_H
#define MH_GDBSTUB_H

#include "mh/debug_target.h"
#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MH_GDB_HOST_MAX 256u
#define MH_GDB_PATH_MAX 108u /* what a UNIX socket address holds */
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
    char host[MH_GDB_HOST_MAX]; /* TCP: name or address; "" for this machine only (127.0.0.1) */
    uint16_t port;              /* TCP; 0 for any free one */
    char path[MH_GDB_PATH_MAX]; /* UNIX */
};

/* An endpoint in use. */
struct mh_gdb_listener {
    struct mh_gdb_endpoint endpoint; /* with the port that was really taken */
    bool beyond_host;                /* other machines can connect: worth a warning */
    int fd;                          /* -1 for stdio, and when closed */
};

/*
 * Read "PORT", "HOST:PORT", "[ADDRESS]:PORT", "unix:PATH" or "stdio".
 * Returns MH_OK, or MH_ERR_USAGE with *err saying what is wrong and *to unspecified.
 */
enum mh_status mh_gdb_parse_endpoint(const char *text, struct mh_gdb_endpoint *to, struct mh_error *err);

/*
 * Begin to listen; the descriptor is closed on exec. A UNIX socket is for its user alone, and one that an ended program
 * left behind is replaced.
 * Returns MH_OK, or MH_ERR_HOST with *err saying why not and nothing left open. Close with mh_gdb_close().
 */
enum mh_status mh_gdb_listen(const struct mh_gdb_endpoint *endpoint, struct mh_gdb_listener *listener,
                             struct mh_error *err);

/* Stop listening, and remove a UNIX socket's name. Closing twice is harmless. */
void mh_gdb_close(struct mh_gdb_listener *listener);

/* Write what to type after "target remote" to reach the listener: "127.0.0.1:1234", "HOST:PORT" or a path; "-" for
 * stdio. */
void mh_gdb_connect_text(const struct mh_gdb_listener *listener, char text[MH_GDB_CONNECT_MAX]);

/* What becomes of machines whose debugger's connection is lost, rather than detached. */
enum mh_gdb_lost {
    MH_GDB_LOST_STOP,     /* they stay stopped until a debugger returns (with stdio none can: they are killed) */
    MH_GDB_LOST_CONTINUE, /* they go on */
    MH_GDB_LOST_KILL,
};

struct mh_gdb_options {
    bool start_running; /* do not wait for a debugger before the first instruction */
    bool hold_at_exit;  /* HLT is a stop first; machines that end with nobody there wait for a debugger */
    enum mh_gdb_lost lost;
    int stop_fd; /* readable when everything is to end; -1 for none */
    /* Hears what is worth telling people: debuggers coming and going. One line without a newline. May be NULL. */
    void (*note)(void *ctx, const char *line);
    void *note_ctx;
    /* Hears each packet before it is carried out, and "interrupt" for the byte that asks for one: its beginning, at
     * most MH_GDB_COMMAND_MAX bytes, others than printable ASCII as '.'. May be NULL. */
    void (*command)(void *ctx, const char *text);
    void *command_ctx;
};

/*
 * Serve debuggers on the calling thread until every machine of the target has ended (with restarts by debuggers in
 * between) or stop_fd is readable. The target's machines are stopped at the start, and none runs at the return.
 * While a debugger is connected, others are told so and refused. One that connects stops running machines. With
 * stdio, descriptors 0 and 1 are the debugger; SIGPIPE is blocked meanwhile.
 *
 * Returns MH_OK when all have ended, MH_ERR_INTERRUPTED because of stop_fd, MH_ERR_HOST without memory and MH_ERR_IO
 * when no connection can be accepted any more; *err says so but for MH_OK.
 */
enum mh_status mh_gdb_serve(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                            const struct mh_gdb_options *options, struct mh_error *err);

#endif
