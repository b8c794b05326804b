/* Everything a machine owns, and what the layers above hook into it. */
#ifndef MH_CORE_MACHINE_VM_H
#define MH_CORE_MACHINE_VM_H

#include "cpu/cpu.h"
#include "devices/exchange.h"
#include "devices/file.h"
#include "devices/input_log.h"
#include "devices/serial.h"
#include "machine/snapshot_list.h"
#include "mh/vm.h"
#include "ram/ram_snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

/* Notices that are printed once. */
enum vm_notice {
    VM_NOTICE_SERIAL_WIDTH,
    VM_NOTICE_FILE_WIDTH,
    VM_NOTICE_OTHER_PORT,
    VM_NOTICE_EXCHANGE,
    VM_NOTICE_MISPLACED,
    VM_NOTICE_FILE_MISUSE, /* and the following, one for each enum file_misuse */
    VM_NOTICE_FILE_MISUSE_LAST = VM_NOTICE_FILE_MISUSE + FILE_MISUSES - 1,
    VM_NOTICES,
};

/* The request word: requests of other threads. A bit is set before the machine is kicked. */
#define VM_REQUEST_STOP 1u /* mh_vm_request_stop(): end the run, for good */

/* What a debugger adds to a machine. All members may be NULL. */
struct vm_hooks {
    void *ctx;
    /* An event: should the machine stop for it, with *text (one line, at most `size` bytes) as the reason? */
    bool (*event)(void *ctx, const struct mh_event *event, char *text, size_t size);
    /* The machine was restarted or restored. */
    void (*relocated)(void *ctx);
    void (*destroy)(void *ctx);
};

/* What a log says about an interrupt at the place where the machine is. */
enum vm_replayed {
    VM_LIVE,             /* nothing: the machine is not in what was logged */
    VM_REPLAYED_NOTHING, /* none was delivered here */
    VM_REPLAYED,         /* one was, or HLT was passed without */
};

/*
 * What stands between a machine's ports and their devices: a log that records what devices answer, and answers in their
 * place when the machine goes through its past again. All members may be NULL.
 */
struct vm_port_hooks {
    void *ctx;
    /* Answer an access from the log; *file is the file call that it completed (op 0: none). False: a device is to
     * answer it. With *differs set, the guest makes another access than the log has. */
    bool (*replay)(void *ctx, const struct cpu_exit *exit, struct mh_event *file, bool *differs);
    /* A device is about to answer; it wrote to guest memory; it has answered; or it could not. */
    void (*begin)(void *ctx);
    void (*wrote)(void *ctx, mh_gpa start, uint64_t length);
    void (*finish)(void *ctx, const struct cpu_exit *exit, const struct mh_event *file);
    void (*cancel)(void *ctx);
    /* What the log says: *vector is what was delivered, after the last access or `at_halt`, 0 for none. */
    enum vm_replayed (*replay_interrupt)(void *ctx, bool at_halt, uint8_t *vector);
    /* An interrupt is about to be delivered, or HLT is passed without one (vector 0). */
    void (*interrupted)(void *ctx, bool at_halt, uint8_t vector);
};

/* What records a machine into a file. All members may be NULL, and are when none does. */
struct vm_record_hooks {
    void *ctx;
    /* As of vm_port_hooks, for accesses that devices answer. */
    void (*begin)(void *ctx);
    void (*wrote)(void *ctx, mh_gpa start, uint64_t length);
    void (*finish)(void *ctx, const struct cpu_exit *exit, const struct mh_event *file);
    void (*cancel)(void *ctx);
    void (*interrupted)(void *ctx, bool at_halt, uint8_t vector);
    /* A moment to write what has gathered. */
    void (*flush)(void *ctx);
    /* The machine begins anew; or becomes what its recording does not lead to: `why`. */
    void (*restarted)(void *ctx);
    void (*changed)(void *ctx, const char *why);
    void (*destroy)(void *ctx);
};

/* What replays a recording. All members may be NULL, and are when there is none. */
struct vm_replay_hooks {
    void *ctx;
    /* Answer an access in the place of its device. 0; -EILSEQ when it is not the one recorded, -ENODATA when the
     * recording ends here. */
    int (*answer)(void *ctx, const struct cpu_exit *exit, struct mh_event *file);
    /* As of vm_port_hooks, never VM_LIVE. *ends: the recording ends at this HLT, at which its machine waited. */
    enum vm_replayed (*interrupt)(void *ctx, bool at_halt, uint8_t *vector, bool *ends);
    void (*restarted)(void *ctx);
    void (*destroy)(void *ctx);
    /* Is this the end? Asked at the instruction at end_rip, where a recording does not say at which count it ends.
     * NULL: it does, or the run ends by itself. */
    bool (*is_end)(void *ctx);
    uint64_t end_rip;
    uint64_t until; /* the count of instructions at which the recording ends; UINT64_MAX: it does not say */
};

struct mh_vm {
    struct mh_vm_config config;
    struct mh_image *own_image; /* config.image, when it is not the one that the machine was created with */
    struct mh_host *host;
    struct guest_ram ram;
    struct cpu *cpu;
    pthread_t thread; /* the thread that created the machine and runs it */
    struct input_log input;
    atomic_uint requests;    /* VM_REQUEST_* */
    atomic_bool wants_kicks; /* other threads should kick at every tick: the guest waits, or runs beside a debugger */
    bool is_lost;            /* a restart or a restore failed half-way: the machine must not run */
    unsigned serial_exits;   /* exits for single serial bytes; enough of them make gathering pay */
    bool gathers_serial;
    bool noticed[VM_NOTICES];
    uint64_t exits[CPU_EXIT_KINDS];
    struct vm_hooks hooks;
    struct vm_port_hooks port_hooks;
    struct vm_record_hooks record_hooks;
    struct vm_replay_hooks replay_hooks;
    atomic_bool record_waits;               /* something has gathered for record_hooks.flush() */
    bool serves_port;                       /* a device is answering a port access */
    bool steps_into_interrupts;             /* deliver them while the machine is stepped too */
    uint64_t exchanged;                     /* accesses to the exchange and interrupts of it so far */
    char exchange_error[EXCHANGE_TEXT_MAX]; /* the rule that the access just served broke; "" for none */
    bool is_replaying;             /* the machine is in its past: nothing that it does may be visible outside */
    struct ram_snapshot *ram_base; /* see ram_snapshot.h; NULL before the first snapshot */
    uint64_t snapshot_room;        /* bytes of files that snapshots may have beyond those they have */
    /* what is large, and often not used at all, comes last: see pages.h */
    struct serial serial;
    struct file_port file;
    struct snapshot_list snapshots;
};

/* Print a notice of this kind, the first time only. */
void vm_notice(struct mh_vm *vm, enum vm_notice kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The general or system registers. False when the processor does not give them; *regs is undefined then. */
bool vm_read_regs(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs);
/* rip; 0 when the processor does not give it. */
uint64_t vm_rip(struct mh_vm *vm);

#endif
