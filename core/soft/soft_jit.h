/*
 * Hot blocks as code of the host. soft_jit.c decides what is translated and enters it; host_x86_64_unit.c and its
 * neighbours write it. Nothing is kept of a guest's state that the interpreter does not find in struct soft_cpu when
 * the code is left, which happens at any operation that is not simple at that moment: the interpreter executes it.
 */
#ifndef MH_CORE_SOFT_SOFT_JIT_H
#define MH_CORE_SOFT_SOFT_JIT_H

#include "host_x86_64_code.h"
#include "soft_block.h"

/* How flags can be computed again; see host_x86_64_flags.c. */
enum jit_flags_kind {
    JIT_FLAGS_STORED, /* they are in cpu->code_flags */
    JIT_FLAGS_DEAD,   /* nothing reads them */
    JIT_FLAGS_CMP,
    JIT_FLAGS_TEST,
    JIT_FLAGS_ADD,
    JIT_FLAGS_SUB,
    JIT_FLAGS_INC,
    JIT_FLAGS_DEC,
    JIT_FLAGS_NEG,
};

struct jit_flags {
    uint8_t kind, size;
    uint8_t left, right; /* guest registers, JIT_GUEST_T1, JIT_GUEST_IMMEDIATE */
    int32_t immediate;
};

/* A translation of a block, for one state in which it is entered. It stands in the arena before its code. */
struct jit_unit {
    struct soft_block *block;
    uint64_t page_address;
    struct jit_flags flags;
    bool has_sse; /* the host's xmm registers are the guest's */
    uint8_t user;
    uint32_t next;  /* another unit of the block, from the start of the arena; 0: none */
    uint32_t entry; /* where its code begins */
};

/* A branch to another block of the page. It stands in the arena behind its unit. */
struct jit_link {
    struct jit_flags flags;
    uint32_t distance; /* of the branch itself, which keeps the flags as they are */
    uint32_t fallback; /* an instruction to be replaced by a jump, behind which the flags are stored */
    uint16_t target;   /* offset in the page */
    bool has_sse;
};

/* Why generated code was left. */
enum jit_exit {
    JIT_EXIT_OP,     /* for the interpreter, before an operation of the block */
    JIT_EXIT_TARGET, /* a branch out of the page, whose target is not at hand */
    JIT_EXIT_LINK,   /* a branch whose block has not been looked for yet */
    JIT_EXIT_RIP,    /* a RET to JIT_NO_RETURN; cpu->rip is set */
};

#define JIT_JUMPS 256u

/* Where code is for a linear address: the low bits of the address say which entry. */
struct soft_code_jump {
    uint64_t target;
    const uint8_t *code;
};

struct jit_arena {
    struct host_code_arena memory;
    uint32_t used;
    uint32_t leave, leave_sse, load_sse, store_sse, fill, fill_sse; /* where these common pieces of code are */
};

struct soft_jit {
    struct jit_arena arena;
    uint64_t generation; /* of the cache, when `jumps` was valid */
    unsigned user;
    uint64_t executed; /* instructions */
    uint64_t units, flushes;
    struct soft_code_jump jumps[JIT_JUMPS];
};

/* What soft_jit_run() came to. */
enum soft_jit_end {
    SOFT_JIT_REFUSED, /* nothing is done: the block has no translation */
    SOFT_JIT_AT_OP,   /* go on with *op of *block */
    SOFT_JIT_AT_RIP,  /* go on at cpu->rip */
    SOFT_JIT_ONE,     /* the same, with this instruction by itself */
};

/*
 * Execute generated code from `block` on, whose page begins at the linear address `page_address`, but no instruction
 * behind the count `until`, of which `block` must not be able to come.
 */
enum soft_jit_end soft_jit_run(struct soft_cpu *cpu, struct soft_block **block, struct soft_op **op,
                               uint64_t page_address, uint64_t until);

/* Everything decoded has been dropped. */
void soft_jit_drop_all(struct soft_cpu *cpu);
void soft_jit_destroy(struct soft_cpu *cpu);

/* code_stats() of cpu/cpu.h. */
bool soft_jit_stats(const struct cpu *cpu, struct cpu_code_stats *stats);

/* ---- host_x86_64_unit.c ---- */

/* How cpu's generated code is entered and left. */
void jit_write_common(struct soft_cpu *cpu, struct jit_arena *arena);
/* Returns what the code was left with: the unit's place in the arena, and above it enum jit_exit and its argument. */
uint64_t jit_enter(struct soft_cpu *cpu, const struct jit_arena *arena, uint32_t entry, uint64_t instructions);

#define JIT_ACCESS_WRITE 0x100u
#define JIT_ACCESS_INDEXED 0x200u /* the site has addresses of this process */
#define JIT_ACCESS_SITE_SHIFT 16  /* the number of a site and 1, for which the access is made; 0: none */
/*
 * Called by generated code: soft_mem_addend(), with `access` as bytes, and JIT_ACCESS_WRITE. The site is set to where
 * the access goes. With a limit of 0, that is good for this access only.
 */
uint64_t soft_jit_fill(struct soft_cpu *cpu, uint64_t address, unsigned access);

/* The return address below all calls of generated code. It is a guest's, so that even a RET to it is right. */
#define JIT_NO_RETURN 1

/* Behind the operations that are counted together with `op`: up to the next branch, or what is not translated. */
const struct soft_op *jit_segment_end(const struct soft_op *op);

#define JIT_EXIT_SHIFT 30
#define JIT_EXIT_DIRECT 0x100u /* of JIT_EXIT_OP: blocks need nothing but code_flags to go on here */

/* Translate `block` for being entered as `state` says. NULL: it has no translation that is worth it. There must be
 * room: jit_has_room(). */
struct jit_unit *jit_translate(struct soft_cpu *cpu, struct jit_arena *arena, struct soft_block *block,
                               const struct jit_unit *state);
bool jit_has_room(const struct jit_arena *arena);
/* Let a branch lead to a unit that is entered as it leaves, or, with its flags stored first, to another. */
void jit_connect(struct jit_arena *arena, const struct jit_link *link, const struct jit_unit *unit, bool stored);

#endif
