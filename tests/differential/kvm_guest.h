/*
 * Random guests for kvm_test.c: in ring 0 with handlers that log each exception and go on behind it. They come in four
 * kinds, from snippets that do what programs do, to random bytes.
 *
 * Memory: code from 0; data from GUEST_DATA; everything else is HLT, so that a guest that goes astray ends. The log
 * lies in the system area's last page, which nothing else uses.
 */
#ifndef MH_TEST_KVM_GUEST_H
#define MH_TEST_KVM_GUEST_H

#define GUEST_RAM_SIZE 0x40000
#define GUEST_ENTRY 0x400
#define GUEST_CODE_SIZE 0x2000
#define GUEST_DATA 0x10000
#define GUEST_DATA_MASK 0xfff8 /* of an aligned place in it */
#define GUEST_ROUNDS 0x3000    /* 32 bits: rounds that the loop of a guest still has to go */

#define GUEST_LOG 0x1009000 /* where the next entry is to be stored; entries follow, from the next 64 bytes on */
#define GUEST_LOG_FIRST (GUEST_LOG + 64)
#define GUEST_LOG_END 0x100a000

/* Numbers in snippets that stand for others, and which. */
#define GUEST_HOLE 0x5a5a0000
#define GUEST_HOLE_RANDOM 0 /* and 1: an odd one */
#define GUEST_HOLE_DATA 2
#define GUEST_HOLE_COUNT 3
#define GUEST_HOLE_MSR 4
#define GUEST_HOLE_PAGE 5 /* an address in a page of the data, and that of its page table entry */
#define GUEST_HOLE_PAGE_ENTRY 6
#define GUEST_HOLE_OTHER_PAGE 7
#define GUEST_HOLE_OTHER_ENTRY 8
#define GUEST_HOLE_AFTER 9 /* the address behind the snippet */

#ifndef __ASSEMBLER__
#include "encoding.h"

#include "ram/ram.h"
#include "x86/cpuid.h"

struct kvm_guest {
    struct mh_cpu_state boot;
    bool for_emulator; /* see kvm_known.c: A and D are set in the page table from the start, and AC is clear */
    uint8_t image[GUEST_RAM_SIZE];
};

/* An entry of the log. */
struct guest_exception {
    uint64_t vector, error_code, rip, cs, rflags, rsp, ss, cr2;
};

/* Make the guest that `chance` leads to. */
void kvm_guest_make(struct chance *chance, const struct form *forms, unsigned form_count, const struct x86_cpuid *cpuid,
                    struct kvm_guest *guest);

/* Fill RAM and system area as the guest is to find them at the start. */
void kvm_guest_load(const struct kvm_guest *guest, struct guest_ram *ram);
#endif

#endif
