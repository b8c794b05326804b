/*
 * One debugger's connection: what was negotiated, which machine its packets mean, its buffers; and the verbs the
 * commands answer with. Everything belongs to the thread that runs the session.
 *
 * The target is always in all-stop mode: while `resumed` is set the debugger waits for a stop reply and sends nothing
 * but interrupts; otherwise every attended machine is stopped.
 */
#ifndef GDBSTUB_SESSION_H
#define GDBSTUB_SESSION_H

#include "net/transport.h"
#include "protocol/hex.h"
#include "protocol/packet.h"
#include "protocol/reply.h"
#include "session/machines.h"
#include "target_desc/x86_desc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_SIZE 0x20000u /* payload of the longest packet taken, told as PacketSize */
#define GDB_INPUT_SIZE (GDB_PACKET_SIZE + 0x2000u)
#define GDB_OUTPUT_SIZE (2u * GDB_PACKET_SIZE + 64u)
#define GDB_SCRATCH_SIZE (2u * GDB_PACKET_SIZE)
#define GDB_DOCUMENT_SIZE 0x10000u
#define GDB_CONSOLE_SIZE 0x4000u
#define GDB_FILES_MAX 8u
#define GDB_SIGNAL_COUNT 256u
#define GDB_WATCHED_MAX 3u

/* Error numbers of "E NN" replies; gdb shows them and draws no conclusions. */
enum gdb_error_code {
    GDB_ERROR_FAILED = 0x01,
    GDB_ERROR_NO_THREAD = 0x03,
    GDB_ERROR_MEMORY = 0x0e,
    GDB_ERROR_FORMAT = 0x16,
};

/* What a command leaves to be done. */
enum gdb_outcome {
    GDB_REPLY,   /* send the reply */
    GDB_SILENT,  /* there is none */
    GDB_RESUMED, /* the reply is the next stop */
    GDB_LEAVE,   /* send the reply, if there is one, then end the session */
};

enum gdb_session_end {
    GDB_SESSION_ACTIVE,
    GDB_SESSION_DETACHED, /* the debugger detached, or killed everything */
    GDB_SESSION_LOST,     /* the connection is gone */
    GDB_SESSION_STOPPED,  /* the stop descriptor was readable */
};

struct gdb_session;

/* Answer a packet: the reply goes to session->out. The empty reply says that the packet is not known. */
typedef enum gdb_outcome gdb_dispatch_fn(struct gdb_session *session, struct gdb_text packet);

/* How far a debugger has been told of the tracepoints and variables there are. */
struct gdb_trace_upload {
    size_t point, line; /* `line` counts bytes of the tracepoint's lines */
    bool defined;       /* its definition has been told */
    size_t variable;
};

struct gdb_session {
    struct gdb_machines *machines;
    struct gdb_transport io;
    enum gdb_session_end end;

    /* negotiated */
    bool no_ack;
    bool extended;
    bool multiprocess;
    bool swbreak, hwbreak;
    bool error_message;
    bool pass_signal[GDB_SIGNAL_COUNT];    /* the debugger does not want to hear of these */
    bool program_signal[GDB_SIGNAL_COUNT]; /* the program may get these */

    bool resumed;
    bool stepping;                /* the last stop was the end of a step: more may follow at once */
    bool stop_acked;              /* the debugger has sent a packet since that stop: it knows of it */
    bool interrupt_due;           /* an interrupt came that is for what is resumed next */
    bool ack_owed;                /* the '+' for the last packet has not been sent */
    bool physical;                /* memory packets name guest-physical addresses */
    struct gdb_machine *g_thread; /* Hg: whose registers and memory; never NULL */
    struct gdb_machine *c_thread; /* Hc: NULL for all */
    bool traceframe_selected;     /* at a trace frame instead of the machine */
    size_t traceframe;            /* which */
    struct gdb_trace_upload upload;
    int files[GDB_FILES_MAX]; /* vFile: host descriptors, -1 free */

    /* descriptors to watch: the connection, then whatever the server wants to hear of */
    int watched[GDB_WATCHED_MAX];
    unsigned watched_count;
    unsigned unwatched; /* events since they were looked at */
    gdb_dispatch_fn *dispatch;
    int (*on_pending)(void *ctx); /* called when another debugger connects; returns what to watch for the next one */
    void *on_pending_ctx;
    void (*command)(void *ctx, const char *text); /* hears what the debugger asks for; may be NULL */
    void *command_ctx;

    /* who takes what machines print while this debugger cannot */
    void (*outer_print)(void *ctx, const struct gdb_machine *machine, const char *text, size_t length);
    void *outer_print_ctx;

    /* retransmissions, see session_is_retransmission() */
    bool reply_acked; /* the debugger acknowledges the replies to the last packet */
    int unacked;      /* replies to it that have not been acknowledged; below 0: a stop reply was, in advance */
    size_t last_packet_length;

    struct gdb_packet_reader in;
    struct gdb_reply out;
    const char *last_sent; /* for the debugger that asks again; in the output buffer */
    size_t last_length;
    struct mh_x86_regs regs, new_regs;
    size_t console_length;

    char console[GDB_CONSOLE_SIZE];
    char input[GDB_INPUT_SIZE];
    char last_packet[GDB_INPUT_SIZE];
    char output[GDB_OUTPUT_SIZE];
    uint8_t scratch[GDB_SCRATCH_SIZE];
    char document[GDB_DOCUMENT_SIZE];
};

struct gdb_session_options {
    gdb_dispatch_fn *dispatch;
    int in_fd, out_fd;
    int stop_fd;    /* -1: none */
    int pending_fd; /* -1: none */
    int (*on_pending)(void *ctx);
    void *on_pending_ctx;
    void (*command)(void *ctx, const char *text); /* as in mh/gdbstub.h */
    void *command_ctx;
};

/*
 * Serve one debugger until it leaves. Machines that have not ended become attended and are stopped first; at least one
 * machine must exist. What is still attended at the end was not let go by the debugger, and is stopped.
 */
enum gdb_session_end gdb_session_run(struct gdb_session *session, struct gdb_machines *machines,
                                     const struct gdb_session_options *options);

/* --- for the commands --- */

/* Why the machine packets mean cannot be looked at, to follow its name; NULL when it is stopped and attended. */
const char *gdb_session_why_unavailable(const struct gdb_session *session);

/* The machine packets mean, if it is stopped and attended; else NULL, with the error reply made. */
struct gdb_machine *gdb_session_machine(struct gdb_session *session);

/* The registers that machine has. */
const struct gdb_x86_layout *gdb_session_layout(struct gdb_session *session);

/* The space memory packets name. */
enum mh_space gdb_session_space(const struct gdb_session *session);

/*
 * Make the reply an error: "E." and the text if the debugger takes that ("error-message"), else "E" and the code.
 * Returns GDB_REPLY.
 */
enum gdb_outcome gdb_session_fail(struct gdb_session *session, enum gdb_error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Look up from a packet that takes long: false when the debugger has gone, or the session is to end. Nobody waits for a
 * reply then: return GDB_SILENT.
 */
bool gdb_session_poll(struct gdb_session *session);

/* The reply to a packet that cannot be read. Returns GDB_REPLY. */
enum gdb_outcome gdb_session_malformed(struct gdb_session *session);

/* Make the reply "OK". Returns GDB_REPLY. */
enum gdb_outcome gdb_session_ok(struct gdb_session *session);

/* Send a '+' that is owed, now, because the reply may take a while. */
void gdb_session_acknowledge(struct gdb_session *session);

/* Send bytes as they are. When the connection is lost, the session ends. */
void gdb_session_send_bytes(struct gdb_session *session, const char *from, size_t length);

/* Send what is in session->out as a packet and clear it. */
void gdb_session_send(struct gdb_session *session);

/* A mh_text_sink, with the session as context: collects text for the debugger's console. */
void gdb_session_print(void *ctx, const char *text, size_t length);

/* Send the text collected as 'O' packets. Allowed only while the debugger waits for a stop or for qRcmd. */
void gdb_session_flush_console(struct gdb_session *session);

/* --- thread ids (GDB manual, "Packets", "thread-id syntax") --- */

struct gdb_thread_id {
    bool all;                    /* -1 */
    bool any;                    /* 0 */
    struct gdb_machine *machine; /* else: NULL when there is no such thread */
};

/* Reads a thread id, with or without process. Returns false when it is none. */
bool gdb_session_thread_id(struct gdb_session *session, struct gdb_text *text, struct gdb_thread_id *id);

/* Writes the id of a machine's only thread. */
void gdb_session_put_thread(struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine);

/* --- stop replies (stop_reply.c) --- */

/* Make the reply that tells why `machine` is not running. */
void gdb_session_put_stop(struct gdb_session *session, const struct gdb_machine *machine);

/*
 * If an attended machine has something to tell, stop the others and tell it.
 * Returns false when there is nothing to tell. Call it only while session->resumed.
 */
bool gdb_session_report(struct gdb_session *session);

#endif
