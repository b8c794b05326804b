/*
 * The guest's registers as the debugger sees them. There is one table; the packets g, G, p and P and the target
 * description are derived from it (GDB manual, "Target Descriptions", "i386 Features").
 */
#ifndef GDBSTUB_X86_DESC_H
#define GDBSTUB_X86_DESC_H

#include "protocol/reply.h"

#include "mh/debug_target.h"
#include "mh/x86_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Features of the target description. Registers are numbered in this order. */
enum gdb_x86_feature {
    GDB_X86_CORE,
    GDB_X86_SSE,
    GDB_X86_SEGMENTS,
    GDB_X86_AVX,
    GDB_X86_AVX512,
    GDB_X86_SYSTEM,
    GDB_X86_LINUX,
    GDB_X86_MSR,
    GDB_X86_FEATURE_COUNT,
};

struct gdb_x86_reg {
    const char *name;
    const char *type;  /* in the target description */
    const char *group; /* NULL: gdb derives it from the type */
    uint16_t offset;   /* in struct mh_x86_regs */
    uint8_t stored;    /* bytes there; 0: no such register exists, it reads as all ones and ignores writes */
    uint8_t size;      /* bytes in packets; those beyond `stored` are zero */
    uint8_t feature;   /* enum gdb_x86_feature */
    uint8_t regs;      /* the MH_REGS_* group it belongs to */
};

/* No machine has more registers. */
#define GDB_X86_REG_MAX 256u

/* The registers a machine has, in the debugger's numbering. */
struct gdb_x86_layout {
    unsigned count;
    /* Those that the packets g and G and trace frames carry. Debuggers read these after each step; the MSRs, behind
     * them, they read one by one when they need them, because they cost an exit to the kernel with KVM. */
    unsigned g_count;
    unsigned g_regs; /* the MH_REGS_* groups they belong to */
    size_t g_bytes;
    const struct gdb_x86_reg *reg[GDB_X86_REG_MAX];
};

/* Return the whole table and in *count its length, regardless of what a machine has. */
const struct gdb_x86_reg *gdb_x86_table(size_t *count);

/* Initialize with the registers of a machine whose XCR0 may have the bits `xcr0`. */
void gdb_x86_layout_init(struct gdb_x86_layout *layout, uint64_t xcr0);

/* The layout of the machine asked for last. Zero-initialize it. */
struct gdb_x86_layout_cache {
    struct gdb_x86_layout layout;
    uint64_t xcr0;
};

/* Return the registers machine `vm` of the target has; valid until the cache is asked for another machine's. */
const struct gdb_x86_layout *gdb_x86_layout_of(struct gdb_x86_layout_cache *cache, const struct mh_debug_target *target,
                                               unsigned vm);

/* Return the number of register `name`, -1 if the machine has none of that name. */
int gdb_x86_find(const struct gdb_x86_layout *layout, const char *name);

/*
 * Return how many registers, counted from the first, every debugger for x86-64 knows without a description: the
 * general, x87 and SSE registers.
 */
unsigned gdb_x86_undescribed(const struct gdb_x86_layout *layout);

/* Copy the register's reg->size bytes to `to`. */
void gdb_x86_get(const struct gdb_x86_reg *reg, const struct mh_x86_regs *regs, uint8_t *to);

/* Copy the first `count` registers to `to`, one behind the other. Returns how many bytes that are. */
size_t gdb_x86_get_first(const struct gdb_x86_layout *layout, unsigned count, const struct mh_x86_regs *regs,
                         uint8_t *to);

/*
 * Set the register from reg->size bytes at `from`. Returns false, with *regs unchanged, if bits are set that the
 * register does not have.
 */
bool gdb_x86_set(const struct gdb_x86_reg *reg, struct mh_x86_regs *regs, const uint8_t *from);

/* True if the register has the same value in both. */
bool gdb_x86_equal(const struct gdb_x86_reg *reg, const struct mh_x86_regs *a, const struct mh_x86_regs *b);

/*
 * Append the target description of a machine with these registers, an XML document. It names no operating system, but
 * it has orig_rax: with that, the user can tell gdb that the system is Linux ("set osabi GNU/Linux"), and gdb's gcore,
 * which writes core files only for systems it knows, works.
 */
void gdb_x86_describe(const struct gdb_x86_layout *layout, struct gdb_reply *to);

#endif
