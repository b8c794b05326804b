/* Where the machines' serial ports lead: stdin and stdout, a file, a pseudo-terminal, or nowhere. */
#ifndef MH_TOOL_SERIAL_ENDS_H
#define MH_TOOL_SERIAL_ENDS_H

#include "console/console.h"
#include "console/terminal.h"
#include "mh/vm.h"
#include "options/options.h"

/* `pattern` with each "%n" replaced by the number. Returns a string to free(), NULL without memory. */
char *serial_end_path(const char *pattern, size_t number);

/* One machine's end. Which members are used depends on the kind. */
struct serial_end {
    enum serial_kind kind;
    const atomic_bool *ending;
    struct console_port port;  /* STDIO */
    struct terminal *terminal; /* STDIO: stdin, for the one machine it feeds; NULL for the others */
    bool input_ended;
    int fd;      /* FILE; PTY: the master side */
    int peer_fd; /* PTY: the slave side, held open so that nothing is lost while no program has it open */
    char pty_path[64];
};

/*
 * Prepare machine `number`'s end of the kind the options ask for. Returns MH_OK, or MH_ERR_HOST / MH_ERR_IO with what
 * could not be opened. Call serial_end_close() in either case.
 */
enum mh_status serial_end_open(struct serial_end *end, const struct options *options, size_t number,
                               struct console *console, const char *label, struct terminal *terminal,
                               struct mh_error *err);

/* The end as the machine sees it. */
struct mh_serial_end serial_end_for_vm(struct serial_end *end);

/* The machine has ended: write what is still held back. 0, or minus an errno. */
int serial_end_finish(struct serial_end *end);
void serial_end_close(struct serial_end *end);

#endif
