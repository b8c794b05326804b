/*
 * --anywhere: run the program's own command line in a tiny machine under QEMU, which brings a kernel with KVM along.
 * docs/architecture.md explains how.
 */
#ifndef MH_TOOL_ANYWHERE_H
#define MH_TOOL_ANYWHERE_H

#include "options.h"

/*
 * Run it to its end. `argv` is what `options` were read from, `signal_fd` a signalfd. Returns MH_OK with the exit
 * status in *code, or an error with what went wrong on this side, *code unspecified.
 */
enum mh_status anywhere_run(char *const *argv, const struct options *options, int signal_fd, int *code,
                            struct mh_error *err);

/*
 * Within such a machine: the place where debuggers of machine `number` (from 1; 1 also for one for all) come, opened
 * outside. False when there is none, as in an ordinary process.
 */
bool anywhere_inherit_listener(size_t number, struct mh_gdb_listener *listener);

#endif
