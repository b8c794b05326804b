/* A pipe in the place of a person: what was written to it, as text. */
#ifndef MH_TEST_COLLECTOR_H
#define MH_TEST_COLLECTOR_H

#include <stddef.h>

#define COLLECTOR_MAX (1u << 20)

struct collector {
    int read_fd, write_fd;
    char *text;
    size_t length;
};

/* A pipe that holds COLLECTOR_MAX bytes, so that writers never wait for its reader. */
struct collector *collector_make(void);
void collector_remove(struct collector *collector);

/* All that has come so far; ends in a NUL. */
const char *collector_text(struct collector *collector);

#endif
