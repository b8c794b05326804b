#include "debug/proc_maps.h"

#include "machine/guest_mem.h"
#include "x86/page_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool proc_maps_is(const char *name)
{
    static const char prefix[] = "/proc/";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *number = name + sizeof prefix - 1;
    size_t digits = strspn(number, "0123456789");
    return digits > 0 && strcmp(number + digits, "/maps") == 0;
}

struct listing {
    FILE *to;
    const struct guest_ram *memory;
};

/* gdb leaves out what has neither a device nor a name nor a right to write; a name takes care of that. */
static void add_line(void *ctx, const struct page_mapping *mapping)
{
    const struct listing *listing = ctx;
    if (ram_at(listing->memory, mh_gpa_of(mapping->physical), 1) != NULL)
        fprintf(listing->to, "%" PRIx64 "-%" PRIx64 " r%c%cp %08" PRIx64 " 00:00 0 [heap]\n", mapping->start,
                mapping->end, mapping->writable ? 'w' : '-', mapping->executable ? 'x' : '-', mapping->physical);
}

int proc_maps_open(struct mh_vm *vm)
{
    int fd = memfd_create("maps", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : dup(fd); /* fclose() takes one along */
    FILE *to = copy < 0 ? NULL : fdopen(copy, "w");
    if (to == NULL) {
        int error = errno;
        close(copy);
        close(fd);
        return -error;
    }
    const struct paging_mode mode = guest_paging_mode(vm);
    struct listing listing = {.to = to, .memory = &vm->ram};
    page_map_each(&vm->ram, &mode, add_line, &listing);
    if (fclose(to) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}
