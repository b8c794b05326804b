/* One machine of the command line: its thread, its ends, how it ended. */
#ifndef MH_TOOL_MACHINE_H
#define MH_TOOL_MACHINE_H

#include "console/serial_ends.h"
#include "observe/stats.h"
#include "observe/trace.h"
#include "run/debugging.h"

/* How a machine ended, in the order in which one outweighs another for the exit status. */
enum ending {
    ENDING_HALTED,
    ENDING_HOST, /* it could not be created, or KVM could not go on */
    ENDING_CRASHED,
    ENDING_IO,
    ENDING_STOPPED, /* from outside: timeout or signal */
};

/* What all machines of the process share. */
struct shared {
    const struct options *options;
    struct mh_host *host;
    struct mh_shared_files *files;
    struct console console;
    struct terminal terminal;
    struct debugging debugging;
    struct trace trace;
    atomic_bool ending;    /* everything is to end */
    atomic_bool timed_out; /* why: written before `ending` is set */
    int ending_fd;         /* an eventfd: readable once `ending` is set */
    pthread_mutex_t start; /* held until all threads are there: guests that spin would delay those to come */
    atomic_size_t running;
    int done_fd; /* an eventfd: written when the last machine has ended */
};

struct machine {
    struct shared *shared;
    size_t number; /* from 1 */
    char name[80]; /* printable; distinct among the machines */
    char title[112];
    char files_name[112];
    const struct mh_image *image;
    struct serial_end serial;
    struct mh_gdb_listener gdb; /* where a debugger connects, if one may */
    pthread_t thread;
    bool has_thread;
    enum ending ending;
    struct stats stats; /* its thread's until that has ended */

    pthread_mutex_t mutex; /* guards `vm`: it comes and goes while other threads want to kick it */
    struct mh_vm *vm;
};

/* Fill in a machine; `name` is printable and no other machine's. MH_OK, or what serial_end_open() returns. */
enum mh_status machine_init(struct machine *machine, struct shared *shared, size_t number, const char *name,
                            const struct mh_image *image, struct mh_error *err);
void machine_destroy(struct machine *machine);

/* Tell the person something about the machine; `ctx` is a struct machine, the text one line without newline. */
void machine_notice(void *ctx, const char *text);

/* Print what it did, with --stats; to be called after its end. */
void machine_print_stats(const struct machine *machine);

/* Start the thread that creates, runs and destroys the machine; wait for its end with machine_join(). A machine for
 * which there is no thread has ended, and that is told. */
void machine_start(struct machine *machine);
void machine_join(struct machine *machine);

/* Ask the machine to end; may be repeated until it has. */
void machine_stop(struct machine *machine);

/* Called every few milliseconds: let output out that has waited since the last time. */
void machine_tick(struct machine *machine);

#endif
