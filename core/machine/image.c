#include "machine/image.h"

#include "mh/guest_abi.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A piece of an image that goes to one place in RAM; what it needs beyond `size` is zero already. */
struct segment {
    uint64_t address;
    uint64_t memory_size;
    uint64_t file_offset;
    uint64_t size;
    uint8_t *bytes;
};

struct mh_image {
    char *name;       /* as it was given; NULL when it came from no file */
    char *path;       /* absolute; NULL when it came from no file */
    int fd;           /* the file, open for reading; -1: it came from none, or is closed */
    struct stat info; /* of the file, when it was read */
    uint64_t ram_size;
    uint64_t address;
    bool is_elf;
    uint64_t entry;
    size_t segment_count;
    struct segment *segments;
};

/* An image while it is read. */
struct source {
    const char *path;
    int fd;
    struct stat info;
    uint64_t size;
    uint64_t ram_size;
    uint64_t address; /* where it goes when it is flat */
};

#define SEGMENTS_MAX 64u

/* Read exactly `length` bytes; 0, or an errno, ENODATA when the file ends before. */
static int read_at(int fd, void *to, uint64_t length, uint64_t offset)
{
    for (uint64_t done = 0; done < length;) {
        ssize_t got = pread(fd, (uint8_t *)to + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return errno;
        if (got == 0)
            return ENODATA;
        if (got > 0)
            done += (uint64_t)got;
    }
    return 0;
}

static enum mh_status fail_read(const struct source *source, int error, struct mh_error *err)
{
    return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' cannot be read: %s", source->path,
                   error == ENODATA ? "it became shorter meanwhile" : strerror(error));
}

static uint64_t room_for_image(const struct source *source)
{
    return source->ram_size - MH_STACK_RESERVE;
}

static enum mh_status fail_size(const struct source *source, uint64_t end, struct mh_error *err)
{
    const char *advice = "the most a machine can have is 8 MB";
    if (end <= (4u << 20) - MH_STACK_RESERVE)
        advice = "use --memory 4";
    else if (end <= (8u << 20) - MH_STACK_RESERVE)
        advice = "use --memory 8";
    return mh_fail(err, MH_ERR_IMAGE,
                   "guest image '%s' needs %" PRIu64 " bytes of RAM, but %" PRIu64 " MB leave %" PRIu64
                   " (%u are kept for the stack): %s",
                   source->path, end, source->ram_size >> 20, room_for_image(source), MH_STACK_RESERVE, advice);
}

static enum mh_status image_fail_open(const char *path, int error, struct mh_error *err)
{
    return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' cannot be opened: %s", path, strerror(error));
}

static enum mh_status check_source(struct source *source, struct mh_error *err)
{
    struct stat info;
    if (fstat(source->fd, &info) != 0)
        return fail_read(source, errno, err);
    if (!S_ISREG(info.st_mode))
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' is %s, not a file", source->path,
                       S_ISDIR(info.st_mode) ? "a directory" : "a device or a pipe");
    source->info = info;
    source->size = (uint64_t)info.st_size;
    if (source->size == 0)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' is empty", source->path);
    return MH_OK;
}

static enum mh_status add_segment(struct mh_image *image, const struct source *source, const struct segment *segment,
                                  struct mh_error *err)
{
    uint64_t end;
    if (__builtin_add_overflow(segment->address, segment->memory_size, &end) || end > room_for_image(source))
        return fail_size(source, end < segment->address ? UINT64_MAX : end, err);
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct segment *other = &image->segments[i];
        if (segment->address < other->address + other->memory_size && other->address < end)
            return mh_fail(err, MH_ERR_IMAGE,
                           "guest image '%s' has segments that overlap: 0x%" PRIx64 " (%" PRIu64
                           " bytes) and 0x%" PRIx64 " (%" PRIu64 " bytes)",
                           source->path, other->address, other->memory_size, segment->address, segment->memory_size);
    }
    image->segments[image->segment_count++] = *segment;
    return MH_OK;
}

static enum mh_status read_segments(struct mh_image *image, const struct source *source, struct mh_error *err)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        struct segment *segment = &image->segments[i];
        segment->bytes = malloc(segment->size == 0 ? 1 : segment->size);
        if (segment->bytes == NULL)
            return mh_fail(err, MH_ERR_HOST, "no memory for guest image '%s'", source->path);
        int error = read_at(source->fd, segment->bytes, segment->size, segment->file_offset);
        if (error != 0)
            return fail_read(source, error, err);
    }
    return MH_OK;
}

static enum mh_status check_elf_kind(const struct source *source, const Elf64_Ehdr *header, struct mh_error *err)
{
    const char *problem = NULL;
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64)
        problem = "is an ELF file for another processor: build it with -m64";
    else if (header->e_type == ET_REL)
        problem = "is an object file: link it first";
    else if (header->e_type != ET_EXEC)
        problem = "is position-independent: link it with -static -no-pie";
    else if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 || header->e_phnum > SEGMENTS_MAX)
        problem = "has no usable program headers";
    if (problem != NULL)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' %s", source->path, problem);
    return MH_OK;
}

static enum mh_status add_program_header(struct mh_image *image, const struct source *source, const Elf64_Phdr *header,
                                         struct mh_error *err)
{
    if (header->p_type == PT_INTERP || header->p_type == PT_DYNAMIC)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' is linked dynamically: link it with -static", source->path);
    if (header->p_type != PT_LOAD || header->p_memsz == 0)
        return MH_OK;
    if (header->p_filesz > header->p_memsz)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' has a segment larger in the file than in memory",
                       source->path);
    if (header->p_offset > source->size || header->p_filesz > source->size - header->p_offset)
        return mh_fail(err, MH_ERR_IMAGE,
                       "guest image '%s' is truncated: a segment has %" PRIu64 " bytes at byte %" PRIu64
                       ", but the file ends at %" PRIu64,
                       source->path, header->p_filesz, header->p_offset, source->size);
    const struct segment segment = {.address = header->p_paddr,
                                    .memory_size = header->p_memsz,
                                    .file_offset = header->p_offset,
                                    .size = header->p_filesz};
    return add_segment(image, source, &segment, err);
}

static enum mh_status check_entry(const struct mh_image *image, const struct source *source, struct mh_error *err)
{
    if (image->segment_count == 0)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' has nothing to load", source->path);
    for (size_t i = 0; i < image->segment_count; i++) {
        if (image->entry >= image->segments[i].address &&
            image->entry - image->segments[i].address < image->segments[i].memory_size)
            return MH_OK;
    }
    return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' starts at 0x%" PRIx64 ", where it loads nothing", source->path,
                   image->entry);
}

static enum mh_status parse_elf(struct mh_image *image, const struct source *source, struct mh_error *err)
{
    Elf64_Ehdr header = {0};
    Elf64_Phdr table[SEGMENTS_MAX] = {0};
    if (source->size < sizeof header)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' is truncated: %" PRIu64 " bytes hold no ELF header",
                       source->path, source->size);
    int error = read_at(source->fd, &header, sizeof header, 0);
    if (error != 0)
        return fail_read(source, error, err);
    enum mh_status status = check_elf_kind(source, &header, err);
    if (status != MH_OK)
        return status;
    uint64_t table_size = header.e_phnum * sizeof table[0];
    if (header.e_phoff > source->size || table_size > source->size - header.e_phoff)
        return mh_fail(err, MH_ERR_IMAGE, "guest image '%s' is truncated: its program headers lie behind its end",
                       source->path);
    error = read_at(source->fd, table, table_size, header.e_phoff);
    if (error != 0)
        return fail_read(source, error, err);
    image->is_elf = true;
    image->entry = header.e_entry;
    for (unsigned i = 0; i < header.e_phnum && status == MH_OK; i++)
        status = add_program_header(image, source, &table[i], err);
    return status == MH_OK ? check_entry(image, source, err) : status;
}

/* A flat image does not fit where --load wants it. */
static enum mh_status image_fail_address(const struct source *source, struct mh_error *err)
{
    if (source->size > room_for_image(source))
        return fail_size(source, source->size, err);
    return mh_fail(err, MH_ERR_IMAGE,
                   "guest image '%s' (%" PRIu64 " bytes) does not fit at 0x%" PRIx64 ": with %" PRIu64
                   " MB of memory the highest address for it is 0x%" PRIx64 " (%u bytes are kept for the stack)",
                   source->path, source->size, source->address, source->ram_size >> 20,
                   room_for_image(source) - source->size, MH_STACK_RESERVE);
}

static enum mh_status parse_image(struct mh_image *image, const struct source *source, struct mh_error *err)
{
    char magic[SELFMAG] = {0};
    if (source->size >= sizeof magic) {
        int error = read_at(source->fd, magic, sizeof magic, 0);
        if (error != 0)
            return fail_read(source, error, err);
    }
    if (memcmp(magic, ELFMAG, SELFMAG) == 0)
        return parse_elf(image, source, err);
    const struct segment whole = {.address = source->address, .memory_size = source->size, .size = source->size};
    image->entry = source->address;
    if (source->address != 0 && source->address + source->size > room_for_image(source))
        return image_fail_address(source, err);
    return add_segment(image, source, &whole, err);
}

/* Read what the file holds and check it. On success the image has the descriptor. */
static enum mh_status image_read(struct mh_image *image, struct source *source, struct mh_error *err)
{
    image->segments = calloc(SEGMENTS_MAX, sizeof *image->segments);
    image->name = strdup(source->path);
    if (image->segments == NULL || image->name == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for guest image '%s'", source->path);
    enum mh_status status = check_source(source, err);
    if (status == MH_OK)
        status = parse_image(image, source, err);
    if (status == MH_OK)
        status = read_segments(image, source, err);
    if (status != MH_OK)
        return status;
    image->info = source->info;
    image->ram_size = source->ram_size;
    image->address = source->address;
    image->fd = source->fd;
    source->fd = -1;
    return MH_OK;
}

/* Make an image of an open file, whose descriptor is taken in any case. */
static enum mh_status image_make(struct source *source, struct mh_image **image, struct mh_error *err)
{
    enum mh_status status = MH_ERR_HOST;
    struct mh_image *made = calloc(1, sizeof *made);
    if (made == NULL) {
        mh_fail(err, MH_ERR_HOST, "no memory for guest image '%s'", source->path);
    } else {
        made->fd = -1;
        status = image_read(made, source, err);
    }
    if (source->fd >= 0)
        close(source->fd);
    if (status == MH_OK)
        *image = made;
    else
        mh_image_free(made);
    return status;
}

enum mh_status mh_image_load(const char *path, uint64_t ram_size, uint64_t address, struct mh_image **image,
                             struct mh_error *err)
{
    /* a FIFO must not block us; what is not a regular file is refused later */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return image_fail_open(path, errno, err);
    struct source source = {.path = path, .fd = fd, .ram_size = ram_size, .address = address};
    enum mh_status status = image_make(&source, image, err);
    if (status == MH_OK)
        (*image)->path = realpath(path, NULL);
    return status;
}

enum mh_status image_reload(const struct mh_image *image, int fd, struct mh_image **now, struct mh_error *err)
{
    if (fd < 0)
        return image_fail_open(image->name, -fd, err);
    struct source source = {.path = image->name, .fd = fd, .ram_size = image->ram_size, .address = image->address};
    enum mh_status status = image_make(&source, now, err);
    /* a confined process cannot resolve links */
    if (status == MH_OK && image->path != NULL)
        (*now)->path = strdup(image->path);
    return status;
}

enum mh_status image_from_bytes(const uint8_t *bytes, size_t length, struct mh_image **image, struct mh_error *err)
{
    struct mh_image *made = calloc(1, sizeof *made);
    struct segment *segment = calloc(1, sizeof *segment);
    uint8_t *copy = malloc(length);
    if (made == NULL || segment == NULL || copy == NULL) {
        free(made);
        free(segment);
        free(copy);
        return mh_fail(err, MH_ERR_HOST, "no memory for an image");
    }
    memcpy(copy, bytes, length);
    *segment = (struct segment){.memory_size = length, .size = length, .bytes = copy};
    *made = (struct mh_image){.fd = -1, .segments = segment, .segment_count = 1};
    *image = made;
    return MH_OK;
}

void mh_image_close_file(struct mh_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
}

void mh_image_free(struct mh_image *image)
{
    if (image == NULL)
        return;
    for (size_t i = 0; i < image->segment_count; i++)
        free(image->segments[i].bytes);
    free(image->segments);
    free(image->name);
    free(image->path);
    mh_image_close_file(image);
    free(image);
}

const char *mh_image_path(const struct mh_image *image)
{
    return image->path;
}

bool mh_image_is_elf(const struct mh_image *image)
{
    return image->is_elf;
}

void image_place(const struct mh_image *image, const struct guest_ram *memory)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct segment *segment = &image->segments[i];
        uint8_t *to = ram_only_at(memory, mh_gpa_of(segment->address), segment->size);
        if (to != NULL)
            memcpy(to, segment->bytes, segment->size);
    }
}

void image_each_range(const struct mh_image *image, void (*report)(void *ctx, uint64_t start, uint64_t length),
                      void *ctx)
{
    for (size_t i = 0; i < image->segment_count; i++)
        report(ctx, image->segments[i].address, image->segments[i].memory_size);
}

uint64_t image_entry(const struct mh_image *image)
{
    return image->entry;
}

uint64_t image_size(const struct mh_image *image)
{
    uint64_t size = 0;
    for (size_t i = 0; i < image->segment_count; i++)
        size += image->segments[i].size;
    return size;
}

bool image_has_changed(const struct mh_image *image)
{
    const struct stat *then = &image->info;
    struct stat now;
    if (image->name == NULL)
        return false;
    if (stat(image->name, &now) != 0)
        return true;
    return now.st_dev != then->st_dev || now.st_ino != then->st_ino || now.st_size != then->st_size ||
           now.st_mtim.tv_sec != then->st_mtim.tv_sec || now.st_mtim.tv_nsec != then->st_mtim.tv_nsec;
}

bool image_is_same(const struct mh_image *image, const struct mh_image *other)
{
    if (image->entry != other->entry || image->segment_count != other->segment_count)
        return false;
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct segment *one = &image->segments[i], *two = &other->segments[i];
        if (one->address != two->address || one->memory_size != two->memory_size || one->size != two->size ||
            memcmp(one->bytes, two->bytes, one->size) != 0)
            return false;
    }
    return true;
}

/* What is in RAM when a machine starts with the image; to be freed, NULL without memory. */
static uint8_t *image_memory(const struct mh_image *image)
{
    uint8_t *memory = calloc(1, image->ram_size);
    for (size_t i = 0; memory != NULL && i < image->segment_count; i++)
        memcpy(memory + image->segments[i].address, image->segments[i].bytes, image->segments[i].size);
    return memory;
}

bool mh_image_has_memory_of(const struct mh_image *image, const struct mh_image *other)
{
    uint8_t *one = image_memory(image), *two = image_memory(other);
    const bool is_same =
        one == NULL || two == NULL || (image->ram_size == other->ram_size && memcmp(one, two, image->ram_size) == 0);
    free(one);
    free(two);
    return is_same;
}

int image_open(const struct mh_image *image)
{
    if (image->fd < 0)
        return -ENOENT;
    const int fd = fcntl(image->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

enum mh_status image_from_parts(uint64_t entry, const struct image_part *parts, size_t count, struct mh_image **image,
                                struct mh_error *err)
{
    struct mh_image *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->fd = -1;
        made->segments = calloc(count == 0 ? 1 : count, sizeof *made->segments);
    }
    bool is_whole = made != NULL && made->segments != NULL;
    for (size_t i = 0; is_whole && i < count; i++) {
        struct segment *segment = &made->segments[made->segment_count++];
        *segment =
            (struct segment){.address = parts[i].address, .memory_size = parts[i].length, .size = parts[i].length};
        segment->bytes = malloc(parts[i].length == 0 ? 1 : parts[i].length);
        is_whole = segment->bytes != NULL;
        if (is_whole)
            memcpy(segment->bytes, parts[i].bytes, parts[i].length);
    }
    if (!is_whole) {
        mh_image_free(made);
        return mh_fail(err, MH_ERR_HOST, "no memory for a guest image");
    }
    made->entry = entry;
    *image = made;
    return MH_OK;
}
