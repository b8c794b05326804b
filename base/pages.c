#include "pages.h"

#include <sys/mman.h>

void *pages_alloc(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    /* a huge page would cost all of it at the first write; failure only means there are none */
    madvise(pages, size, MADV_NOHUGEPAGE);
    return pages;
}

void pages_free(void *pages, size_t size)
{
    if (pages != NULL)
        munmap(pages, size);
}
