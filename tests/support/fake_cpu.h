/*
 * A processor that executes nothing: it returns the exits a test has scripted, one after the other, then halts, and
 * writes down what it was asked. Any of its operations can be made to fail.
 */
#ifndef MH_TEST_FAKE_CPU_H
#define MH_TEST_FAKE_CPU_H

#include "cpu/cpu.h"

#include <stdatomic.h>

#define FAKE_EXITS_MAX 128u
#define FAKE_BYTES_MAX 4096u
#define FAKE_REQUESTS_MAX 256u
#define FAKE_LOG_MAX 8192u
#define FAKE_BATCH_MAX 4096u

struct fake_cpu;

/* One run(): what happens in it, and how it ends. */
struct fake_exit {
    struct cpu_exit exit;         /* IO: `data` is the array below */
    uint64_t rip;                 /* where the guest is then; an access is at rip until it is completed */
    bool moves;                   /* else rip stays as it is */
    uint8_t length;               /* IO: of the instruction */
    uint8_t data[FAKE_BYTES_MAX]; /* of an OUT; of an IN, what the guest got */
    void (*during)(struct fake_cpu *cpu);
};

struct fake_cpu {
    struct cpu cpu;
    struct cpu_ops ops; /* this processor's own: a test may take optional ones away */
    struct guest_ram *ram;
    struct mh_cpu_state state;
    uint64_t xcr0;
    void *ctx; /* the test's */

    struct fake_exit *exits;
    unsigned queued, done;
    struct fake_exit *pending; /* an access that is not completed */
    bool hides_rip;            /* rip_at_hand() says no */
    bool counts;               /* instructions() says `count` */
    uint64_t count;

    const char *failing; /* the name of the operation that fails: "save", "arm", ...; NULL: none */
    unsigned failing_in; /* fail at this call from now, and at those after it; 0: at each */

    atomic_bool kicked; /* and no run() has returned since */
    atomic_uint kicks;  /* so far */

    struct cpu_request requests[FAKE_REQUESTS_MAX]; /* what run() was asked for */
    unsigned runs;
    const struct cpu_point *points;
    size_t point_count;
    bool tracks_writes;
    unsigned memory_changes; /* calls of memory_changed() */
    uint8_t batch[FAKE_BATCH_MAX];
    size_t batch_length;
    bool batches;           /* batch_port(on) */
    char log[FAKE_LOG_MAX]; /* the other operations, each with a space behind it */
};

/* For programs linked with --wrap=soft_cpu_create: machines without KVM, and auto_cpu.c, get a fake instead of the
 * software processor. The last that was made (NULL: destroyed), how many there are, and whether making one fails. */
extern struct fake_cpu *fake_soft;
extern unsigned fake_cpus;
extern bool fake_soft_fails;

/* A processor in the state *boot. cpu->ops->destroy() ends it. */
struct fake_cpu *fake_cpu_make(const char *name, struct guest_ram *ram, const struct mh_cpu_state *boot);

/* Script an exit. Each returns it, to be filled in further, or looked at afterwards. */
struct fake_exit *fake_cpu_will(struct fake_cpu *cpu, enum cpu_exit_kind kind);
struct fake_exit *fake_cpu_will_at(struct fake_cpu *cpu, enum cpu_exit_kind kind, uint64_t rip);
struct fake_exit *fake_cpu_will_out(struct fake_cpu *cpu, uint16_t port, uint8_t width, const void *data,
                                    uint32_t count);
struct fake_exit *fake_cpu_will_in(struct fake_cpu *cpu, uint16_t port, uint8_t width, uint32_t count);

/* Forget what was scripted and written down. */
void fake_cpu_clear(struct fake_cpu *cpu);

/* How often `word` was asked of it. */
unsigned fake_cpu_asked(const struct fake_cpu *cpu, const char *word);

#endif
