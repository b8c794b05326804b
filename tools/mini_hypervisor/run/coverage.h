/* --coverage and --profile of a machine: what was counted, which coverage_report writes with names and source lines. */
#ifndef MH_TOOL_COVERAGE_H
#define MH_TOOL_COVERAGE_H

#include "mh/vm.h"
#include "sandbox/filter.h"

#include <stddef.h>

enum coverage_kind { COVERAGE_LINES, COVERAGE_CALLS };

struct coverage {
    struct filter filter;
    int fd;             /* the file; -1: there is none */
    const char *option; /* for messages */
    const char *image;  /* its path, or its name */
    enum coverage_kind kind;
};

/* As coverage_close() leaves it. */
void coverage_init(struct coverage *coverage, enum coverage_kind kind, const char *image);

/* Do all that the process cannot do when it is confined: open the file, and start what converts. `pattern` is the
 * file's path, with "%n" for the machine's number. MH_OK, or an error with a text; call coverage_close() in any case.
 */
enum mh_status coverage_open(struct coverage *coverage, const char *pattern, size_t number, struct mh_error *err);

/* The machine has ended: write the file, if one was opened. MH_OK, or MH_ERR_IO or MH_ERR_HOST with the reason. */
enum mh_status coverage_write(struct coverage *coverage, struct mh_vm *vm, struct mh_error *err);

void coverage_close(struct coverage *coverage);

#endif
