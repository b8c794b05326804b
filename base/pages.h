/* Large objects of which little may ever be used. */
#ifndef MH_BASE_PAGES_H
#define MH_BASE_PAGES_H

#include <stddef.h>

/*
 * Zeroed memory, aligned to a page; a page of it costs nothing until it is written. NULL without memory. pages_free()
 * takes the same size; NULL is allowed.
 */
void *pages_alloc(size_t size);
void pages_free(void *pages, size_t size);

#endif
