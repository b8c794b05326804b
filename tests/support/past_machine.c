#include "past_machine.h"

#include "machine/image.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <stdio.h>
#include <stdlib.h>

#define PIECES 60u
#define RAM_SIZE (2 * MB)

uint64_t past_machine_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

uint8_t past_machine_input(uint64_t n)
{
    uint64_t seed = n + 1;
    past_machine_next(&seed);
    return (uint8_t)past_machine_next(&seed);
}

static int past_machine_write(void *ctx, const uint8_t *bytes, size_t length)
{
    struct past_machine *machine = ctx;
    assert_true(machine->output_length + length <= sizeof machine->output);
    memcpy(machine->output + machine->output_length, bytes, length);
    machine->output_length += length;
    return 0;
}

static int past_machine_read(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct past_machine *machine = ctx;
    (void)wake_fds, (void)wake_count;
    return past_machine_input(machine->input_taken++);
}

static void past_machine_console(void *ctx, unsigned number, const char *text)
{
    struct past_machine *machine = ctx;
    (void)number;
    snprintf(machine->said, sizeof machine->said, "%s", text);
}

#define HANDLER 0x6000u

/* Let an exception be handled by an iretq of the guest's. */
static void past_machine_set_handler(struct past_machine *machine, unsigned vector)
{
    struct guest_ram *ram = &machine->vm->ram;
    uint8_t *gate = ram_at(ram, mh_gpa_of(MH_SYSTEM_AREA + BOOT_IDT + vector * 16), 16);
    const uint16_t low = HANDLER;
    ram_put(ram, ram_at(ram, mh_gpa_of(HANDLER), 2), "\x48\xcf", 2);
    ram_put(ram, gate, &low, sizeof low);
    ram_put(ram, gate + 6, "\0\0\0\0\0\0", 6);
}

static struct past_machine *past_machine_start(const void *image, size_t length, uint64_t limit, bool counts)
{
    struct past_machine *machine = test_calloc(1, sizeof *machine);
    machine->files = guest_files_make();
    machine->config = machine->files->config[0];
    machine->config.number = 1;
    machine->config.name = "past";
    machine->config.ram_size = RAM_SIZE;
    machine->config.page_size = PAGE_4K;
    machine->config.history = limit;
    machine->config.limits.bytes_written = 64 * MB;
    machine->config.serial =
        (struct mh_serial_end){.ctx = machine, .write = past_machine_write, .read = past_machine_read};
    assert_int_equal(image_from_bytes(image, length, &machine->image, NULL), MH_OK);
    machine->config.image = machine->image;
    assert_int_equal(mh_host_open(MH_ACCEL_SOFT, &machine->host, NULL), MH_OK);
    assert_int_equal(mh_vm_create(machine->host, &machine->config, &machine->vm, NULL), MH_OK);
    past_machine_set_handler(machine, 1);
    past_machine_set_handler(machine, 3);
    if (!counts)
        uncounted_cpu_use(&machine->uncounted, machine->vm);
    assert_int_equal(mh_vm_debug(machine->vm, &machine->target, NULL), MH_OK);
    machine->target.ops->set_console(machine->target.ctx, past_machine_console, machine);
    return machine;
}

struct past_machine *past_machine_make(const void *image, size_t length, uint64_t limit)
{
    return past_machine_start(image, length, limit, true);
}

struct past_machine *past_machine_make_uncounted(const void *image, size_t length, uint64_t limit)
{
    return past_machine_start(image, length, limit, false);
}

void past_machine_remove(struct past_machine *machine)
{
    mh_vm_destroy(machine->vm);
    mh_host_close(machine->host);
    mh_image_free(machine->image);
    guest_files_remove(machine->files);
    test_free(machine);
}

/* ---- random programs ---- */

struct piece {
    const char *code;
    size_t length;
};

#define PIECE(code)                                                                                                    \
    {                                                                                                                  \
        code, sizeof(code) - 1                                                                                         \
    }

#define FILE_CALL(low)                                                                                                 \
    PIECE("\xba\x78\x02\x00\x00\xb8" low "\x70\x00\x00\xef") /* mov edx, 0x278; mov eax, ...; out                      \
                                                              */

/* All of them come out at their end whatever the registers are. */
static const struct piece pieces[] = {
    PIECE("\x48\x01\xc8"),                                         /* add rax, rcx */
    PIECE("\x48\x0f\xaf\xc3\x48\xff\xc3"),                         /* imul rax, rbx; inc rbx */
    PIECE("\x11\xd0\xd3\xe8"),                                     /* adc eax, edx; shr eax, cl */
    PIECE("\x50\x59\x9c\x5a"),                                     /* push rax; pop rcx; pushf; pop rdx */
    PIECE("\xb9\x25\x00\x00\x00\xbf\x00\x40\x00\x00\xf3\xaa"),     /* rep stosb */
    PIECE("\xb9\x21\x00\x00\x00\xbf\xf0\x4f\x00\x00\xf3\x48\xab"), /* rep stosq, across pages */
    PIECE("\xb1\x13\x0f\xb6\xc9\xbe\x00\x40\x00\x00\xbf\x03\x40\x00\x00\xf3\xa4"), /* rep movsb, overlapping */
    PIECE("\xb9\x30\x00\x00\x00\xbf\x00\x40\x00\x00\xf2\xae"),                     /* repne scasb */
    PIECE("\x89\x04\x25\x00\x40\x00\x00\x8b\x1c\x25\x08\x40\x00\x00"),             /* store; load */
    PIECE("\xff\x04\x25\x10\x40\x00\x00"),                                         /* inc dword [0x4010] */
    PIECE("\x89\x04\x25\xfe\x4f\x00\x00"),                                         /* a store across pages */
    PIECE("\xb8\x10\x00\x00\x00\x8e\xd0\x90"),                                     /* mov ss, eax */
    PIECE("\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d"),                             /* set TF */
    PIECE("\x9c\x48\x81\x24\x24\xff\xfe\xff\xff\x9d"),                             /* clear TF */
    PIECE("\xcc"),                                                                 /* int3 */
    PIECE("\x0f\x31\x31\xc2"),                                                     /* rdtsc */
    PIECE("\x0f\x20\xd8\x0f\x22\xd8"),                                             /* write CR3 */
    PIECE("\xe6\xe9"),                                                             /* print */
    PIECE("\xe4\xe9"),                                                             /* read */
    PIECE("\xe4\xe9\xe6\xe9"),
    PIECE("\xb9\x03\x00\x00\x00\xbe\x00\x40\x00\x00\xba\xe9\x00\x00\x00\xf3\x6e"), /* rep outsb */
    PIECE("\xb9\x05\x00\x00\x00\xbf\x20\x40\x00\x00\xba\xe9\x00\x00\x00\xf3\x6c"), /* rep insb */
    PIECE("\xe6\x10\xe4\x11"),                                                     /* no device */
    PIECE("\xc6\x05\xff\xff\xff\xff\x77"),                                         /* overwrites its own last byte */
    PIECE("\xf2\x0f\x2a\xc0\xf2\x0f\x58\xc8\xf2\x0f\x5e\xc1"),                     /* SSE */
    PIECE("\xe8\x00\x00\x00\x00\x58"),                                             /* call; pop rax */
    PIECE("\x85\xc0\x74\x01\x90\x78\x02\x89\xc2"),                                 /* branches */
    FILE_CALL("\x00"),                                                             /* open; see put_calls() */
    FILE_CALL("\x40"),                                                             /* write */
    FILE_CALL("\x80"),                                                             /* seek */
    FILE_CALL("\xc0"),                                                             /* read */
};

static void put_calls(uint8_t *image)
{
    const struct mh_file_call calls[] = {
        {.op = MH_FILE_OPEN, .flags = MH_O_READ | MH_O_WRITE, .buffer = PAST_CALLS + 0x200, .length = 1},
        {.op = MH_FILE_WRITE, .buffer = PAST_DATA, .length = 16},
        {.op = MH_FILE_SEEK, .offset = 5},
        {.op = MH_FILE_READ, .buffer = PAST_DATA + 0x40, .length = 32},
    };
    for (unsigned i = 0; i < COUNT(calls); i++)
        memcpy(image + PAST_CALLS + i * sizeof calls[0], &calls[i], sizeof calls[0]);
    image[PAST_CALLS + 0x200] = 'a';
}

static bool past_machine_reads_clock(const struct piece *piece)
{
    return memcmp(piece->code, "\x0f\x31", 2) == 0;
}

void past_machine_program(uint64_t seed, bool may_read_clock, uint8_t image[PAST_IMAGE])
{
    size_t at = 0;
    memset(image, 0, PAST_IMAGE);
    for (unsigned i = 0; i < PIECES; i++) {
        const struct piece *piece = &pieces[past_machine_next(&seed) % COUNT(pieces)];
        if (!may_read_clock && past_machine_reads_clock(piece))
            continue;
        memcpy(image + at, piece->code, piece->length);
        at += piece->length;
    }
    const int32_t back = -(int32_t)(at + 5);
    image[at] = 0xe9;
    memcpy(image + at + 1, &back, sizeof back);
    put_calls(image);
}

struct past_machine *past_machine_make_random(uint64_t seed, uint64_t limit)
{
    uint8_t *image = test_calloc(1, PAST_IMAGE);
    past_machine_program(seed, true, image);
    struct past_machine *machine = past_machine_make(image, PAST_IMAGE, limit);
    test_free(image);
    return machine;
}

/* ---- looking at it, and running it ---- */

struct timeline *past_machine_timeline(const struct past_machine *machine)
{
    return debug_of(machine->vm)->timeline;
}

uint64_t past_machine_now(const struct past_machine *machine)
{
    return timeline_now(past_machine_timeline(machine));
}

struct mh_stop past_machine_resume(struct past_machine *machine, enum mh_resume_kind kind, bool backwards)
{
    const struct mh_resume how = {.kind = kind, .backwards = backwards};
    struct mh_stop stop;
    unsigned number;
    machine->target.ops->resume(machine->target.ctx, 1, &how);
    assert_int_equal(machine->target.ops->wait(machine->target.ctx, NULL, 0, &number, &stop), MH_WAIT_STOPPED);
    if (stop.kind == MH_STOP_HOST_ERROR)
        fail_msg("at %llu: %s", (unsigned long long)past_machine_now(machine), stop.text);
    return stop;
}

void past_machine_go_to(struct past_machine *machine, uint64_t position)
{
    char where[32];
    struct mh_error err;
    snprintf(where, sizeof where, "%llu", (unsigned long long)position);
    if (machine->target.ops->go_to(machine->target.ctx, 1, where, &err) != MH_OK)
        fail_msg("goto %s: %s", where, err.text);
}

static uint64_t hash_more(uint64_t hash, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i + sizeof hash <= length; i += sizeof hash) {
        uint64_t word;
        memcpy(&word, at + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

uint64_t past_machine_hash(struct past_machine *machine)
{
    struct mh_cpu_state state;
    struct cpu *cpu = machine->vm->cpu;
    const struct guest_ram *ram = &machine->vm->ram;
    cpu->ops->finish_io(cpu);
    assert_int_equal(cpu->ops->save(cpu, &state, NULL), MH_OK);
    uint64_t hash = hash_more(1, &state.general, sizeof state.general);
    hash = hash_more(hash, &state.system, sizeof state.system);
    hash = hash_more(hash, &state.msrs, sizeof state.msrs);
    hash = hash_more(hash, state.xsave, sizeof state.xsave);
    const uint64_t rest[] = {state.dr6, state.dr7, state.shadow, state.is_repeating, state.pending.valid};
    hash = hash_more(hash, rest, sizeof rest);
    hash = hash_more(hash, ram->host, PAST_IMAGE);                   /* the program touches nothing beside this, ... */
    hash = hash_more(hash, ram->host + RAM_SIZE - PAGE_4K, PAGE_4K); /* ... its stack */
    return hash_more(hash, ram_system_area(ram), MH_SYSTEM_AREA_SIZE);
}
