/* One of the machines that run a guest of kvm_test.c: RAM, a processor, and a device behind every port. */
#ifndef MH_TEST_KVM_SIDE_H
#define MH_TEST_KVM_SIDE_H

#include "kvm_guest.h"

#include "cpu/cpu.h"

struct kvm_side {
    const char *name;
    struct guest_ram ram;
    struct cpu *cpu;
    uint64_t output; /* a hash of what OUT wrote, and of the number of bytes that IN read */
    unsigned outputs;
    unsigned kicks; /* since it was started */
};

enum kvm_end_kind {
    KVM_END_HALT,
    KVM_END_TRIPLE_FAULT,
    KVM_END_NO_MEMORY,
    KVM_END_ERROR,
    KVM_END_NONE, /* it ran longer than it may */
};

/* What a guest came to; RAM is still the side's. */
struct kvm_end {
    enum kvm_end_kind kind;
    uint64_t output;
    struct mh_cpu_state state;
    char text[CPU_ERROR_TEXT_MAX];
};

/* Let the guest begin. False with a message printed. */
bool kvm_side_start(struct kvm_side *side, const struct kvm_guest *guest);

/* Complete what the last run ended with, an access to a port. True when it did end with one. */
bool kvm_side_serve(struct kvm_side *side, const struct cpu_exit *exit);

/* How a guest ends that left the processor with this exit; KVM_END_NONE when it does not end with it. */
enum kvm_end_kind kvm_side_end_kind(const struct cpu_exit *exit);

/* Describe the end. False with a message printed. */
bool kvm_side_end(struct kvm_side *side, enum kvm_end_kind kind, const struct cpu_exit *exit, struct kvm_end *end);

/* Run to the end: in software at most `until` instructions, on KVM until it has been kicked too often. */
bool kvm_side_run(struct kvm_side *side, uint64_t until, struct kvm_end *end);

/* The log of exceptions, and how many there are. */
const struct guest_exception *kvm_side_log(const struct kvm_side *side, unsigned *count);

/* The first exception that only one side has, or the other has otherwise; as many as both have, when there is none. */
unsigned kvm_sides_first_exception(const struct kvm_side *a, const struct kvm_side *b);

/* Do two sides agree? If not, *text (one line, at most `size` bytes) says in what. */
bool kvm_sides_equal(const struct kvm_side *a, const struct kvm_end *a_end, const struct kvm_side *b,
                     const struct kvm_end *b_end, char *text, size_t size);

#endif
