/* Reads recordings, which may come from anywhere: nothing is believed that is not checked. */
#include "replay/recording.h"

#include "accel/accel.h"
#include "crc32.h"
#include "machine/image.h"
#include "machine/report.h"
#include "machine/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDING_SIZE_MAX (4ull << 30)
#define RECORDING_PARTS_MAX 2048u /* every second page of 8 MB and more */

/* ---- the end of a machine ---- */

uint64_t recording_instructions(struct mh_vm *vm)
{
    uint64_t count;
    return vm->cpu->ops->instructions(vm->cpu, &count) ? count : RECORDING_UNKNOWN;
}

struct recording_words {
    char *text;
    size_t length;
    bool is_over;
};

/* The first line. */
static void recording_take_words(void *ctx, const char *text, size_t length)
{
    struct recording_words *words = ctx;
    for (size_t i = 0; i < length && !words->is_over && words->length + 1 < RECORDING_TEXT_MAX; i++) {
        words->is_over = text[i] == '\n';
        if (!words->is_over)
            words->text[words->length++] = text[i];
    }
}

uint32_t recording_hash_registers(const struct mh_x86_general *general)
{
    uint32_t crc = crc32_more(0, general->gpr, sizeof general->gpr);
    crc = crc32_more(crc, &general->rip, sizeof general->rip);
    return crc32_more(crc, &general->rflags, sizeof general->rflags);
}

void recording_fill_end(struct mh_vm *vm, const struct mh_stop *stop, struct recording_end *end)
{
    struct mh_x86_regs regs;
    vm->cpu->ops->finish_io(vm->cpu);
    *end = (struct recording_end){.kind = (uint32_t)stop->kind, .vector = stop->vector};
    end->at = (struct recording_log){.instructions = vm->is_replaying ? RECORDING_UNKNOWN : recording_instructions(vm),
                                     .printed = vm->serial.printed,
                                     .checksum = vm->serial.checksum};
    struct recording_words words = {.text = end->text};
    report_stop_in_words(vm, stop, recording_take_words, &words);
    if (vm->is_lost || vm->is_replaying || !vm_read_regs(vm, MH_REGS_GENERAL, &regs))
        return;
    end->has_state = 1;
    end->rip = regs.general.rip;
    end->registers = recording_hash_registers(&regs.general);
    end->memory = crc32_more(0, vm->ram.host, vm->ram.ram_size);
}

/* ---- reading ---- */

/* A section's contents, as far as they have not been taken. */
struct recording_bytes {
    const uint8_t *at;
    uint64_t left;
};

static const uint8_t *recording_skip(struct recording_bytes *bytes, uint64_t length)
{
    const uint8_t *at = bytes->at;
    if (length > bytes->left)
        return NULL;
    bytes->at += length;
    bytes->left -= length;
    return at;
}

static bool recording_take(struct recording_bytes *bytes, void *to, size_t length)
{
    const uint8_t *at = recording_skip(bytes, length);
    if (at != NULL)
        memcpy(to, at, length);
    return at != NULL;
}

/* Texts go to people's terminals. */
static bool recording_is_text(const char *text, size_t size)
{
    if (memchr(text, '\0', size) == NULL)
        return false;
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text == 0x7f)
            return false;
    }
    return true;
}

static bool recording_read_machine(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct recording_machine *machine = &recording->machine;
    if (recording->shape.ram_size != 0 || !recording_take(bytes, machine, sizeof *machine) || bytes->left != 0)
        return false;
    bool is_size = machine->ram_size == 2u << 20 || machine->ram_size == 4u << 20 || machine->ram_size == 8u << 20;
    bool is_page = machine->page_size == PAGE_4K || machine->page_size == 2u << 20;
    recording->shape.ram_size = machine->ram_size;
    return is_size && is_page && recording_is_text(machine->processor, sizeof machine->processor) &&
           recording_is_text(machine->version, sizeof machine->version) &&
           recording_is_text(machine->name, sizeof machine->name);
}

static bool recording_read_cpuid(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct x86_cpuid *cpuid = &recording->cpuid;
    struct recording_cpuid head;
    if (cpuid->count != 0 || !recording_take(bytes, &head, sizeof head) || head.count == 0 ||
        head.count > X86_CPUID_MAX || bytes->left != head.count * sizeof(struct recording_leaf))
        return false;
    cpuid->xcr0 = head.xcr0;
    cpuid->count = head.count;
    for (uint32_t i = 0; i < head.count; i++) {
        struct recording_leaf from = {0};
        recording_take(bytes, &from, sizeof from);
        cpuid->leaves[i] = (struct x86_cpuid_leaf){from.leaf, from.subleaf, from.has_subleaves != 0, from.eax, from.ebx,
                                                   from.ecx,  from.edx};
    }
    return x86_cpuid_adopt(cpuid);
}

/* Parts come in order, with nothing twice, and fit RAM. */
static bool recording_read_parts(const struct mh_recording *recording, struct recording_bytes *bytes,
                                 struct image_part *parts, uint32_t count)
{
    uint64_t free_from = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct recording_part part;
        if (!recording_take(bytes, &part, sizeof part) || part.address < free_from ||
            part.address > recording->machine.ram_size || part.length > recording->machine.ram_size - part.address)
            return false;
        free_from = part.address + part.length;
        parts[i] = (struct image_part){
            .address = part.address, .length = part.length, .bytes = recording_skip(bytes, part.length)};
        if (parts[i].bytes == NULL)
            return false;
    }
    return bytes->left == 0;
}

/* The image with which the machine starts; NULL when it is not good. */
static struct mh_image *recording_parse_image(const struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct recording_image head;
    struct mh_image *image = NULL;
    if (recording->machine.ram_size == 0 || !recording_take(bytes, &head, sizeof head) ||
        head.count > RECORDING_PARTS_MAX || head.entry >= recording->machine.ram_size)
        return NULL;
    struct image_part *parts = calloc(head.count + 1u, sizeof *parts);
    bool is_good = parts != NULL && recording_read_parts(recording, bytes, parts, head.count) &&
                   image_from_parts(head.entry, parts, head.count, &image, NULL) == MH_OK;
    free(parts);
    return is_good ? image : NULL;
}

static bool recording_read_image(struct mh_recording *recording, struct recording_bytes *bytes)
{
    if (recording->image != NULL)
        return false;
    recording->image = recording_parse_image(recording, bytes);
    return recording->image != NULL;
}

static bool recording_add_mark(struct mh_recording *recording, const struct recording_log *mark)
{
    struct recording_log *marks = recording->marks;
    if ((recording->mark_count & (recording->mark_count - 1)) == 0)
        marks = realloc(marks, (recording->mark_count == 0 ? 1 : 2 * recording->mark_count) * sizeof *marks);
    if (marks == NULL)
        return false;
    recording->marks = marks;
    recording->marks[recording->mark_count++] = *mark;
    recording->reached = *mark;
    return true;
}

static bool recording_follows(const struct mh_recording *recording, const struct recording_log *mark)
{
    const struct recording_log *before = &recording->reached;
    bool counts = mark->instructions == RECORDING_UNKNOWN || before->instructions == RECORDING_UNKNOWN ||
                  mark->instructions >= before->instructions;
    return counts && mark->printed >= before->printed && mark->accesses >= before->accesses;
}

static bool recording_read_log(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct recording_log head;
    if (recording->has_end || recording->image == NULL || !recording_take(bytes, &head, sizeof head) ||
        !recording_follows(recording, &head))
        return false;
    return port_log_append_foreign(&recording->log, bytes->at, bytes->left, head.accesses, &recording->shape) &&
           recording_add_mark(recording, &head);
}

static bool recording_read_end(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct recording_end *end = &recording->end;
    if (recording->has_end || recording->image == NULL || !recording_take(bytes, end, sizeof *end) ||
        bytes->left != 0 || end->kind > MH_STOP_EXCHANGE || !recording_is_text(end->text, sizeof end->text) ||
        !recording_follows(recording, &end->at) || end->at.accesses != recording->log.accesses)
        return false;
    recording->has_end = true;
    return true;
}

static bool recording_read_restart(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct mh_image *image = recording_parse_image(recording, bytes);
    if (image == NULL)
        return false;
    mh_image_free(recording->image);
    recording->image = image;
    port_log_free(&recording->log);
    recording->mark_count = 0;
    free(recording->marks);
    recording->marks = NULL;
    recording->reached = (struct recording_log){0};
    recording->has_end = false;
    return true;
}

static bool recording_read_section(struct mh_recording *recording, uint32_t type, struct recording_bytes bytes)
{
    switch (type) {
    case RECORDING_MACHINE:
        return recording_read_machine(recording, &bytes);
    case RECORDING_CPUID:
        return recording_read_cpuid(recording, &bytes);
    case RECORDING_IMAGE:
        return recording_read_image(recording, &bytes);
    case RECORDING_LOG:
        return recording_read_log(recording, &bytes);
    case RECORDING_END:
        return recording_read_end(recording, &bytes);
    case RECORDING_RESTART:
        return recording_read_restart(recording, &bytes);
    default:
        return false;
    }
}

/* Take one section. False: there is none, or none that is good. */
static bool recording_next(struct mh_recording *recording, struct recording_bytes *bytes)
{
    struct recording_section section;
    struct recording_bytes rest = *bytes;
    if (!recording_take(&rest, &section, sizeof section))
        return false;
    const uint8_t *contents = recording_skip(&rest, section.length);
    if (contents == NULL)
        return false;
    const uint32_t checksum = section.checksum;
    section.checksum = 0;
    if (crc32_more(crc32_more(0, &section, sizeof section), contents, section.length) != checksum ||
        !recording_read_section(recording, section.type,
                                (struct recording_bytes){.at = contents, .left = section.length}))
        return false;
    *bytes = rest;
    return true;
}

static enum mh_status recording_read_all(struct mh_recording *recording, struct recording_bytes bytes,
                                         struct mh_error *err)
{
    struct recording_head head;
    const uint64_t length = bytes.left;
    if (!recording_take(&bytes, &head, sizeof head) || memcmp(head.magic, RECORDING_MAGIC, sizeof head.magic) != 0)
        return mh_fail(err, MH_ERR_IMAGE, "it is no recording");
    if (head.version != RECORDING_VERSION || head.zero != 0)
        return mh_fail(err, MH_ERR_IMAGE,
                       "it is a recording of version %u, and this program reads version %u: replay it with the "
                       "program that made it",
                       head.version, RECORDING_VERSION);
    while (bytes.left > 0 && recording_next(recording, &bytes))
        ;
    recording->is_damaged = bytes.left > 0;
    if (recording->image == NULL || recording->cpuid.count == 0)
        return mh_fail(err, MH_ERR_IMAGE, "its beginning is missing or damaged, at byte %" PRIu64, length - bytes.left);
    return MH_OK;
}

enum mh_status mh_recording_read(const void *bytes, size_t length, struct mh_recording **recording,
                                 struct mh_error *err)
{
    struct mh_recording *made = calloc(1, sizeof *made);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a recording");
    /* where answers write is checked by addresses alone: this is never read or written */
    made->shape.host = (uint8_t *)made;
    enum mh_status status = recording_read_all(made, (struct recording_bytes){.at = bytes, .left = length}, err);
    if (status != MH_OK) {
        mh_recording_close(made);
        return status;
    }
    *recording = made;
    return MH_OK;
}

static int recording_read_file(int fd, uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got == 0)
            return -ENODATA;
        if (got < 0 && errno != EINTR)
            return -errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static enum mh_status recording_load(int fd, struct mh_recording **recording, struct mh_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return mh_fail(err, MH_ERR_IMAGE, "%s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return mh_fail(err, MH_ERR_IMAGE, "it is not a file");
    if (info.st_size < 0 || (uint64_t)info.st_size > RECORDING_SIZE_MAX)
        return mh_fail(err, MH_ERR_IMAGE, "it is larger than %llu GB", RECORDING_SIZE_MAX >> 30);
    const size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    if (bytes == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for it");
    int result = recording_read_file(fd, bytes, size);
    enum mh_status status = result < 0 ? mh_fail(err, MH_ERR_IMAGE, "%s", strerror(-result))
                                       : mh_recording_read(bytes, size, recording, err);
    free(bytes);
    return status;
}

enum mh_status mh_recording_open(const char *path, struct mh_recording **recording, struct mh_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return mh_fail(err, MH_ERR_IMAGE, "recording '%s' cannot be opened: %s", path, strerror(errno));
    enum mh_status status = recording_load(fd, recording, err);
    close(fd);
    return status == MH_OK ? MH_OK : mh_fail_in(err, "recording '%s' cannot be used: ", path);
}

void mh_recording_close(struct mh_recording *recording)
{
    if (recording == NULL)
        return;
    mh_image_free(recording->image);
    port_log_free(&recording->log);
    free(recording->marks);
    free(recording);
}

const struct mh_image *mh_recording_image(const struct mh_recording *recording)
{
    return recording->image;
}

uint64_t mh_recording_ram_size(const struct mh_recording *recording)
{
    return recording->machine.ram_size;
}

uint32_t mh_recording_page_size(const struct mh_recording *recording)
{
    return recording->machine.page_size;
}

const char *mh_recording_name(const struct mh_recording *recording)
{
    return recording->machine.name;
}

enum mh_status mh_recording_prepare_host(const struct mh_recording *recording, struct mh_host *host,
                                         struct mh_error *err)
{
    return accel_use_cpuid(host, &recording->cpuid, err);
}
