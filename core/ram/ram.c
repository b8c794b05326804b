#include "ram/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum mh_status ram_create(struct guest_ram *memory, uint64_t ram_size, struct mh_error *err)
{
    *memory = (struct guest_ram){.ram_size = ram_size};
    void *host = mmap(NULL, ram_size + MH_SYSTEM_AREA_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
        return mh_fail(err, MH_ERR_HOST, "no memory for %llu MB of guest RAM: %s", (unsigned long long)(ram_size >> 20),
                       strerror(errno));
    /* a huge page would make a guest that touches one byte cost 2 MB; failure only means there are none */
    madvise(host, ram_size + MH_SYSTEM_AREA_SIZE, MADV_NOHUGEPAGE);
    memory->host = host;
    return MH_OK;
}

void ram_free(struct guest_ram *memory)
{
    if (memory->host != NULL)
        munmap(memory->host, memory->ram_size + MH_SYSTEM_AREA_SIZE);
    memory->host = NULL;
}

uint8_t *ram_system_area(const struct guest_ram *memory)
{
    return memory->host + memory->ram_size;
}

void *ram_only_at(const struct guest_ram *memory, mh_gpa start, uint64_t length)
{
    if (memory->host == NULL || start.v > memory->ram_size || length > memory->ram_size - start.v)
        return NULL;
    return memory->host + start.v;
}

void *ram_at(const struct guest_ram *memory, mh_gpa start, uint64_t length)
{
    if (start.v < MH_SYSTEM_AREA)
        return ram_only_at(memory, start, length);
    uint64_t offset = start.v - MH_SYSTEM_AREA;
    if (memory->host == NULL || offset > MH_SYSTEM_AREA_SIZE || length > MH_SYSTEM_AREA_SIZE - offset)
        return NULL;
    return ram_system_area(memory) + offset;
}

void ram_note_written(struct guest_ram *memory, const void *at, size_t length)
{
    size_t offset = (size_t)((const uint8_t *)at - memory->host);
    if (length == 0)
        return;
    for (size_t page = offset / PAGE_4K; page <= (offset + length - 1) / PAGE_4K; page++)
        memory->changed[page / 64] |= 1ull << page % 64;
}

void ram_put(struct guest_ram *memory, void *to, const void *from, size_t length)
{
    memcpy(to, from, length);
    ram_note_written(memory, to, length);
}

size_t ram_pages(const struct guest_ram *memory)
{
    return (memory->ram_size + MH_SYSTEM_AREA_SIZE) / PAGE_4K;
}
