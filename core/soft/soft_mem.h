/*
 * The software processor's way to memory. Addresses are linear (segment base added). Everything is checked: canonical
 * form, page tables with the rights of ring, WP, SMEP, SMAP and NX, reserved bits, and whether there is memory at all.
 * A and D bits are set as the processor does. An access that crosses a page is checked whole before a byte is written.
 *
 * The functions return true, or false with nothing changed: then cpu->fault (SOFT_FAULT) or, where there is no memory,
 * cpu->exit (SOFT_EXIT) says why, and `return soft_mem_result(cpu);` is what a handler does.
 * `segment` (enum mh_seg) only decides between #SS and #GP for addresses that are not canonical.
 */
#ifndef MH_CORE_SOFT_SOFT_MEM_H
#define MH_CORE_SOFT_SOFT_MEM_H

#include "soft_cpu.h"

#include <string.h>

#define SOFT_TLB_SLOW 1u /* in a tag: take the slow path (watched, decoded code, not yet marked as written) */

enum soft_result soft_mem_result(const struct soft_cpu *cpu);

/* Any length up to a page. */
bool soft_read(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned length);
bool soft_write(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned length);
/* Read what will be written next: checks for a write, so that the soft_write() that follows cannot fail. */
bool soft_read_for_write(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned length);
/* Check only: could [address, address + length) be read, or written? */
bool soft_probe(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned length, bool for_write);

/* Accesses of the processor itself to descriptor tables and the TSS: with the rights of ring 0, whatever CPL is. */
bool soft_read_system(struct soft_cpu *cpu, uint64_t address, void *to, unsigned length);
bool soft_write_system(struct soft_cpu *cpu, uint64_t address, const void *from, unsigned length);

/*
 * Translate for an instruction fetch. *host is the address of the page's first byte in this process, *page its number
 * in the order of ram.host. False as above (a fault has its address and error code).
 */
bool soft_fetch_page(struct soft_cpu *cpu, uint64_t address, const uint8_t **host, size_t *page);

/* Page tables, or registers that decide about them, have changed. */
void soft_tlb_flush(struct soft_cpu *cpu);
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t address);
/* From now on writes to this page (in the order of ram.host) must be noticed: code was decoded from it. */
void soft_mem_protect_code(struct soft_cpu *cpu, size_t page);

/*
 * Where bytes from `address` on can be written without being looked at one by one: *length, which becomes less where
 * decoded code or the page ends. NULL: they have to be looked at. All of them count as written.
 */
uint8_t *soft_mem_at_once(struct soft_cpu *cpu, uint64_t address, uint64_t *length);

/*
 * For code that looks the TLB up itself and has not found what it wants: bring the page into it. What has to be added
 * to `address` on the host is returned, for this access only; 0: the access has to be made by soft_read() or
 * soft_write().
 */
uint64_t soft_mem_addend(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write);

/* Does the TLB have the page of `address` for accesses that need not be looked at? */
bool soft_mem_at_hand(const struct soft_cpu *cpu, uint64_t address, bool is_write);

/* The ring whose rights apply to accesses from now on, and the half of the TLBs: 3, or 0 to 2. */
void soft_mem_set_user(struct soft_cpu *cpu, bool user);

/* RFLAGS.AC, CR0.AM or CR4.SMAP may have changed: soft_update_attention() calls this. */
void soft_mem_update_mode(struct soft_cpu *cpu);

/* The direct way, which almost all accesses take; `type` is one of the unsigned integer types. */
#define SOFT_MEM_INLINE(bits)                                                                                          \
    static inline bool soft_read##bits(struct soft_cpu *cpu, unsigned segment, uint64_t address, uint##bits##_t *to)   \
    {                                                                                                                  \
        const struct soft_tlb_entry *entry = &cpu->tlb_read[cpu->user][address >> 12 & (SOFT_TLB_SIZE - 1)];           \
        if (entry->tag == (address & ~0xfffull) && (address & 0xfff) <= 0x1000 - sizeof *to) {                         \
            memcpy(to, soft_tlb_at(entry, address), sizeof *to);                                                       \
            return true;                                                                                               \
        }                                                                                                              \
        return soft_read(cpu, segment, address, to, sizeof *to);                                                       \
    }                                                                                                                  \
    static inline bool soft_write##bits(struct soft_cpu *cpu, unsigned segment, uint64_t address,                      \
                                        uint##bits##_t value)                                                          \
    {                                                                                                                  \
        const struct soft_tlb_entry *entry = &cpu->tlb_write[cpu->user][address >> 12 & (SOFT_TLB_SIZE - 1)];          \
        if (entry->tag == (address & ~0xfffull) && (address & 0xfff) <= 0x1000 - sizeof value) {                       \
            memcpy(soft_tlb_at(entry, address), &value, sizeof value);                                                 \
            return true;                                                                                               \
        }                                                                                                              \
        return soft_write(cpu, segment, address, &value, sizeof value);                                                \
    }

SOFT_MEM_INLINE(8)
SOFT_MEM_INLINE(16)
SOFT_MEM_INLINE(32)
SOFT_MEM_INLINE(64)

/* The linear address of the instruction's memory operand. */
static inline uint64_t soft_address(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t address = (uint64_t)(int64_t)insn->displacement;
    if (insn->rip_relative)
        address += cpu->rip + insn->length;
    if (insn->base != SOFT_NO_REGISTER)
        address += cpu->gpr[insn->base];
    if (insn->index != SOFT_NO_REGISTER)
        address += cpu->gpr[insn->index] << insn->scale;
    if (insn->address_size == 4)
        address = (uint32_t)address;
    if (insn->segment >= MH_FS)
        address += cpu->seg[insn->segment].base;
    return address;
}

#endif
