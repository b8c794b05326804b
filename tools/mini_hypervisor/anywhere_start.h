/*
 * What the tiny machine of --anywhere is to start. The launcher puts it as a file into the machine's first file system:
 * strings, each ended by a zero byte, in the order below.
 *
 *   umask        octal
 *   ends         a letter for each of stdin, stdout and stderr, see enum start_end
 *   end of file  the code of the key that ends a terminal's input, decimal
 *   listeners    how many places debuggers may come to, decimal
 *   directory    the current one
 *   program      its path
 *   arguments    how many, decimal, and the words
 *   environment  the same
 */
#ifndef MH_TOOL_ANYWHERE_START_H
#define MH_TOOL_ANYWHERE_START_H

#include "anywhere_wire.h"

#define START_FILE "start"
#define START_MODULES "modules" /* a directory; its files are 0, 1, 2 ... in the order they are to be loaded */
#define START_CHANNEL "/dev/vport0p1"
#define START_ROOT_TAG "root" /* of the 9p file system that is the host's / */
#define START_LISTENERS_MAX 256u

/* The first descriptor of those that listen for debuggers; and the variable that says where people connect to: for
 * machine N the N-th descriptor and the variable with _N, with a '!' before the place if it can be reached from other
 * machines. */
#define START_GDB_FD 3
#define START_GDB_VARIABLE "MINI_HYPERVISOR_GDB_"

enum start_end {
    START_CLOSED = 'c',
    START_PIPE = 'p',
    START_TERMINAL = 't',
    START_SAME = 's', /* stderr, the same as stdout */
};

#endif
