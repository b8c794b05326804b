/* Debuggers of --anywhere: outside they come to where --gdb says, inside the program finds them at descriptors. */
#ifndef MH_TOOL_ANYWHERE_GDB_H
#define MH_TOOL_ANYWHERE_GDB_H

#include "anywhere_relay.h"
#include "mh/gdb_door.h"
#include "options.h"

struct anywhere_entrance {
    struct mh_gdb_listener listener;
    struct gdb_door door;
};

struct anywhere_gdb {
    size_t count;
    struct anywhere_entrance *entrances;
};

/* Listen wherever the command line says. MH_OK, or what mh_gdb_listen() returns. Close in either case. */
enum mh_status anywhere_gdb_open(struct anywhere_gdb *gdb, const struct options *options, struct mh_error *err);
void anywhere_gdb_close(struct anywhere_gdb *gdb);

/* Write the variables of START_GDB_VARIABLE, each ended by a zero byte. */
void anywhere_gdb_tell(const struct anywhere_gdb *gdb, FILE *to);

/* The descriptor to watch for entrance `number` just now: its listener, or a timer while nobody can be let in. */
int anywhere_gdb_fd(const struct anywhere_gdb *gdb, size_t number);

/* That descriptor is readable: open a stream to the machine for who came, if that can be done. */
void anywhere_gdb_accept(struct anywhere_gdb *gdb, size_t number, struct relay *relay);

#endif
