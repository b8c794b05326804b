/*
 * The registers of the guest as the debugger knows them: one table, from which the packets g, G, p and P and the
 * target description are made (GDB manual, "Target Descriptions", "i386 Features").
 */
#ifndef GDBSTUB_X86_DESC_H
#define GDBSTUB_X86_DESC_H

#include "protocol/reply.h"

#include "mh/debug_target.h"
#include "mh/x86_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Features of the description, in the order in which they number registers. */
enum gdb_x86_feature {
    GDB_X86_CORE,
    GDB_X86_SSE,
    GDB_X86_SEGMENTS,
    GDB_X86_AVX,
    GDB_X86_AVX512,
    GDB_X86_SYSTEM,
    GDB_X86_LINUX,
    GDB_X86_FEATURE_COUNT,
};

struct gdb_x86_reg {
    const char *name;
    const char *type;  /* of the target description */
    const char *group; /* NULL: gdb works it out from the type */
    uint16_t offset;   /* in struct mh_x86_regs */
    uint8_t stored;    /* bytes there; 0: the machine has no such register, it reads as all ones and takes anything */
    uint8_t size;      /* bytes in packets: more than `stored` means zeros above */
    uint8_t feature;   /* enum gdb_x86_feature */
    uint8_t regs;      /* the MH_REGS_* it is part of */
};

/* No machine has more. */
#define GDB_X86_REG_MAX 256u

/* The registers one machine has, numbered as the debugger numbers them. */
struct gdb_x86_layout {
    unsigned count;
    size_t bytes;  /* of all of them in a g packet */
    unsigned regs; /* the MH_REGS_* they need */
    const struct gdb_x86_reg *reg[GDB_X86_REG_MAX];
};

/* The whole table and its length, whatever a machine has of it. */
const struct gdb_x86_reg *gdb_x86_table(size_t *count);

/* Fill in the registers of a machine that may have the XCR0 bits `xcr0`. */
void gdb_x86_layout_init(struct gdb_x86_layout *layout, uint64_t xcr0);

/* The layout of the machine asked for last. Zero-initialize it. */
struct gdb_x86_layout_cache {
    struct gdb_x86_layout layout;
    uint64_t xcr0;
};

/* Return the registers machine `vm` of the target has; valid until the cache is asked for another machine's. */
const struct gdb_x86_layout *gdb_x86_layout_of(struct gdb_x86_layout_cache *cache, const struct mh_debug_target *target,
                                               unsigned vm);

/* The number of register `name`, -1 when the machine has none of that name. */
int gdb_x86_find(const struct gdb_x86_layout *layout, const char *name);

/*
 * How many of the registers, counted from the first, any debugger for x86-64 knows without being told: general, x87
 * and SSE ones.
 */
unsigned gdb_x86_undescribed(const struct gdb_x86_layout *layout);

/* Copy the register to `to`, reg->size bytes. */
void gdb_x86_get(const struct gdb_x86_reg *reg, const struct mh_x86_regs *regs, uint8_t *to);

/*
 * Set the register from reg->size bytes at `from`.
 * Returns false, with *regs unchanged, when bits are set that the register does not have.
 */
bool gdb_x86_set(const struct gdb_x86_reg *reg, struct mh_x86_regs *regs, const uint8_t *from);

/* True when the register has the same value in both. */
bool gdb_x86_equal(const struct gdb_x86_reg *reg, const struct mh_x86_regs *a, const struct mh_x86_regs *b);

/*
 * Add the target description of a machine with these registers, an XML document, as text. Its
 * system is none; but with orig_rax in it the debugger can be told that it is Linux ("set osabi GNU/Linux"), and gdb's
 * gcore writes core files for systems it knows only.
 */
void gdb_x86_describe(const struct gdb_x86_layout *layout, struct gdb_reply *to);

#endif
