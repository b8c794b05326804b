#include "debug/proc_files.h"

#include "machine/guest_mem.h"
#include "machine/image.h"
#include "x86/page_map.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char proc_files_root[] = "/proc/";

bool proc_files_is(const char *name)
{
    return strncmp(name, proc_files_root, sizeof proc_files_root - 1) == 0;
}

/* "maps" of "/proc/N/maps"; NULL when `name` is not like that. */
static const char *proc_files_base(const char *name)
{
    if (!proc_files_is(name))
        return NULL;
    const char *process = name + sizeof proc_files_root - 1;
    size_t length = strncmp(process, "self/", 5) == 0 ? 4 : strspn(process, "0123456789");
    return length > 0 && process[length] == '/' ? process + length + 1 : NULL;
}

struct listing {
    FILE *to;
    const struct guest_ram *memory;
};

/* gdb skips mappings without a device, a name or write permission, so give each a name. */
static void proc_files_add_line(void *ctx, const struct page_mapping *mapping)
{
    const struct listing *listing = ctx;
    if (ram_at(listing->memory, mh_gpa_of(mapping->physical), 1) != NULL)
        fprintf(listing->to, "%" PRIx64 "-%" PRIx64 " r%c%cp %08" PRIx64 " 00:00 0 [heap]\n", mapping->start,
                mapping->end, mapping->writable ? 'w' : '-', mapping->executable ? 'x' : '-', mapping->physical);
}

static void proc_files_write_maps(struct mh_vm *vm, FILE *to)
{
    const struct paging_mode mode = guest_paging_mode(vm);
    struct listing listing = {.to = to, .memory = &vm->ram};
    page_map_each(&vm->ram, &mode, proc_files_add_line, &listing);
}

/* The one argument, with the NUL that ends it. */
static void proc_files_write_cmdline(struct mh_vm *vm, FILE *to)
{
    const char *path = mh_image_path(vm->config.image);
    fputs(path != NULL ? path : vm->config.name, to);
    fputc('\0', to);
}

/* A guest has no environment. */
static void proc_files_write_environ(struct mh_vm *vm, FILE *to)
{
    (void)vm, (void)to;
}

static void proc_files_write_auxv(struct mh_vm *vm, FILE *to)
{
    const Elf64_auxv_t vector[] = {
        {.a_type = AT_PAGESZ, .a_un.a_val = PAGE_4K},
        {.a_type = AT_ENTRY, .a_un.a_val = image_entry(vm->config.image)},
        {.a_type = AT_NULL},
    };
    fwrite(vector, sizeof vector[0], sizeof vector / sizeof vector[0], to);
}

static int proc_files_make(struct mh_vm *vm, const char *name, void (*write)(struct mh_vm *, FILE *))
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : dup(fd); /* fclose() takes one along */
    FILE *to = copy < 0 ? NULL : fdopen(copy, "w");
    if (to == NULL) {
        int error = errno;
        close(copy);
        close(fd);
        return -error;
    }
    write(vm, to);
    if (fclose(to) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int proc_files_open(struct mh_vm *vm, const char *name)
{
    static const struct {
        const char *name;
        void (*write)(struct mh_vm *, FILE *);
    } files[] = {
        {"maps", proc_files_write_maps},
        {"cmdline", proc_files_write_cmdline},
        {"environ", proc_files_write_environ},
        {"auxv", proc_files_write_auxv},
    };
    const char *base = proc_files_base(name);
    if (base == NULL)
        return -ENOENT;
    if (strcmp(base, "exe") == 0)
        return image_open(vm->config.image);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (strcmp(base, files[i].name) == 0)
            return proc_files_make(vm, base, files[i].write);
    }
    return -ENOENT;
}
