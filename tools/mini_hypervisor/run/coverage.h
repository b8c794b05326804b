/* --coverage of a machine: counts of instructions, which coverage_report turns into source lines. */
#ifndef MH_TOOL_COVERAGE_H
#define MH_TOOL_COVERAGE_H

#include "mh/vm.h"
#include "options/options.h"
#include "sandbox/filter.h"

#include <stddef.h>

struct coverage {
    struct filter filter;
    int fd;           /* the file; -1: there is none */
    const char *path; /* of the image, or its name */
};

/* Do all that the process cannot do when it is confined: open the file of machine `number`, and start what converts.
 * `image` lives as long as *coverage. MH_OK, or an error with a text; call coverage_close() in any case. */
enum mh_status coverage_open(struct coverage *coverage, const struct options *options, size_t number, const char *image,
                             struct mh_error *err);

/* The machine has ended: write the file. MH_OK, or MH_ERR_IO or MH_ERR_HOST with the reason. */
enum mh_status coverage_write(struct coverage *coverage, struct mh_vm *vm, struct mh_error *err);

void coverage_close(struct coverage *coverage);

#endif
