/* One machine of the command line: its thread, its serial port and debugger, and how it ended. */
#ifndef MH_TOOL_MACHINE_H
#define MH_TOOL_MACHINE_H

#include "console/serial_ends.h"
#include "mh/recording.h"
#include "observe/stats.h"
#include "observe/trace.h"
#include "report/run_report.h"
#include "run/coverage.h"
#include "run/debugging.h"
#include "sandbox/file_opener.h"

/* How a machine ended, in the order in which one outweighs another for the exit status. */
enum ending {
    ENDING_HALTED,
    ENDING_HOST, /* it could not be created, or the host failed its processor */
    ENDING_CRASHED,
    ENDING_IO,
    ENDING_DIFFERS, /* --replay: not what was recorded */
    ENDING_STOPPED, /* from outside: timeout or signal */
};

/* What all machines of the process share. */
struct shared {
    const struct options *options;
    struct mh_host *host;
    struct mh_shared_files *files;
    struct mh_exchange *exchange;   /* NULL: there is none */
    struct mh_recording *recording; /* NULL: guests are run */
    struct console console;
    struct terminal terminal;
    struct debugging debugging;
    struct file_opener image_opener; /* the images by their machines' places; only with --gdb */
    struct trace trace;
    atomic_bool ending;     /* everything is to end */
    atomic_bool timed_out;  /* why: written before `ending` is set */
    int ending_fd;          /* an eventfd: readable once `ending` is set */
    pthread_rwlock_t start; /* held until all threads exist, which start at once then: guests that spin delay others */
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
    int record_fd; /* -1: no recording */
    struct coverage coverage, profile;
    struct run_report *report;  /* NULL: none */
    struct mh_gdb_listener gdb; /* where a debugger connects, if one may */
    pthread_t thread;
    bool has_thread;
    enum ending ending;
    struct stats stats;    /* its thread's until that has ended; so is the next */
    char *processor_stats; /* what mh_vm_stats() wrote; NULL: nothing, or no memory for it */

    pthread_mutex_t mutex; /* guards `vm`, which other threads kick while it is created and destroyed */
    struct mh_vm *vm;
};

/* Fill in a machine; `name` is printable and no other machine's. MH_OK, or what serial_end_open() returns. */
enum mh_status machine_init(struct machine *machine, struct shared *shared, size_t number, const char *name,
                            const struct mh_image *image, struct mh_error *err);
void machine_destroy(struct machine *machine);

/* Print a message about the machine; `ctx` is a struct machine, the text one line without a newline. */
void machine_notice(void *ctx, const char *text);

/* Print which processor ran the machine, and what it did, for --stats; call it after the machine has ended. */
void machine_print_stats(const struct machine *machine);

/* Start the thread that creates, runs and destroys the machine; wait for its end with machine_join(). When no thread
 * can be created, the machine has ended, and a message says so. */
void machine_start(struct machine *machine);
void machine_join(struct machine *machine);

/* Ask the machine to end; may be repeated until it has. */
void machine_stop(struct machine *machine);

/* Called every few milliseconds: hand on output that has waited since the last call. */
void machine_tick(struct machine *machine);

#endif
