/* Writes a recording while its machine runs. */
#include "accel/accel.h"
#include "crc32.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "replay/recording.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDER_GATHER (32u << 10) /* bytes of answers after which a section is written at once */

struct recorder {
    struct mh_vm *vm;
    mh_record_write *write;
    void *write_ctx;
    struct port_log log; /* what has not been written */
    uint64_t printed;    /* what the last section says */
    uint64_t accesses;
    bool has_ended;
    int error; /* errno of the write that failed */
};

/* ---- sections ---- */

/* A section in two pieces. */
static int recorder_put(struct recorder *recorder, enum recording_type type, const void *first, size_t first_length,
                        const void *second, size_t second_length)
{
    struct recording_section section = {.type = type, .length = first_length + second_length};
    uint8_t *bytes = malloc(sizeof section + section.length);
    if (bytes == NULL)
        return -ENOMEM;
    if (first_length > 0)
        memcpy(bytes + sizeof section, first, first_length);
    if (second_length > 0)
        memcpy(bytes + sizeof section + first_length, second, second_length);
    memcpy(bytes, &section, sizeof section);
    section.checksum = crc32_more(0, bytes, sizeof section + section.length);
    memcpy(bytes, &section, sizeof section);
    int result = recorder->write(recorder->write_ctx, bytes, sizeof section + section.length);
    free(bytes);
    return result;
}

static void recorder_fail(struct recorder *recorder, int error)
{
    char text[128];
    recorder->error = error;
    recorder->has_ended = true;
    snprintf(text, sizeof text, "the recording ends here: %s", strerror(error));
    if (recorder->vm->config.notice != NULL)
        recorder->vm->config.notice(recorder->vm->config.notice_ctx, text);
}

static void recorder_put_or_fail(struct recorder *recorder, enum recording_type type, const void *first,
                                 size_t first_length, const void *second, size_t second_length)
{
    int result = recorder_put(recorder, type, first, first_length, second, second_length);
    if (result < 0)
        recorder_fail(recorder, -result);
}

/* ---- the log ---- */

static void recorder_flush(void *ctx)
{
    struct recorder *recorder = ctx;
    const struct mh_vm *vm = recorder->vm;
    if (recorder->has_ended || vm->is_replaying ||
        (recorder->log.accesses == recorder->accesses && recorder->log.start == 0 &&
         vm->serial.printed == recorder->printed))
        return;
    if (recorder->log.failed) {
        recorder_fail(recorder, ENOMEM);
        return;
    }
    const struct recording_log head = {.accesses = recorder->log.accesses,
                                       .instructions = recording_instructions(recorder->vm),
                                       .printed = vm->serial.printed,
                                       .checksum = vm->serial.checksum};
    recorder_put_or_fail(recorder, RECORDING_LOG, &head, sizeof head, recorder->log.bytes, recorder->log.start);
    port_log_drop_answers(&recorder->log);
    recorder->accesses = recorder->log.accesses;
    recorder->printed = head.printed;
    atomic_store_explicit(&recorder->vm->record_waits, false, memory_order_relaxed);
}

static void recorder_begin(void *ctx)
{
    struct recorder *recorder = ctx;
    port_log_begin(&recorder->log);
}

static void recorder_wrote(void *ctx, mh_gpa start, uint64_t length)
{
    struct recorder *recorder = ctx;
    if (recorder->vm->serves_port && !recorder->has_ended)
        port_log_wrote(&recorder->log, start, ram_at(&recorder->vm->ram, start, length), length);
}

static void recorder_finish(void *ctx, const struct cpu_exit *exit, const struct mh_event *file)
{
    struct recorder *recorder = ctx;
    if (recorder->has_ended)
        return;
    port_log_finish(&recorder->log, exit, file);
    if (recorder->log.length >= RECORDER_GATHER)
        recorder_flush(recorder);
    else if (recorder->log.length > 0)
        atomic_store_explicit(&recorder->vm->record_waits, true, memory_order_relaxed);
}

static void recorder_interrupted(void *ctx, bool at_halt, uint8_t vector)
{
    struct recorder *recorder = ctx;
    if (recorder->has_ended)
        return;
    port_log_interrupt(&recorder->log, recorder->vm->serial.printed, at_halt, vector);
    atomic_store_explicit(&recorder->vm->record_waits, true, memory_order_relaxed);
}

static void recorder_cancel(void *ctx)
{
    struct recorder *recorder = ctx;
    if (!recorder->has_ended)
        port_log_cancel(&recorder->log);
}

/* ---- ends ---- */

static void recorder_put_end(struct recorder *recorder, const struct recording_end *end)
{
    recorder_flush(recorder);
    if (!recorder->has_ended)
        recorder_put_or_fail(recorder, RECORDING_END, end, sizeof *end, NULL, 0);
    recorder->has_ended = true;
    atomic_store_explicit(&recorder->vm->record_waits, false, memory_order_relaxed);
}

static void recorder_changed(void *ctx, const char *why)
{
    struct recorder *recorder = ctx;
    struct recording_end end;
    char text[256];
    if (recorder->has_ended)
        return;
    recording_fill_end(recorder->vm, &(struct mh_stop){.kind = MH_STOP_INTERRUPTED}, &end);
    end.at.accesses = recorder->log.accesses;
    snprintf(end.text, sizeof end.text, "%s", why);
    recorder_put_end(recorder, &end);
    snprintf(text, sizeof text, "the recording ends here, at instruction %" PRIu64 ": %s", end.at.instructions, why);
    if (recorder->vm->config.notice != NULL && recorder->error == 0)
        recorder->vm->config.notice(recorder->vm->config.notice_ctx, text);
}

static void recorder_destroy(void *ctx)
{
    struct recorder *recorder = ctx;
    recorder_flush(recorder);
    port_log_free(&recorder->log);
    free(recorder);
}

/* ---- the start ---- */

static int recorder_put_machine(struct recorder *recorder)
{
    const struct mh_vm *vm = recorder->vm;
    const struct recording_head head = {.magic = RECORDING_MAGIC, .version = RECORDING_VERSION};
    struct recording_machine machine = {.ram_size = vm->config.ram_size,
                                        .page_size = vm->config.page_size,
                                        .number = vm->config.number,
                                        .version = MH_VERSION};
    snprintf(machine.processor, sizeof machine.processor, "%s", vm->cpu->ops->name);
    snprintf(machine.name, sizeof machine.name, "%s", vm->config.name);
    int result = recorder->write(recorder->write_ctx, &head, sizeof head);
    return result < 0 ? result : recorder_put(recorder, RECORDING_MACHINE, &machine, sizeof machine, NULL, 0);
}

static int recorder_put_cpuid(struct recorder *recorder)
{
    const struct x86_cpuid *cpuid = accel_cpuid(recorder->vm->host);
    const struct recording_cpuid head = {.xcr0 = cpuid->xcr0, .count = cpuid->count};
    struct recording_leaf leaves[X86_CPUID_MAX];
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct x86_cpuid_leaf *from = &cpuid->leaves[i];
        leaves[i] = (struct recording_leaf){from->leaf, from->subleaf, from->has_subleaves, from->eax, from->ebx,
                                            from->ecx,  from->edx};
    }
    return recorder_put(recorder, RECORDING_CPUID, &head, sizeof head, leaves, cpuid->count * sizeof leaves[0]);
}

static bool recorder_is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_4K - 1) == 0;
}

/* The pages of RAM that hold something, neighbours as one part. `to` NULL: only count bytes. */
static size_t recorder_collect_parts(const struct guest_ram *ram, uint8_t *to, uint32_t *count)
{
    size_t size = 0;
    *count = 0;
    for (uint64_t at = 0; at < ram->ram_size; at += PAGE_4K) {
        const uint64_t start = at;
        while (at < ram->ram_size && !recorder_is_zero(ram->host + at))
            at += PAGE_4K;
        if (at == start)
            continue;
        const struct recording_part part = {.address = start, .length = at - start};
        if (to != NULL) {
            memcpy(to + size, &part, sizeof part);
            memcpy(to + size + sizeof part, ram->host + start, part.length);
        }
        size += sizeof part + part.length;
        ++*count;
    }
    return size;
}

/* RECORDING_IMAGE or _RESTART: the machine is about to begin. */
static int recorder_put_image(struct recorder *recorder, enum recording_type type)
{
    const struct guest_ram *ram = &recorder->vm->ram;
    struct recording_image head = {.entry = vm_rip(recorder->vm)};
    uint32_t count;
    const size_t size = recorder_collect_parts(ram, NULL, &count);
    uint8_t *parts = malloc(size == 0 ? 1 : size);
    if (parts == NULL)
        return -ENOMEM;
    recorder_collect_parts(ram, parts, &count);
    head.count = count;
    int result = recorder_put(recorder, type, &head, sizeof head, parts, size);
    free(parts);
    return result;
}

static void recorder_restarted(void *ctx)
{
    struct recorder *recorder = ctx;
    if (recorder->error != 0)
        return;
    recorder->has_ended = false;
    port_log_free(&recorder->log);
    recorder->accesses = recorder->printed = 0;
    int result = recorder_put_image(recorder, RECORDING_RESTART);
    if (result < 0)
        recorder_fail(recorder, -result);
}

static int recorder_put_start(struct recorder *recorder)
{
    int result = recorder_put_machine(recorder);
    if (result == 0)
        result = recorder_put_cpuid(recorder);
    return result < 0 ? result : recorder_put_image(recorder, RECORDING_IMAGE);
}

enum mh_status mh_vm_record(struct mh_vm *vm, mh_record_write *write, void *write_ctx, struct mh_error *err)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (recorder == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a recording");
    *recorder = (struct recorder){.vm = vm, .write = write, .write_ctx = write_ctx};
    int result = recorder_put_start(recorder);
    if (result < 0) {
        free(recorder);
        return mh_fail(err, MH_ERR_IO, "cannot write the recording: %s", strerror(-result));
    }
    vm->record_hooks = (struct vm_record_hooks){.ctx = recorder,
                                                .begin = recorder_begin,
                                                .wrote = recorder_wrote,
                                                .finish = recorder_finish,
                                                .cancel = recorder_cancel,
                                                .interrupted = recorder_interrupted,
                                                .flush = recorder_flush,
                                                .restarted = recorder_restarted,
                                                .changed = recorder_changed,
                                                .destroy = recorder_destroy};
    return MH_OK;
}

enum mh_status mh_vm_record_end(struct mh_vm *vm, const struct mh_stop *stop, struct mh_error *err)
{
    struct recorder *recorder = vm->record_hooks.ctx;
    struct recording_end end;
    if (!recorder->has_ended) {
        recording_fill_end(vm, stop, &end);
        end.at.accesses = recorder->log.accesses;
        recorder_put_end(recorder, &end);
    }
    if (recorder->error != 0)
        return mh_fail(err, MH_ERR_IO, "the recording is not whole: %s", strerror(recorder->error));
    return MH_OK;
}
