/* Exit statuses: the contract with scripts, also in help.c, the manual page and the README. */
#ifndef MH_TOOL_EXIT_CODE_H
#define MH_TOOL_EXIT_CODE_H

#include "mh/status.h"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_HOST = 3,
    EXIT_CODE_IMAGE = 4,
    EXIT_CODE_CRASHED = 5,
    EXIT_CODE_IO = 6,
    EXIT_CODE_DIFFERS = 7,
    EXIT_CODE_TIMEOUT = 124,
    EXIT_CODE_SIGNAL = 128, /* plus its number */
};

/* The exit status of a program that ends with this. */
int exit_code_for_status(enum mh_status status);

#endif
