/*
 * Descriptors of the GDT, LDT and IDT as they lie in memory, and what they mean in 64-bit mode (Intel SDM volume 3,
 * 3.4.5, 3.5, 5.8.3.1 and 6.14.1; AMD APM volume 2, 4.8). Pure functions: reading and checking rights is elsewhere.
 */
#ifndef MH_CORE_X86_DESCRIPTORS_H
#define MH_CORE_X86_DESCRIPTORS_H

#include "mh/x86_regs.h"

#include <stdbool.h>
#include <stdint.h>

/* Bits of mh_x86_segment.attributes and x86_gate.attributes: bytes 5 and 6 of the descriptor. */
#define X86_SEGMENT_TYPE 0x000fu
#define X86_SEGMENT_ACCESSED 0x0001u
#define X86_SEGMENT_WRITABLE 0x0002u   /* data */
#define X86_SEGMENT_READABLE 0x0002u   /* code */
#define X86_SEGMENT_CONFORMING 0x0004u /* code */
#define X86_SEGMENT_CODE 0x0008u
#define X86_SEGMENT_CODE_OR_DATA 0x0010u /* S; clear: a system descriptor */
#define X86_SEGMENT_DPL_SHIFT 5u
#define X86_SEGMENT_PRESENT 0x0080u
#define X86_SEGMENT_LONG 0x2000u       /* L */
#define X86_SEGMENT_DEFAULT_32 0x4000u /* D/B */
#define X86_SEGMENT_GRANULARITY 0x8000u

/* Types of system descriptors in long mode. */
enum x86_system_type {
    X86_LDT = 0x2,
    X86_TSS_AVAILABLE = 0x9,
    X86_TSS_BUSY = 0xb,
    X86_CALL_GATE = 0xc,
    X86_INTERRUPT_GATE = 0xe,
    X86_TRAP_GATE = 0xf,
};

/* Selectors. */
#define X86_SELECTOR_RPL 0x3u
#define X86_SELECTOR_LDT 0x4u /* TI: the LDT is meant */

/* A 64-bit gate. */
struct x86_gate {
    uint64_t offset;
    uint16_t selector;
    uint16_t attributes;
    uint8_t ist; /* interrupt and trap gates: 0, or 1 to 7 */
};

/* A 64-bit TSS: offsets of its fields (Intel SDM volume 3, 8.7). */
#define X86_TSS_RSP0 4u
#define X86_TSS_IST1 36u
#define X86_TSS_IO_MAP 102u

static inline unsigned x86_dpl(uint16_t attributes)
{
    return attributes >> X86_SEGMENT_DPL_SHIFT & 3u;
}

/* The error code that names a selector: index and table, with EXT and IDT clear. */
static inline uint32_t x86_selector_error(uint16_t selector)
{
    return selector & 0xfffcu;
}

static inline bool x86_is_null(uint16_t selector)
{
    return (selector & 0xfffcu) == 0;
}

/* With four-level paging: bits 48 to 63 repeat bit 47. */
static inline bool x86_is_canonical(uint64_t address)
{
    return address + (1ull << 47) < 1ull << 48;
}

/* The segment register that loading `selector` with this code or data descriptor makes. */
struct mh_x86_segment x86_segment(uint16_t selector, uint64_t descriptor);

/* The same for LDTR and TR, whose descriptors have 16 bytes. */
struct mh_x86_segment x86_system_segment(uint16_t selector, const uint64_t descriptor[2]);

/* Bits 8 to 12 of a system descriptor's last four bytes, where a type would stand, must be 0 (AMD APM volume 2, 4.8.2).
 */
bool x86_upper_half_is_valid(uint64_t upper_half);

struct x86_gate x86_gate(const uint64_t descriptor[2]);

/* What SYSCALL, SYSENTER and their returns load without reading a table: flat 64-bit code, and data. */
struct mh_x86_segment x86_flat_code(uint16_t selector, unsigned dpl);
struct mh_x86_segment x86_flat_data(uint16_t selector, unsigned dpl);

#endif
