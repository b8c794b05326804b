#include "ram/ram.h"

#include "pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum mh_status ram_create(struct guest_ram *ram, uint64_t ram_size, struct mh_error *err)
{
    *ram = (struct guest_ram){.ram_size = ram_size};
    void *host = pages_alloc(ram_size + MH_SYSTEM_AREA_SIZE);
    if (host == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %llu MB of guest RAM: %s", (unsigned long long)(ram_size >> 20),
                       strerror(errno));
    ram->host = host;
    return MH_OK;
}

void ram_free(struct guest_ram *ram)
{
    pages_free(ram->host, ram->ram_size + MH_SYSTEM_AREA_SIZE);
    ram->host = NULL;
}

void ram_clear(struct guest_ram *ram)
{
    const size_t size = ram->ram_size + MH_SYSTEM_AREA_SIZE;
    if (madvise(ram->host, size, MADV_DONTNEED) != 0)
        memset(ram->host, 0, size);
    memset(ram->accessed, 0, sizeof ram->accessed);
    ram->misses_accesses = false;
}

uint8_t *ram_system_area(const struct guest_ram *ram)
{
    return ram->host + ram->ram_size;
}

void *ram_only_at(const struct guest_ram *ram, mh_gpa start, uint64_t length)
{
    if (ram->host == NULL || start.v > ram->ram_size || length > ram->ram_size - start.v)
        return NULL;
    return ram->host + start.v;
}

void *ram_at(const struct guest_ram *ram, mh_gpa start, uint64_t length)
{
    if (start.v < MH_SYSTEM_AREA)
        return ram_only_at(ram, start, length);
    uint64_t offset = start.v - MH_SYSTEM_AREA;
    if (ram->host == NULL || offset > MH_SYSTEM_AREA_SIZE || length > MH_SYSTEM_AREA_SIZE - offset)
        return NULL;
    return ram_system_area(ram) + offset;
}

mh_gpa ram_gpa(const struct guest_ram *ram, const void *at)
{
    uint64_t offset = (uint64_t)((const uint8_t *)at - ram->host);
    return mh_gpa_of(offset < ram->ram_size ? offset : MH_SYSTEM_AREA + (offset - ram->ram_size));
}

void ram_mark_written(struct guest_ram *ram, const void *at, size_t length)
{
    size_t offset = (size_t)((const uint8_t *)at - ram->host);
    for (size_t page = offset / PAGE_4K; page <= (offset + length - 1) / PAGE_4K; page++)
        ram->changed[page / 64] |= 1ull << page % 64;
}

void ram_note_written(struct guest_ram *ram, const void *at, size_t length)
{
    if (length == 0)
        return;
    ram_mark_written(ram, at, length);
    if (ram->watcher != NULL)
        ram->watcher(ram->watcher_ctx, ram_gpa(ram, at), length);
}

void ram_put(struct guest_ram *ram, void *to, const void *from, size_t length)
{
    memcpy(to, from, length);
    ram_note_written(ram, to, length);
}

size_t ram_pages(const struct guest_ram *ram)
{
    return (ram->ram_size + MH_SYSTEM_AREA_SIZE) / PAGE_4K;
}
