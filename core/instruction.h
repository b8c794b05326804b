/*
 * As much of the x86-64 instruction set as a debugger on KVM needs: what an instruction reads in memory (for watched
 * reads on hosts without data breakpoints) and which opcode it is behind its prefixes. 64-bit code only.
 * Source: Intel SDM volume 2, chapter 2 and appendix A.
 */
#ifndef MH_CORE_INSTRUCTION_H
#define MH_CORE_INSTRUCTION_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A range of guest-virtual memory an instruction reads. */
struct instruction_read {
    uint64_t address;
    uint32_t length; /* bytes */
};

#define INSTRUCTION_READS_MAX 2

/* The first opcode byte behind legacy and REX prefixes; 0 when `code` ends before it (0 is an ADD, of no interest). */
uint8_t instruction_opcode(const uint8_t *code, size_t available);

/*
 * What the instruction at `code` reads besides its own bytes, given the registers before it runs.
 * Returns how many ranges there are, 0 to INSTRUCTION_READS_MAX; 0 too for instructions it does not know.
 */
unsigned instruction_reads(const uint8_t *code, size_t available, const struct kvm_regs *regs,
                           const struct kvm_sregs *sregs, struct instruction_read *reads);

#endif
