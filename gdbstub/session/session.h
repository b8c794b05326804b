/*
 * One debugger's connection: negotiated features, the selected machine, buffers; and the functions with which packets
 * are answered. A session belongs to the thread that runs it.
 *
 * In all-stop mode, while `resumed` is set, the debugger waits for a stop reply and sends nothing but interrupts;
 * otherwise every attached machine is stopped. In non-stop mode `resumed` is never set: resuming is answered at once,
 * each machine stops alone, and stops are reported with notifications.
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

#define GDB_PACKET_SIZE 0x20000u /* longest payload that is accepted; reported as PacketSize */
#define GDB_INPUT_SIZE (GDB_PACKET_SIZE + 0x2000u)
#define GDB_OUTPUT_SIZE (2u * GDB_PACKET_SIZE + 64u)
#define GDB_SCRATCH_SIZE (2u * GDB_PACKET_SIZE)
#define GDB_DOCUMENT_SIZE 0x10000u
#define GDB_CONSOLE_SIZE 0x4000u
#define GDB_FILES_MAX 8u
#define GDB_SIGNAL_COUNT 256u
#define GDB_WATCHED_MAX 3u

/* Error numbers of "E NN" replies. gdb displays them and does not interpret them. */
enum gdb_error_code {
    GDB_ERROR_FAILED = 0x01,
    GDB_ERROR_NO_THREAD = 0x03,
    GDB_ERROR_MEMORY = 0x0e,
    GDB_ERROR_FORMAT = 0x16,
};

/* What to do after a packet has been processed. */
enum gdb_outcome {
    GDB_REPLY,   /* send the reply */
    GDB_SILENT,  /* there are none */
    GDB_RESUMED, /* the next stop reply is the reply */
    GDB_LEAVE,   /* send the reply, if there is one, then end the session */
};

enum gdb_session_end {
    GDB_SESSION_ACTIVE,
    GDB_SESSION_DETACHED, /* the debugger detached, or killed everything */
    GDB_SESSION_LOST,     /* the connection is gone */
    GDB_SESSION_STOPPED,  /* the stop descriptor was readable */
};

struct gdb_session;

/* Answers a packet; the reply goes to session->out. An empty reply means that the packet is not supported. */
typedef enum gdb_outcome gdb_dispatch_fn(struct gdb_session *session, struct gdb_text packet);

/* How much of the list of tracepoints and variables the debugger has read. */
struct gdb_trace_upload {
    size_t point, line; /* `line` is an offset into the tracepoint's lines */
    bool defined;       /* its definition has been sent */
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
    bool pass_signal[GDB_SIGNAL_COUNT];    /* QPassSignals: deliver these without reporting them */
    bool program_signal[GDB_SIGNAL_COUNT]; /* QProgramSignals: the program may get these */

    bool non_stop;              /* QNonStop */
    bool notifying;             /* a stop was sent, and vStopped has not come yet */
    bool notifies_later;        /* the debugger is still connecting, and must not get notifications */
    struct gdb_machine *paused; /* stopped while a packet is answered; NULL: none */

    bool resumed;
    bool stepping;      /* the last stop was the end of a step; more steps may follow at once */
    bool stop_acked;    /* the debugger has sent a packet since the last stop reply, so it knows of the stop */
    bool interrupt_due; /* an interrupt is pending for the next resume */
    bool ack_owed;      /* the last packet has not been acknowledged */
    bool physical;      /* memory packets name guest-physical addresses */
    bool color;         /* the text of monitor commands goes to a terminal, its user says */
    struct gdb_machine *g_thread; /* Hg: the selected machine, for registers and memory; never NULL */
    struct gdb_machine *c_thread; /* Hc: NULL for all */
    bool traceframe_selected;     /* examine a trace frame instead of the machine */
    size_t traceframe;            /* its index */
    struct gdb_trace_upload upload;
    int files[GDB_FILES_MAX]; /* vFile: host descriptors, -1 free */

    /* descriptors to watch: the connection first, then stop_fd and the acceptor's */
    int watched[GDB_WATCHED_MAX];
    unsigned watched_count;
    unsigned unwatched; /* events processed since the descriptors were polled */
    gdb_dispatch_fn *dispatch;
    int (*on_pending)(void *ctx); /* another debugger connects; returns the descriptor to watch for the next one */
    void *on_pending_ctx;
    void (*command)(void *ctx, const char *text); /* receives each packet, for logging; may be NULL */
    void *command_ctx;

    /* receives what machines print while this debugger cannot */
    void (*outer_print)(void *ctx, const struct gdb_machine *machine, const char *text, size_t length);
    void *outer_print_ctx;

    /* retransmissions, see session_is_retransmission() */
    bool reply_acked; /* the debugger acknowledges the replies to the last packet */
    int unacked;      /* replies to it that have not been acknowledged; below 0: a stop reply was, in advance */
    size_t last_packet_length;

    struct gdb_packet_reader in;
    struct gdb_reply out;
    const char *last_sent; /* to be sent again after '-'; in the output buffer */
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
 * Serve one debugger until the session ends. All machines that have not ended are attached to and stopped first; there
 * must be at least one machine. Machines that are still attached at the end were not detached by the debugger, and are
 * stopped. Returns why the session ended.
 */
enum gdb_session_end gdb_session_run(struct gdb_session *session, struct gdb_machines *machines,
                                     const struct gdb_session_options *options);

/* --- for the packets --- */

/* In non-stop mode, stop the selected machine until the packet has been answered. */
void gdb_session_pause(struct gdb_session *session);

/* Return why the selected machine cannot be examined, to follow its name; NULL if it is stopped and attached. */
const char *gdb_session_why_unavailable(const struct gdb_session *session);

/* Return the selected machine if it is stopped and attached; otherwise NULL with the error reply made. */
struct gdb_machine *gdb_session_machine(struct gdb_session *session);

/* Return the registers the selected machine has. */
const struct gdb_x86_layout *gdb_session_layout(struct gdb_session *session);

/* Return the address space of memory packets. */
enum mh_space gdb_session_space(const struct gdb_session *session);

/*
 * Make an error reply: "E." and the text if the debugger takes error messages, else "E" and the code. Returns
 * GDB_REPLY.
 */
enum gdb_outcome gdb_session_fail(struct gdb_session *session, enum gdb_error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Check the descriptors while processing a packet that takes long. Returns false if the debugger has gone or the
 * session is to end; no reply is expected then: return GDB_SILENT.
 */
bool gdb_session_poll(struct gdb_session *session);

/* Reply that the packet is malformed. Returns GDB_REPLY. */
enum gdb_outcome gdb_session_malformed(struct gdb_session *session);

/* Reply "OK". Returns GDB_REPLY. */
enum gdb_outcome gdb_session_ok(struct gdb_session *session);

/* Acknowledge the packet now if that is still to be done, because the reply may take long. */
void gdb_session_acknowledge(struct gdb_session *session);

/* Send bytes as they are. If the connection is lost, the session ends. */
void gdb_session_send_bytes(struct gdb_session *session, const char *from, size_t length);

/* Send session->out as a packet and clear it. */
void gdb_session_send(struct gdb_session *session);

/* A mh_text_sink with the session as context: collect text for the debugger's console. */
void gdb_session_print(void *ctx, const char *text, size_t length);

/* Send the collected text as 'O' packets. Allowed only while the debugger waits for a stop reply or for qRcmd. */
void gdb_session_flush_console(struct gdb_session *session);

/* --- thread ids (GDB manual, "Packets", "thread-id syntax") --- */

struct gdb_thread_id {
    bool all;                    /* -1 */
    bool any;                    /* 0 */
    struct gdb_machine *machine; /* otherwise; NULL if there is no such thread */
};

/* Parse a thread id, with or without process. Returns false if it is malformed. */
bool gdb_session_thread_id(struct gdb_session *session, struct gdb_text *text, struct gdb_thread_id *id);

/* Append the id of a machine's only thread. */
void gdb_session_put_thread(struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine);

/* --- stop replies (stop_reply.c) --- */

/* Make the stop reply for a machine that is stopped or has ended. */
void gdb_session_put_stop(struct gdb_session *session, const struct gdb_machine *machine);

/*
 * The same without registers, for a debugger that has just connected: it asks for all of them then, and gdb learns how
 * long a `g` packet is. Before that it takes blocks of registers in trace files to be longer than they are.
 */
void gdb_session_put_status(struct gdb_session *session, const struct gdb_machine *machine);

/*
 * If an attached machine has a stop to report, stop the others and report it. Returns false if there is none. Call it
 * only while session->resumed.
 */
bool gdb_session_report(struct gdb_session *session);

/* --- non-stop mode (stop_reply.c) --- */

/* Notify the debugger of a stop if there is one to report and it has acknowledged the one before. */
void gdb_session_notify(struct gdb_session *session);

/* The debugger knows of the stop that was sent last. */
void gdb_session_stop_acknowledged(struct gdb_session *session);

/* Make the stop reply for the first machine with a stop to report, to be acknowledged like a notification. Returns
 * false if there is none. */
bool gdb_session_put_first_stop(struct gdb_session *session);

#endif
