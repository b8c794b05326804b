#include "vm_internal.h"

#include "x86/boot_state.h"
#include "events.h"
#include "loader.h"
#include "x86/paging.h"
#include "report.h"
#include "run_loop.h"
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Three pages below 4 GB that older Intel processors want for themselves; anywhere no guest memory is. */
#define TSS_ADDRESS 0xfffbd000ul

static enum mh_status fail(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "KVM refuses %s: %s", what, strerror(error));
}

static enum mh_status create_memory(struct mh_vm *vm, const struct mh_host *host, struct mh_error *err)
{
    int result = host->needs_tss_address ? kvm_sys_set_tss_address(vm->fd, TSS_ADDRESS) : 0;
    if (result < 0)
        return fail(err, "an address for its TSS", -result);
    enum mh_status status = ram_create(&vm->memory, vm->config.ram_size, err);
    if (status != MH_OK)
        return status;
    result = slots_create(&vm->slots, vm->fd, &vm->memory);
    return result < 0 ? fail(err, "the machine's memory", -result) : MH_OK;
}

static enum mh_status build(struct mh_vm *vm, struct mh_error *err)
{
    struct mh_host *host = vm->host;
    vm->fd = kvm_sys_create_vm(host->fd);
    if (vm->fd < 0)
        return fail(err, "another machine", -vm->fd);
    enum mh_status status = create_memory(vm, host, err);
    if (status != MH_OK)
        return status;
    loader_place(vm->config.image, &vm->memory);
    boot_write_system_area(&vm->memory, vm->config.page_size);
    const struct mh_x86_general general = boot_general(&vm->memory, loader_entry(vm->config.image));
    return vcpu_create(&vm->vcpu, vm->fd, host, &general, err);
}

enum mh_status mh_vm_create(struct mh_host *host, const struct mh_vm_config *config, struct mh_vm **vm,
                            struct mh_error *err)
{
    struct mh_vm *created = calloc(1, sizeof *created);
    if (created == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a machine: %s", strerror(ENOMEM));
    created->config = *config;
    created->host = host;
    created->snapshot_room = snapshot_room(&config->limits);
    created->fd = -1;
    created->vcpu.fd = -1;
    atomic_init(&created->stop_wanted, false);
    pthread_mutex_init(&created->restart_mutex, NULL);
    serial_init(&created->serial, config->serial);
    file_port_init(&created->file, config, &created->stop_wanted);
    enum mh_status status = build(created, err);
    if (status != MH_OK) {
        mh_vm_destroy(created);
        return status;
    }
    *vm = created;
    return MH_OK;
}

static void tear_down(struct mh_vm *vm)
{
    file_port_destroy(&vm->file);
    vcpu_destroy(&vm->vcpu);
    if (vm->fd >= 0)
        close(vm->fd);
    vm->fd = -1;
    ram_free(&vm->memory);
}

void mh_vm_destroy(struct mh_vm *vm)
{
    if (vm == NULL)
        return;
    tear_down(vm);
    snapshot_list_free(&vm->snapshots);
    ram_snapshot_free(vm->memory_base);
    inbound_free(&vm->inbound);
    free(vm->msrs);
    breakpoints_destroy(&vm->debug.breakpoints);
    catches_remove(&vm->debug.catches, 0);
    pthread_mutex_destroy(&vm->restart_mutex);
    free(vm);
}

enum mh_status vm_restart(struct mh_vm *vm, struct mh_error *err)
{
    bool sync_registers = vm->vcpu.sync_registers;
    serial_flush(&vm->serial);
    pthread_mutex_lock(&vm->restart_mutex);
    tear_down(vm);
    file_port_init(&vm->file, &vm->config, &vm->stop_wanted);
    vm->coalescing = false;
    vm->serial_exits = 0;
    debug_forget_run(&vm->debug);
    enum mh_status status = build(vm, err);
    if (status != MH_OK)
        tear_down(vm);
    vm->vcpu.sync_registers = sync_registers;
    pthread_mutex_unlock(&vm->restart_mutex);
    return status;
}

void mh_vm_run(struct mh_vm *vm, struct mh_stop *stop)
{
    run_loop(vm, stop);
    events_stop(vm, stop);
}

void mh_vm_describe_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx)
{
    report_stop(vm, stop, write, write_ctx);
}

void mh_vm_kick(struct mh_vm *vm)
{
    pthread_mutex_lock(&vm->restart_mutex);
    vcpu_kick(&vm->vcpu);
    pthread_mutex_unlock(&vm->restart_mutex);
}

void mh_vm_request_stop(struct mh_vm *vm)
{
    atomic_store(&vm->stop_wanted, true);
    mh_vm_kick(vm);
}

static bool ring_has_bytes(const struct kvm_coalesced_mmio_ring *ring)
{
    return ring != NULL &&
           __atomic_load_n(&ring->first, __ATOMIC_RELAXED) != __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
}

bool mh_vm_wants_kick(struct mh_vm *vm)
{
    if (atomic_load_explicit(&vm->debug.waits_for_input, memory_order_relaxed) ||
        atomic_load_explicit(&vm->debug.waits_for_timer, memory_order_relaxed) ||
        atomic_load_explicit(&vm->serial.pending, memory_order_relaxed) != 0)
        return true;
    pthread_mutex_lock(&vm->restart_mutex);
    bool wanted = ring_has_bytes(vm->vcpu.ring);
    pthread_mutex_unlock(&vm->restart_mutex);
    return wanted;
}

bool vm_cannot_go_on(struct mh_stop *stop, int host_errno)
{
    stop->kind = MH_STOP_KVM_ERROR;
    stop->exit_reason = MH_NO_EXIT;
    stop->host_errno = host_errno;
    return true;
}

void vm_notice(struct mh_vm *vm, enum notice_kind kind, const char *format, ...)
{
    if (vm->noticed[kind] || vm->config.notice == NULL)
        return;
    vm->noticed[kind] = true;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vm->config.notice(vm->config.notice_ctx, text);
}
