/* From a packet to the function that answers it, through one table of all commands. */
#ifndef GDBSTUB_DISPATCH_H
#define GDBSTUB_DISPATCH_H

#include "session/session.h"

/* How arguments follow a command's name. */
enum gdb_args {
    GDB_ARGS_NONE,     /* not at all */
    GDB_ARGS_ADJACENT, /* directly */
    GDB_ARGS_AFTER,    /* behind the separator */
    GDB_ARGS_OPTIONAL, /* behind the separator, or not at all */
};

/* Answers one command: `args` is what follows its name and separator. The reply goes to session->out. */
typedef enum gdb_outcome gdb_command_fn(struct gdb_session *session, struct gdb_text args);

struct gdb_command {
    const char *name;
    enum gdb_args args;
    char separator; /* AFTER and OPTIONAL */
    bool later;     /* its answer may take long, so the packet is acknowledged before it is looked at */
    gdb_command_fn *run;
};

/* The whole table and its length. */
const struct gdb_command *gdb_command_table(size_t *count);

/* The command of `packet`, NULL when it is not known; *args is set to its arguments. */
const struct gdb_command *gdb_command_find(struct gdb_text packet, struct gdb_text *args);

/* The gdb_dispatch_fn that looks up the packet in the table. */
gdb_dispatch_fn gdb_dispatch;

#endif
