/*
 * Reading and checking descriptors, and the frames that control transfers push. Functions that return a soft_result
 * return SOFT_NEXT when all is well; otherwise they raised a fault or left the guest, and the caller passes that on.
 */
#ifndef MH_CORE_SOFT_SOFT_DESCRIPTOR_H
#define MH_CORE_SOFT_SOFT_DESCRIPTOR_H

#include "soft_cpu.h"
#include "x86/descriptors.h"

/* Vectors (Intel SDM volume 3, 6.3.1). */
enum soft_vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_BP = 3,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_XM = 19,
};

#define SOFT_RFLAGS_IOPL 0x3000u
#define SOFT_RFLAGS_NT 0x4000u
#define SOFT_RFLAGS_VM 0x20000u
#define SOFT_RFLAGS_AC 0x40000u
#define SOFT_RFLAGS_VIF 0x80000u
#define SOFT_RFLAGS_VIP 0x100000u
#define SOFT_RFLAGS_ID 0x200000u

/* A descriptor of the GDT or LDT. */
struct soft_descriptor {
    uint64_t address; /* linear, of its first byte */
    uint64_t raw[2];  /* the second half belongs to system descriptors only */
    struct mh_x86_segment segment;
};

/* ---- soft_descriptor.c ---- */

/* The linear address of `length` bytes of the table entry that `selector` names; false when they lie beyond its end. */
bool soft_find_descriptor(const struct soft_cpu *cpu, uint16_t selector, unsigned length, uint64_t *address);

/* Read a descriptor of 8 bytes. #GP(selector) beyond the table; a null selector must have been dealt with. */
enum soft_result soft_read_descriptor(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *descriptor);

/* Read the second half of a system descriptor; segment.base becomes its 64 bits. */
enum soft_result soft_read_upper_half(struct soft_cpu *cpu, struct soft_descriptor *descriptor);

/* Set the accessed bit of a code or data descriptor, in memory and in `segment`. */
enum soft_result soft_mark_accessed(struct soft_cpu *cpu, struct soft_descriptor *descriptor);

/* The same for the busy bit of an available TSS. */
enum soft_result soft_mark_busy(struct soft_cpu *cpu, struct soft_descriptor *descriptor);

/* Loading a null selector into a segment register other than CS. */
void soft_load_null(struct soft_cpu *cpu, enum mh_seg which, uint16_t selector);

/* SS after a change to an inner ring: null, with the new CPL (Intel SDM volume 3, 6.14.2). */
struct mh_x86_segment soft_null_stack(unsigned cpl);

/* Read RSPn or an IST entry from the TSS. #TS beyond its limit, #SS(0) when it is not canonical. */
enum soft_result soft_read_tss_stack(struct soft_cpu *cpu, unsigned offset, uint64_t *rsp);

/* ---- soft_frame.c ---- */

/*
 * Can `count` values of `size` bytes each be pushed below `rsp`, with the rights of ring `cpl`? Faults are raised for
 * the first push that fails, as if the pushes were done one by one.
 */
enum soft_result soft_probe_frame(struct soft_cpu *cpu, unsigned cpl, uint64_t rsp, unsigned count, unsigned size);

/* Push them: values[0] goes to the lowest address. A soft_probe_frame() must have said that it is possible. */
enum soft_result soft_write_frame(struct soft_cpu *cpu, unsigned cpl, uint64_t rsp, const uint64_t *values,
                                  unsigned count, unsigned size);

/* Pop `count` values of `size` bytes, the first from `rsp`. */
enum soft_result soft_read_frame(struct soft_cpu *cpu, uint64_t rsp, uint64_t *values, unsigned count, unsigned size);

/* ---- soft_return.c ---- */

/* What a far return or IRET popped. */
struct soft_return {
    uint64_t rip, rsp;
    uint16_t cs, ss;
    struct soft_descriptor code, stack; /* stack is set when `ss` is not null */
};

/* Check the code segment to return to, and read its descriptor (Intel SDM volume 2, IRET and RET). */
enum soft_result soft_check_return_code(struct soft_cpu *cpu, struct soft_return *target);
/* Check the stack segment to return to. */
enum soft_result soft_check_return_stack(struct soft_cpu *cpu, struct soft_return *target);
/* The checks that come last: canonical rip, and 64-bit code. Then the accessed bits are set. */
enum soft_result soft_prepare_return(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_return *target,
                                     bool loads_stack);
/* Load CS, SS, rsp and rip; in an outer ring, clear segment registers which that ring may not use. */
void soft_commit_return(struct soft_cpu *cpu, const struct soft_return *target, bool loads_stack);

/* ---- for handlers ---- */

/* Done, and what decoded code depends on may have changed: continue after the instruction. */
static inline enum soft_result soft_done(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    cpu->rip += insn->length;
    return SOFT_JUMP;
}

#endif
