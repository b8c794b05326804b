/*
 * Virtual machines: load an image, create a machine in the thread that will run it, run it until it stops.
 *
 * A machine belongs to the thread that created it; only mh_vm_kick(), mh_vm_request_stop() and
 * mh_vm_wants_kick() may be called from others, between mh_vm_create() and mh_vm_destroy(). Machines share
 * nothing that is written.
 */
#ifndef MH_VM_H
#define MH_VM_H

#include "mh/counts.h"
#include "mh/debug_target.h"
#include "mh/event.h"
#include "mh/exchange.h"
#include "mh/status.h"
#include "mh/stop.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the host ---- */

/* Which processor executes guests (QEMU's word for it). */
enum mh_accel {
    MH_ACCEL_AUTO, /* KVM if it is usable, and the software processor for what KVM cannot do; otherwise software */
    MH_ACCEL_KVM,  /* KVM, or an error */
    MH_ACCEL_SOFT, /* the software processor only; /dev/kvm is not opened */
    MH_ACCEL_INTERPRETER, /* the same without generated code */
};

struct mh_host;

/*
 * What all machines of a process share: the choice of processor and, with KVM, its descriptor.
 * Returns MH_OK with *host set, or MH_ERR_HOST with what is missing and how to get it (never but for KVM, unless there
 * is no memory). Any number of threads may use it; close it after the last machine is gone.
 */
enum mh_status mh_host_open(enum mh_accel accel, struct mh_host **host, struct mh_error *err);
void mh_host_close(struct mh_host *host);

/* True when machines run on KVM, as long as nothing needs the software processor. */
bool mh_host_has_kvm(const struct mh_host *host);
/* With AUTO: why KVM is not used, one line; "" when it is, or was not asked for. */
const char *mh_host_kvm_problem(const struct mh_host *host);

/*
 * Write to this descriptor, from now on, which guest code each piece of generated code was made from: a line in the
 * format of perf's maps, "START SIZE guest:ADDRESS". Call it before the first machine is created; the descriptor stays
 * the caller's and must outlive the machines. Without generated code nothing is written.
 */
void mh_host_name_code(struct mh_host *host, int fd);

/*
 * Ask KVM for the CPUID it supports, once; machines need it, and wait for it. It takes nearly a millisecond, so a
 * caller with nothing else to do calls it while other threads create their machines. Without KVM it does nothing.
 */
void mh_host_prepare(struct mh_host *host);

/*
 * Write what this host offers, one line "name: value" for each thing: the processor that `auto` chooses and why, and
 * with KVM what it can do, as tried in scratch machines. Names and values stay from version to version. Takes some tens
 * of milliseconds. MH_OK, or MH_ERR_HOST when no machine can be made; some lines may be written then.
 */
enum mh_status mh_host_describe(struct mh_host *host, mh_text_sink *sink, void *sink_ctx, struct mh_error *err);

/* ---- images ---- */

struct mh_image;

/*
 * Read a flat image, to be loaded and entered at `address`, or a static ELF64 executable, which has addresses of its
 * own. The image must fit `ram_size` bytes of RAM less MH_STACK_RESERVE.
 * Returns MH_OK with *image set, or MH_ERR_IMAGE with the path, the reason and the sizes that matter in *err.
 * An image is never written, so any number of machines may share it.
 */
enum mh_status mh_image_load(const char *path, uint64_t ram_size, uint64_t address, struct mh_image **image,
                             struct mh_error *err);
void mh_image_free(struct mh_image *image);
/* Close the file, which is open for debuggers to read. */
void mh_image_close_file(struct mh_image *image);
bool mh_image_is_elf(const struct mh_image *image);
/* Do both, loaded from files for RAM of one size, fill it with the same bytes? True without memory to find out. */
bool mh_image_has_memory_of(const struct mh_image *image, const struct mh_image *other);
/* The absolute path that the image's file had when it was loaded, NULL when it has none. Lives as long as the image. */
const char *mh_image_path(const struct mh_image *image);

/* ---- files all machines may read ---- */

struct mh_shared_files;

/*
 * Open `count` files of the host for sharing; a guest knows each by the last component of its path.
 * Returns MH_OK with *files set, or MH_ERR_IMAGE / MH_ERR_USAGE (two of one name, a name no guest could say).
 */
enum mh_status mh_shared_files_open(const char *const *paths, size_t count, struct mh_shared_files **files,
                                    struct mh_error *err);
void mh_shared_files_close(struct mh_shared_files *files);

/* ---- machines ---- */

/* mh_serial_end.read(): what it returns besides a byte. */
#define MH_SERIAL_INPUT_ENDED (-1)
#define MH_SERIAL_INTERRUPTED (-2)

/* The other end of the serial port. Called from the machine's thread. */
struct mh_serial_end {
    void *ctx;
    /* Take `length` bytes. Returns 0, minus an errno, or -EINTR when a stop was asked for and not all was written.
     * NULL: they go nowhere. */
    int (*write)(void *ctx, const uint8_t *bytes, size_t length);
    /* Wait for a byte: 0 to 255, MH_SERIAL_INPUT_ENDED, MH_SERIAL_INTERRUPTED (a signal came, or one of the
     * `wake_count` descriptors became readable), or minus an errno (of which -EPERM and -ENOENT are taken by the two
     * others). A wait that cannot watch the descriptors returns MH_SERIAL_INTERRUPTED at the next kick: see
     * mh_vm_wants_kick(). NULL: there is no input. */
    int (*read)(void *ctx, const int *wake_fds, unsigned wake_count);
};

struct mh_file_limits {
    unsigned open_files;    /* descriptors a guest may hold at once, 1 to 1024 */
    uint64_t bytes_written; /* bytes a guest may write or have copied, and the size any of its files may reach */
};

struct mh_vm_config {
    unsigned number;    /* towards debuggers, from 1 */
    const char *name;   /* for messages; all strings must outlive the machine */
    uint64_t ram_size;  /* bytes: 2, 4 or 8 MB */
    uint32_t page_size; /* bytes: 4096 or 2 MB */
    const struct mh_image *image;
    /* Open the image's file again, as it is when a debugger restarts the machine: a descriptor, which the machine
     * closes, or minus an errno. Called from the machine's thread. NULL: the machine always starts with `image`. */
    int (*open_image)(void *ctx);
    void *open_image_ctx;
    struct mh_serial_end serial;
    const struct mh_shared_files *shared; /* may be NULL */
    struct mh_exchange *exchange;         /* in which the machine is `number`; may be NULL */
    const char *files_parent;             /* directory of the VMs' own directories; made when a guest first writes */
    const char *files_name;               /* name of this VM's directory in it */
    struct mh_file_limits limits;
    uint64_t history;     /* bytes of memory for the past of a machine that is debugged, at most; 0: it is not kept */
    const char *core_dir; /* directory for core files; NULL: none may be written */
    /* How many instructions mh_vm_run() executes before it returns MH_STOP_INTERRUPTED with `at_limit` set; 0: any
     * number. It is exact, and the machine runs in software. Debuggers and replays are not limited. */
    uint64_t max_instructions;
    /* Count how often each instruction is executed, for mh_vm_counts(), and what each function executes, for
     * mh_vm_calls() as well. Needs MH_ACCEL_SOFT or MH_ACCEL_INTERPRETER. */
    bool counts, counts_calls;
    /* Note which pages the guest writes, for mh_vm_view_memory(), also on KVM. Not for a machine that a debugger may
     * take snapshots of. */
    bool notes_writes;
    /* Called once for each kind of access that has no effect; may be NULL. One line, no newline. */
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
    /* Called for every event, on the machine's thread: the guest waits as long as it takes. May be NULL.
     */
    void (*event)(void *ctx, const struct mh_event *event);
    void *event_ctx;
};

struct mh_vm;

/* Create a machine, stopped before its first instruction. MH_OK with *vm set, or MH_ERR_HOST. */
enum mh_status mh_vm_create(struct mh_host *host, const struct mh_vm_config *config, struct mh_vm **vm,
                            struct mh_error *err);
void mh_vm_destroy(struct mh_vm *vm);

/* Run until something stops the machine; *stop says what. All output made so far has been handed to the serial end. */
void mh_vm_run(struct mh_vm *vm, struct mh_stop *stop);

/*
 * Put a debugger in charge instead of mh_vm_run(): fill in *target, whose machine is stopped before its first
 * instruction and belongs to the calling thread. MH_OK, or MH_ERR_HOST.
 */
enum mh_status mh_vm_debug(struct mh_vm *vm, struct mh_debug_target *target, struct mh_error *err);

/*
 * Several machines in the hands of one debugger. Their threads join the group; one more thread assembles it, serves a
 * debugger, and finishes it.
 */
struct mh_debug_group;

/* A group of `count` machines, numbered from 1. MH_OK with *group set, or MH_ERR_HOST. Destroy it after all is joined
 * and finished. */
enum mh_status mh_debug_group_create(unsigned count, struct mh_debug_group **group, struct mh_error *err);
void mh_debug_group_destroy(struct mh_debug_group *group);

/*
 * The thread of machine `index` (from 0) does what the debugger wants until the group is finished; `vm` is NULL
 * if the machine could not be created: returns at once. MH_OK, or MH_ERR_HOST at once when it cannot be debugged.
 */
enum mh_status mh_debug_group_join(struct mh_debug_group *group, unsigned index, struct mh_vm *vm,
                                   struct mh_error *err);

/* Wait until every machine has joined. Fills in *target, to be used by the calling thread alone, and returns how many
 * machines there are. */
unsigned mh_debug_group_assemble(struct mh_debug_group *group, struct mh_debug_target *target);

/* There will be no more requests to the machines: let their threads end. None may be running. */
void mh_debug_group_finish(struct mh_debug_group *group);

/*
 * How a machine in a debugger's hands stopped last; MH_STOP_HALTED when the debugger killed it before it crashed.
 * Returns true when that was its end: it halted, or was killed.
 */
bool mh_vm_last_stop(const struct mh_vm *vm, struct mh_stop *stop);

/*
 * Write about a stop for people: what happened, registers, code bytes, page walk. `write` takes the text in pieces.
 * To be called after mh_vm_run() and before the next.
 */
void mh_vm_describe_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx);

/* What there is to say about a fault besides the address; "" where there is nothing. */
struct mh_fault_words {
    const char *name;    /* of the exception: "page fault (#PF)" */
    char error[128];     /* what its error code means */
    const char *missing; /* of a page fault: which right a page lacks that is mapped */
};

/* Explain a stop of the kind MH_STOP_EXCEPTION. To be called when mh_vm_describe_stop() may be. */
void mh_vm_explain_fault(struct mh_vm *vm, const struct mh_stop *stop, struct mh_fault_words *words);

/* Read registers of a stopped machine, on its thread; `groups` is made of MH_REGS_*. False when the processor does not
 * give them: *regs is undefined then. */
bool mh_vm_read_regs(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs);

/*
 * Write an ELF core file called `name`, a single component, into config.core_dir, over what has that name: the machine
 * as it is now, after `stop`. To be called when mh_vm_describe_stop() may be. Returns MH_OK, or MH_ERR_IO with the
 * reason; on error nothing is left of the file, and what had its name before is untouched.
 */
enum mh_status mh_vm_write_core(struct mh_vm *vm, const struct mh_stop *stop, const char *name, struct mh_error *err);

/*
 * Write which processor ran the machine and what it did, one line "name: value" for each thing; the first line is
 * "processor: kvm", "processor: soft", or both, with how often the machine moved. On the machine's thread, stopped.
 */
void mh_vm_stats(struct mh_vm *vm, mh_text_sink *sink, void *sink_ctx);

/*
 * How often each instruction was executed since the machine began or was restarted, with config.counts or counts_calls.
 * The sum is the number of instructions that mh_vm_stats() writes. What a debugger has the machine execute again, after
 * it went back, is not counted again. *counts is the machine's, until this is called again or the machine runs or is
 * destroyed. MH_OK, or MH_ERR_HOST without memory. On the machine's thread, stopped.
 */
enum mh_status mh_vm_counts(struct mh_vm *vm, struct mh_counts *counts, struct mh_error *err);
/* The same for the tree of calls, with config.counts_calls. */
enum mh_status mh_vm_calls(struct mh_vm *vm, struct mh_calls *calls, struct mh_error *err);

/* The signal that takes a machine's thread out of a system call by order of another thread. mh_kick_install() gives it
 * a handler, and one to whatever signal a processor uses for itself. */
#define MH_KICK_SIGNAL SIGUSR1
void mh_kick_install(void);

/* Make the machine leave the guest for a moment, so that it flushes what it printed. Any thread. */
void mh_vm_kick(struct mh_vm *vm);
/* Make mh_vm_run() return MH_STOP_INTERRUPTED soon. Any thread; may be repeated until it did. */
void mh_vm_request_stop(struct mh_vm *vm);
/* True when there is a reason to kick: printed bytes are still in a buffer or, under a debugger, the guest waits for
 * input and could have missed a request of the debugger, or a timer of the stub may have expired. Any thread. */
bool mh_vm_wants_kick(struct mh_vm *vm);

#endif
