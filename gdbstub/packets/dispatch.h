/* Finding the function that answers a packet, in one table of all packets. */
#ifndef GDBSTUB_DISPATCH_H
#define GDBSTUB_DISPATCH_H

#include "session/session.h"

/* How arguments follow the name. */
enum gdb_args {
    GDB_ARGS_NONE,     /* there are none */
    GDB_ARGS_ADJACENT, /* immediately */
    GDB_ARGS_AFTER,    /* after the separator */
    GDB_ARGS_OPTIONAL, /* after the separator, or none */
};

enum gdb_command_flag {
    GDB_LATER = 1,  /* the reply may take long, so the packet is acknowledged first */
    GDB_PAUSES = 2, /* the selected machine has to stand still; in non-stop mode, it is stopped for a moment */
};

/* Answers one packet. `args` is what follows its name and separator. The reply goes to session->out. */
typedef enum gdb_outcome gdb_command_fn(struct gdb_session *session, struct gdb_text args);

struct gdb_command {
    const char *name;
    enum gdb_args args;
    char separator; /* AFTER and OPTIONAL */
    unsigned flags; /* a set of enum gdb_command_flag */
    gdb_command_fn *run;
};

/* Return the table and in *count its length. */
const struct gdb_command *gdb_command_table(size_t *count);

/* Return the row for a packet and set *args to its arguments; NULL if the packet is not known. */
const struct gdb_command *gdb_command_find(struct gdb_text packet, struct gdb_text *args);

/* The gdb_dispatch_fn that looks up the packet in the table. */
gdb_dispatch_fn gdb_dispatch;

#endif
