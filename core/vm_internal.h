/* Everything a machine owns. */
#ifndef MH_CORE_VM_INTERNAL_H
#define MH_CORE_VM_INTERNAL_H

#include "debug.h"
#include "devices/file.h"
#include "devices/serial.h"
#include "inbound.h"
#include "ram/ram_snapshot.h"
#include "mh/vm.h"
#include "slots.h"
#include "snapshot_list.h"
#include "vcpu.h"

/* Things told once to the person who runs the machine. */
enum notice_kind {
    NOTICE_SERIAL_WIDTH,
    NOTICE_FILE_WIDTH,
    NOTICE_OTHER_PORT,
    NOTICE_KINDS,
};

#define VM_EXIT_REASONS 48u

struct mh_vm {
    struct mh_vm_config config;
    struct mh_host *host;
    int fd;
    struct guest_ram memory;
    struct slots slots;
    pthread_mutex_t restart_mutex; /* held while the processor below is exchanged; other threads look at it */
    struct vcpu vcpu;
    struct serial serial;
    struct file_port file;
    struct inbound inbound;
    unsigned serial_exits;   /* exits for single serial bytes; enough of them make coalescing pay */
    bool coalescing;         /* KVM was asked to gather serial bytes */
    atomic_bool stop_wanted; /* set by mh_vm_request_stop() */
    bool noticed[NOTICE_KINDS];
    uint64_t exits[VM_EXIT_REASONS]; /* how often KVM_RUN came back, by exit reason; the last one for all beyond */
    unsigned refused_entries;        /* in a row, with EAGAIN */
    struct debug debug;
    struct ram_snapshot *memory_base; /* see memory_image.h; NULL before the first snapshot */
    union kvm_sys_msrs *msrs;         /* which a snapshot has; NULL before the first */
    struct snapshot_list snapshots;
    uint64_t snapshot_room; /* bytes of files that snapshots may have beyond those they have */
};

/* Put the machine back to its start, in the same place; what a debugger asked for stays. MH_OK, or MH_ERR_HOST and no
 * machine. */
enum mh_status vm_restart(struct mh_vm *vm, struct mh_error *err);

/* Fill in *stop: KVM itself failed with `host_errno`. Returns true, for whoever says so when a machine stops. */
bool vm_cannot_go_on(struct mh_stop *stop, int host_errno);

/* Tell the person something of this kind, the first time only. */
void vm_notice(struct mh_vm *vm, enum notice_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
