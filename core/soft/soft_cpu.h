/*
 * The software processor: an x86-64 in long mode, executed by this process (see docs/processor.md).
 *
 * Instructions are decoded once per physical page into blocks of struct soft_insn (soft_decode.c, soft_block.c), and
 * executed by soft_exec.c. Every instruction has a handler; the frequent ones are executed without calling it.
 * A handler either changes the guest's state completely or, when it returns SOFT_FAULT or SOFT_EXIT, not at all.
 * Memory is reached through soft_mem.h only, which translates, checks, and notes what is written and watched.
 * soft_run.c is the loop around all of it: steps, counts, points, the trap flag, delivery of exceptions.
 */
#ifndef MH_CORE_SOFT_SOFT_CPU_H
#define MH_CORE_SOFT_SOFT_CPU_H

#include "cpu/cpu.h"
#include "soft/soft.h"
#include "x86/cpuid.h"

#include <stdatomic.h>

struct soft_cpu;
struct soft_insn;
struct host_code;      /* host_x86_64_code.h */
struct soft_jit;       /* soft_jit.h */
struct soft_code_jump; /* soft_jit.h */

/* What an instruction came to. */
enum soft_result {
    SOFT_NEXT,   /* done; the next instruction is the one behind it */
    SOFT_JUMP,   /* done; rip is set, or something changed that decoded code depends on */
    SOFT_REPEAT, /* one repetition of a string instruction is done, rip stays */
    SOFT_FAULT,  /* nothing was changed; cpu->fault says what to deliver */
    /* nothing was changed; cpu->exit says why the guest has to be left. HLT sets exit->instruction_length to its own:
     * soft_run.c retires it */
    SOFT_EXIT,
};

/* Executes one instruction. cpu->rip is the instruction's own address while it runs. */
typedef enum soft_result soft_handler(struct soft_cpu *cpu, const struct soft_insn *insn);

#define SOFT_NO_REGISTER 0xffu

/* Prefixes. */
#define SOFT_PREFIX_LOCK 1u
#define SOFT_PREFIX_REP 2u    /* F3 */
#define SOFT_PREFIX_REPNE 4u  /* F2 */
#define SOFT_PREFIX_OPSIZE 8u /* 66 */
#define SOFT_PREFIX_REX 16u   /* any REX: spl, bpl, sil, dil in place of ah to bh */
#define SOFT_PREFIX_VEX 32u

/* Opcode maps. */
enum soft_map {
    SOFT_MAP_ONE_BYTE,
    SOFT_MAP_0F,
    SOFT_MAP_0F38,
    SOFT_MAP_0F3A,
};

/* A decoded instruction. */
struct soft_insn {
    soft_handler *run;
    uint16_t code;        /* how soft_exec.c dispatches it */
    uint8_t length;       /* bytes, 1 to 15 */
    uint8_t map;          /* enum soft_map */
    uint8_t opcode;       /* its last byte */
    uint8_t modrm;        /* as it is encoded */
    uint8_t prefixes;     /* SOFT_PREFIX_* */
    uint8_t operand_size; /* bytes: 1, 2, 4 or 8; for SSE and AVX the size of a general register */
    uint8_t address_size; /* bytes: 4 or 8 */
    uint8_t reg, rm;      /* with the bits of REX or VEX; rm is meaningless with a memory operand */
    bool has_memory;      /* ModRM names memory: base, index, scale, disp below */
    bool rip_relative;
    uint8_t base, index; /* general registers or SOFT_NO_REGISTER */
    uint8_t scale;       /* shift: 0 to 3 */
    uint8_t segment;     /* enum mh_seg: the one that applies, after override and default (MH_DS, MH_SS, MH_FS, ...) */
    bool rex_w;          /* REX.W or VEX.W */
    uint8_t vvvv;        /* VEX: the second source register */
    bool vex_256;        /* VEX.L */
    int32_t displacement;
    uint64_t immediate; /* sign-extended where the instruction extends it; of ENTER both, the second in bits 16 up */
    const void *data;   /* the handler's own, e.g. the code that executes it on the host */
};

/* An exception to deliver. */
struct soft_fault {
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
    uint64_t address; /* of a page fault: CR2 */
    bool is_software; /* INT n, INT3: DPL is checked, and another fault during delivery is no double fault */
    bool is_trap;     /* RF is pushed as it is (single step, data breakpoint, INT1) */
    uint8_t length;   /* of INT n, INT3, INT1: rip to push is behind them, and their delivery retires them */
    uint64_t dr6;     /* of a debug exception: bits to set */
};

/* ---- translation lookaside buffer (soft_mem.h) ---- */

#define SOFT_TLB_SIZE 256u

struct soft_tlb_entry {
    uint64_t tag;    /* page address; bits of SOFT_TLB_* set when the fast path must not be taken; ~0: empty */
    uint64_t addend; /* what makes a guest's address in the page one of this process */
};

static inline uint8_t *soft_tlb_at(const struct soft_tlb_entry *entry, uint64_t address)
{
    return (uint8_t *)(uintptr_t)(entry->addend + address);
}

/* Behind the TLB, which has a page of 2 MB or 1 GB as many small ones: where 2 MB of such a page are. */
#define SOFT_TLB_LARGE_SIZE 8u
#define SOFT_TLB_LARGE_SHIFT 21u

struct soft_tlb_large_entry {
    uint64_t tag;      /* address >> SOFT_TLB_LARGE_SHIFT; ~0: empty */
    uint64_t physical; /* guest-physical address of its first byte */
};

struct soft_block_cache; /* soft_block.h */
struct soft_counts;      /* soft_count.h */
struct soft_profile;     /* soft_profile.h, as the next two */
struct soft_call_node;
struct soft_call_frame;
struct soft_point_index; /* soft_points.c */

/*
 * Where the accesses of a place in generated code went, which is a run of pages that have the same addend in the TLB.
 * An address is among them when address + start < limit.
 */
#define SOFT_CODE_SITES 128u
struct soft_code_site {
    uint64_t limit;  /* as large an offset as the last byte of the access allows, and 1; 0: the TLB has changed */
    uint64_t start;  /* 0 - the address of the first page */
    uint64_t addend; /* SOFT_CODE_SITE_INDEXED: where the first page is in this process */
};

#define SOFT_SLOT_ZERO MH_GPR_COUNT        /* always 0: no base, no index */
#define SOFT_SLOT_PAGE (MH_GPR_COUNT + 1u) /* linear address of the page that soft_exec_many() is in */
#define SOFT_SLOTS (MH_GPR_COUNT + 2u)

struct soft_cpu {
    struct cpu cpu; /* first: what the layers above hold */
    struct guest_ram *ram;
    const struct x86_cpuid *cpuid;

    /* registers */
    union {
        uint64_t gpr[MH_GPR_COUNT];
        uint64_t slots[SOFT_SLOTS]; /* the same, and what soft_exec.c adds up to addresses as if it were registers */
    };
    uint64_t rip;
    /* RFLAGS without the six arithmetic flags, which are computed from the last result when they are asked for: see
     * soft_flags.h */
    uint64_t rflags;
    uint64_t flag_result, flag_left, flag_right;
    uint8_t flag_operation;

    struct mh_x86_segment seg[MH_SEG_COUNT];
    struct mh_x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    uint64_t dr[4], dr6, dr7;
    struct mh_x86_msrs msrs; /* msrs.tsc is the counter's value at instruction 0: RDTSC adds `instructions` */
    uint8_t shadow;          /* MH_SHADOW_*: set by an instruction, cleared by soft_run.c after the next */
    alignas(64) uint8_t xsave[MH_XSAVE_SIZE]; /* x87, SSE and AVX registers, always current; header: XSTATE_BV */

    uint64_t instructions;      /* retired */
    uint64_t not_executed;      /* of these, minus those that were executed more than once: soft_set_instructions() */
    struct soft_counts *counts; /* of each instruction (soft_count.h); NULL: they are not counted */

    /* the tree of calls: NULL, or the function that is executed, and the stack of calls that leads there */
    struct soft_profile *profile;
    struct soft_call_node *call_node;
    struct soft_call_frame *call_frame, *call_frame_end;

    /* generated code (soft_jit.h): where it may be, and what belongs to this machine; NULL: everything is interpreted
     */
    struct host_code *code;
    struct soft_jit *jit;
    const struct soft_code_jump *code_jumps;
    uint64_t code_flags;                 /* while it runs: the arithmetic flags; other bits mean nothing */
    uint64_t code_left;                  /* when it has run: instructions that it could have executed still */
    uint64_t code_stack, code_stack_end; /* the host's stack where it begins, and where it is to call no deeper */
    uint32_t code_has_sse;
    uint64_t code_rounds;     /* of a loop, while a function is called from it */
    uint32_t code_site_count; /* how many are used */
    uint32_t tlb_changes;     /* how often the TLB lost entries, or they became slow */
    bool code_is_stale;       /* addresses of pages where points are may be in `code_jumps` */

    /* soft_simd_state.c: the guest's MXCSR is in the host's register until soft_simd_leave(); what CPUID offers */
    bool mxcsr_is_loaded;
    uint32_t host_mxcsr;
    uint32_t simd_features;

    /* the current run */
    struct soft_fault fault;
    struct cpu_exit *exit;
    const struct cpu_request *request;
    /* Nonzero when soft_exec_many() must come back after the instruction it is in: a kick, the trap flag, a shadow,
     * guest debug registers, a watchpoint that was hit, ... SOFT_ATTENTION_*. Other threads set the kick only. */
    atomic_uint attention;

    /* a port access that left the guest (soft_io.c) */
    bool io_pending;
    struct soft_insn io_insn_copy;
    uint8_t io_data[8];

    /* what the next run begins with, or the instruction before rip leaves behind (soft_run.c) */
    struct mh_x86_pending pending;
    /* REP CMPS and REP SCAS: the flags before the first repetition; where and at which count the next one follows */
    uint32_t repeat_flags;
    uint64_t repeat_rip, repeat_at;
    bool repeating; /* rip is at a string instruction that has been begun: no breakpoint fires again */
    /* SYSCALL and SYSRET set this when RFLAGS.TF was or is set: theirs decides whether they are followed by a trap; of
     * all other instructions it is the TF of before. */
    bool traps_by_new_tf;
    bool cr3_written; /* soft_note_cr3() */
    uint64_t old_cr3;
    uint64_t wake_at; /* at this count of instructions the descriptors that end a run are looked at again */

    /* points (soft_points.c), and the guest's own (soft_debug.c) */
    const struct cpu_point *points;
    struct soft_point_index *point_index; /* NULL: none armed */
    bool watch_hit;
    unsigned watch_point;
    uint64_t debug_hits;             /* DR6.B0 to B3 of data and port breakpoints that were touched */
    uint64_t debug_dr[4], debug_dr7; /* what the TLB's entries and soft_page_has_points() were made for */
    bool debug_execute, debug_data;  /* DR7 enables a breakpoint of this kind */

    /* memory (soft_mem.c, soft_walk.c) */
    enum soft_result mem_result;
    uint64_t physical_mask; /* address bits of a page table's entry that exist */
    uint8_t access_mode;    /* what RFLAGS.AC meant when the TLB was filled */
    bool tlb_has_large;     /* since the last flush, entries were made from pages of 2 MB or 1 GB */
    uint64_t table_pages[(RAM_PAGES_MAX + 63) / 64]; /* used as page tables since the last flush */

    bool tracks_writes;
    unsigned user;        /* 1 in ring 3: which half of the TLBs applies; see soft_mem_set_user() */
    bool tlb_is_ready[2]; /* the halves that have been used; the memory of the others has not been touched */
    struct soft_tlb_large_entry tlb_large[2][3][SOFT_TLB_LARGE_SIZE]; /* by `user` and enum soft_access_kind */
    struct soft_block_cache *blocks;
    /* in whole pages, so that ring 3 costs nothing before the guest gets there */
    alignas(PAGE_4K) struct soft_tlb_entry tlb_read[2][SOFT_TLB_SIZE];
    alignas(PAGE_4K) struct soft_tlb_entry tlb_write[2][SOFT_TLB_SIZE];
    alignas(PAGE_4K) struct soft_tlb_entry tlb_fetch[2][SOFT_TLB_SIZE];
    struct soft_code_site code_sites[SOFT_CODE_SITES];
};

/* cpu->attention */
#define SOFT_ATTENTION_KICK 1u   /* cpu_kick() */
#define SOFT_ATTENTION_TRAP 2u   /* RFLAGS.TF or RF is set, or cpu->traps_by_new_tf */
#define SOFT_ATTENTION_SHADOW 4u /* cpu->shadow is not 0 */
#define SOFT_ATTENTION_WATCH 8u  /* cpu->watch_hit, or a breakpoint of the guest's debug registers was touched */
#define SOFT_ATTENTION_CR3 16u   /* cpu->cr3_written */

static inline unsigned soft_cpl(const struct soft_cpu *cpu)
{
    return cpu->seg[MH_CS].selector & 3u;
}

/* ---- soft_decode.c ---- */

/*
 * Decode the instruction that begins at `bytes`, of which `available` (1 to 15) may be read.
 * Returns its length with *insn filled in; 0 when it needs more bytes than are available. What is no instruction
 * decodes to one that raises #UD, what is longer than 15 bytes to one that raises #GP(0).
 */
unsigned soft_decode(const uint8_t *bytes, unsigned available, struct soft_insn *insn);

/* A row of an opcode table: how an opcode is decoded, and what executes it. */
struct soft_opcode {
    soft_handler *run; /* NULL: not an instruction of this table */
    uint16_t flags;    /* SOFT_OP_* */
    uint16_t code;     /* for soft_exec.c; 0: call `run` */
    const void *data;  /* goes to soft_insn.data */
};

#define SOFT_OP_MODRM 1u /* a ModRM byte follows */
#define SOFT_OP_IMM8 2u  /* an 8-bit immediate, zero-extended */
#define SOFT_OP_IMM8_SIGNED 4u
#define SOFT_OP_IMM16 8u
#define SOFT_OP_IMM_Z 16u        /* 16 bits with operand size 2, else 32 bits, sign-extended */
#define SOFT_OP_IMM_FULL 32u     /* as long as the operand */
#define SOFT_OP_BYTE 64u         /* operands are bytes */
#define SOFT_OP_DEFAULT_64 128u  /* operand size is 8 unless 66 makes it 2 (push, pop, near branches) */
#define SOFT_OP_LOCK 256u        /* LOCK is legal when the destination is memory */
#define SOFT_OP_MEMORY_ONLY 512u /* a register operand raises #UD */
#define SOFT_OP_REGISTER_ONLY 1024u

/*
 * x87, MMX, SSE, AVX (soft_simd_table.c): the row for an opcode that the integer tables do not have, NULL when it is
 * none. `prefixes` are SOFT_PREFIX_*; `modrm` is the byte behind the opcode (0 when there is none to read).
 */
const struct soft_opcode *soft_simd_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm,
                                           bool rex_w, bool vex_256);

/* ---- soft_exec.c ---- */

/*
 * Execute one instruction at cpu->rip, without looking at cpu->attention. Retires it: rip moves on and
 * cpu->instructions grows unless the result is SOFT_FAULT or SOFT_EXIT (cpu->exit->kind is set then).
 */
enum soft_result soft_exec_one(struct soft_cpu *cpu);

/*
 * Execute until cpu->instructions is `until`, cpu->attention is not 0, an execute point of the debugger's is at the
 * next instruction, or, while the guest has execute breakpoints of its own, one of any kind is in its page, or an
 * instruction results in SOFT_FAULT or SOFT_EXIT. For the first instruction, the caller has looked for points. Returns
 * that result, SOFT_REPEAT when it stopped between two repetitions of a string instruction, SOFT_NEXT otherwise. At
 * least one instruction is executed unless one of these holds at the start.
 */
enum soft_result soft_exec_many(struct soft_cpu *cpu, uint64_t until);

/* ---- soft_block.c ---- */

/* `blocks` is zeroed. */
void soft_blocks_init(struct soft_cpu *cpu, struct soft_block_cache *blocks);
/* Guest-physical page number `page` (in the order of ram.host) is written: drop what was decoded from it. */
void soft_blocks_drop_page(struct soft_cpu *cpu, size_t page);
/* The same for [offset, offset + length) of it only: bytes beside decoded instructions do not drop them. This is
 * what the slow path of a guest's write calls; soft_blocks_has_page() tells afterwards whether any are left. */
void soft_blocks_write(struct soft_cpu *cpu, size_t page, unsigned offset, unsigned length);
/* How many bytes from `offset` of a page on have nothing decoded from them: 0, or up to the end of the page. */
unsigned soft_blocks_free_bytes(const struct soft_cpu *cpu, size_t page, unsigned offset);
void soft_blocks_drop_all(struct soft_cpu *cpu);
/* The block that runs, if any, ends behind the current instruction: the next one may lie in another page now. */
void soft_blocks_leave(struct soft_cpu *cpu);
bool soft_blocks_has_page(const struct soft_cpu *cpu, size_t page);

/* ---- soft_run.c ---- */

/* Something `attention` and `user` depend on has changed: RFLAGS.TF, RF or AC, shadow, DR0 to DR7, CS, CR0.AM, CR4. */
void soft_update_attention(struct soft_cpu *cpu);

/* MOV to CR3 was executed: leave the guest behind it if that was asked for. */
void soft_note_cr3(struct soft_cpu *cpu, uint64_t old_cr3);

/* ---- soft_simd_state.c, soft_xsave.c ---- */

/*
 * SSE and AVX instructions leave the guest's MXCSR in the host's register. At the end of each run, and before anything
 * outside of instruction handlers looks at cpu->xsave, give the host its own back and bring cpu->xsave up to date.
 */
void soft_simd_leave(struct soft_cpu *cpu);

/* cpu->xsave came from elsewhere: put initial values where its header's XSTATE_BV has no bit, and set all of the bits.
 */
void soft_xsave_loaded(struct soft_cpu *cpu);

/* XINUSE (Intel SDM volume 1, 13.6), as XGETBV with ECX=1 returns it: the components that are not in their initial
 * state. */
uint64_t soft_xinuse(const struct soft_cpu *cpu);

/* ---- soft_fault.c: raising and delivering exceptions ---- */

/* Set cpu->fault; each returns SOFT_FAULT. */
enum soft_result soft_raise(struct soft_cpu *cpu, uint8_t vector);
enum soft_result soft_raise_error(struct soft_cpu *cpu, uint8_t vector, uint32_t error_code);

/* What the texts about branches to 32-bit code begin with: the machine has no other mode. */
#define SOFT_LEAVES_64_BIT_MODE "the guest leaves 64-bit mode, which the machine does not support, with "

/* With CPU_REFUSE_CLOCK. */
#define SOFT_READS_CLOCK "the guest reads the time stamp counter"

/* The instruction at rip asks for what this processor does not have: fill in cpu->exit, of kind CPU_EXIT_ERROR, with
 * `text`; returns SOFT_EXIT. */
enum soft_result soft_unsupported(struct soft_cpu *cpu, const struct soft_insn *insn, const char *text);

enum soft_delivery {
    SOFT_DELIVERED,    /* rip is at the handler */
    SOFT_TRIPLE_FAULT, /* registers are as before */
    SOFT_NO_MEMORY,    /* the IDT, GDT, TSS or stack lies where there is no memory: cpu->exit is filled in */
};

/*
 * Deliver cpu->fault through the guest's IDT, with whatever exceptions that raises, up to a triple fault.
 * cpu->fault.vector is the vector that was delivered in the end. INT n, INT3 and INT1 are retired when it is theirs.
 */
enum soft_delivery soft_deliver(struct soft_cpu *cpu);

/* ---- soft_msr.c ---- */

/* False: #GP(0). */
bool soft_read_msr(struct soft_cpu *cpu, uint32_t index, uint64_t *value);
bool soft_write_msr(struct soft_cpu *cpu, uint32_t index, uint64_t value);

#endif
