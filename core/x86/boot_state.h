/*
 * What a machine finds when it starts: the contents of the system area and the registers.
 *
 * The IDT leads every exception to a stub of its own, `hlt` in a 16-byte slot, on a stack of its own (IST 1). So a
 * guest without handlers ends in HLT: rip, in a slot, identifies the vector, and the frame on that stack has the rest,
 * whatever the guest did to its own stack.
 */
#ifndef MH_CORE_X86_BOOT_STATE_H
#define MH_CORE_X86_BOOT_STATE_H

#include "mh/cpu_state.h"
#include "mh/guest_abi.h"
#include "ram/ram.h"

#include <stdbool.h>

/* The system area, as offsets from MH_SYSTEM_AREA. */
enum boot_layout {
    BOOT_PML4 = 0x0000,
    BOOT_PDPT = 0x1000,
    BOOT_PD = 0x2000,
    BOOT_SYSTEM_PT = 0x3000,
    BOOT_RAM_PT = 0x4000, /* four tables, for 8 MB in 4 KB pages */
    BOOT_GDT = 0x8000,
    BOOT_TSS = 0x8080,
    BOOT_IDT = 0x8100,
    BOOT_STUBS = 0x8400,
    BOOT_FAULT_STACK_TOP = 0x9000, /* IST 1; grows down to the stubs */
    BOOT_RING0_STACK_TOP = 0xa000, /* RSP0 of the TSS: one page, for guests that use ring 3 with this TSS */
};

#define BOOT_VECTORS 32u
#define BOOT_STUB_SIZE 16u

/* The slot behind the vectors: where the guest's entry point returns to. */
#define BOOT_STUB_RETURNED BOOT_VECTORS

/* Write page tables, GDT, TSS, IDT and stubs into the system area, and the return address of the entry point onto the
 * stack. `page_size` is PAGE_4K or PAGE_2M. */
void boot_write_system_area(const struct guest_ram *memory, uint32_t page_size);

/* The general registers at the start: rip is `entry`, rsp points to the return address at the end of RAM. */
struct mh_x86_general boot_general(const struct guest_ram *memory, uint64_t entry);

/* The segments, descriptor tables and control registers at the start. `use_xsave` sets CR4.OSXSAVE. */
struct mh_x86_system boot_system(bool use_xsave);

/* The MSRs at the start: what a processor has after RESET (Intel SDM volume 3, table 9-1) and KVM gives a guest. The
 * APIC is disabled, because there is none. */
struct mh_x86_msrs boot_msrs(void);

/* The debug registers after RESET. */
#define BOOT_DR6 0xffff0ff0u
#define BOOT_DR7 0x400u

/*
 * Which stub a machine is in: 0 to 31 for an exception's vector, BOOT_STUB_RETURNED, or -1 when `rip` is neither at
 * a stub's HLT nor directly after it.
 */
int boot_stub_at(uint64_t rip);

#endif
