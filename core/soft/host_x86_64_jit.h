/*
 * The writer of host code: what the files host_x86_64_*.c that make code share. See "Generated code" in
 * docs/processor.md first.
 *
 * While generated code runs, guest registers are in registers of the host or, those that have none, in cpu->slots.
 * T1 and T2 are free between two instructions, except that T1 may hold an operand of the pending flags.
 */
#ifndef MH_CORE_SOFT_HOST_X86_64_JIT_H
#define MH_CORE_SOFT_HOST_X86_64_JIT_H

#include "host_x86_64_emit.h"
#include "soft_jit.h"
#include "soft_translate.h"

#define JIT_T1 HOST_R12
#define JIT_T2 HOST_R13
#define JIT_LEFT HOST_R14 /* instructions that may be executed still, beside those that are begun */
#define JIT_CPU HOST_R15

#define JIT_GUEST_T1 MH_GPR_COUNT              /* T1 in the place of a guest register: struct jit_flags */
#define JIT_GUEST_IMMEDIATE (MH_GPR_COUNT + 1) /* none, the immediate */

#define JIT_UNIT_BYTES (48u << 10) /* more than a unit ever takes */
#define JIT_STUBS 288u             /* and more ways out than it ever has */

/* Code to be written behind the unit: where it goes when it does not go on. */
struct jit_stub {
    uint8_t *distance; /* of the branch that leads here */
    enum jit_exit kind;
    uint8_t op; /* the operation where the guest is */
    bool has_sse, is_direct, host_flags;
    uint16_t refund; /* instructions that were counted and are not executed */
    uint16_t target; /* JIT_EXIT_LINK: offset in the page */
    struct jit_flags flags;
    /* memory whose page is not in the TLB: try to bring it there, and go on */
    uint8_t *resume;         /* NULL: leave */
    struct soft_op address;  /* base, index, scale, displacement */
    uint32_t access;         /* as soft_jit_fill() has it */
    bool in_loop, in_rounds; /* registers are as the loop has them; its instructions are counted already */
};

/* While neither the addend's register nor the base is written, the addend is good for all of [base + low, base + high).
 */
struct jit_window {
    bool is_valid, for_write;
    uint8_t base;   /* guest register */
    uint8_t addend; /* host register */
    int32_t low, high;
};

/* An access of a loop, with a site of its own (soft_cpu.h), whose fields are in registers. */
#define JIT_STREAMS 4u
struct jit_stream {
    uint8_t start, addend; /* host registers */
    bool is_indexed;       /* the address is more than a register and a displacement */
    bool is_steady;        /* in each round it goes `stride` bytes further */
    uint8_t op;            /* the operation it belongs to */
    uint8_t base;          /* its register, unless it is indexed */
    int32_t low;           /* from the register, where a round begins */
    int32_t stride;
};

/* A loop that is translated by itself: see host_x86_64_loop.c. */
struct jit_loop {
    bool is_active, in_rounds; /* code is written for it; for rounds that are counted already */
    uint8_t rounds;            /* host register: how many of those are left, with the one that is executed */
    unsigned last;             /* the operation that leads back */
    unsigned streams, opened;  /* how many there are, and how many of them are used so far in this round */
    uint32_t borrowed;         /* guest registers whose host registers have another use: they are in cpu->slots */
    uint32_t promoted;         /* ... that have one in the loop only */
    struct jit_stream stream[JIT_STREAMS];
    uint32_t first_site; /* the first stream's */
    uint8_t registers[SOFT_SLOTS];
};

#define JIT_NO_STREAM JIT_STREAMS

struct jit_writer {
    struct host_emitter code;
    struct soft_cpu *cpu;
    const struct soft_block *block;
    uint64_t page_address;
    unsigned user;
    struct jit_flags flags; /* where the guest's flags are */
    bool host_flags;        /* the host's flags are the guest's */
    bool has_sse;           /* xmm registers are loaded */
    bool failed;
    struct jit_window windows[1 + JIT_STREAMS]; /* the first one's addend is T2 */
    uint8_t registers[SOFT_SLOTS];              /* of the host, by guest register */
    struct jit_loop loop;
    unsigned op;          /* index of the operation that is being translated */
    unsigned segment_end; /* index of the first operation that is not counted yet */
    struct jit_arena *arena;
    unsigned stub_count;
    struct jit_stub stubs[JIT_STUBS];
};

/* What an operation means for flags. */
enum jit_effect {
    JIT_OBSERVES, /* may read them, or leave the code */
    JIT_KEEPS,
    JIT_REPLACES, /* all of them, and neither reads them nor leaves */
};

/* How an operation is translated: the function, operand size, and what tells it from others of that function. False:
 * it has no translation. */
struct jit_row;
typedef bool jit_translator(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row);
struct jit_row {
    jit_translator *translate; /* NULL: none */
    uint8_t size;
    uint8_t effect; /* enum jit_effect */
    uint32_t detail;
};

const struct jit_row *jit_row(const struct soft_op *op); /* host_x86_64_table.c */

/* ---- places of registers (host_x86_64_memory.c) ---- */

/* The host register of each guest register outside loops; HOST_NO_REGISTER: it has none. */
extern const uint8_t jit_registers[SOFT_SLOTS];
/* The same where code is written now. */
unsigned jit_host_register(const struct jit_writer *writer, unsigned guest);
struct host_operand jit_place(const struct jit_writer *writer, unsigned guest);
struct host_operand jit_field(size_t offset); /* of struct soft_cpu */

/* ---- what operations do with memory (host_x86_64_table.c) ---- */

struct jit_access {
    bool is_memory, is_write;
    bool ends; /* `base` is not what it was behind the operation, or the code does not go on there, or other memory is
                  accessed */
    int32_t displacement, size; /* from `base` */
    int32_t moves;              /* what the operation adds to `base` */
};

void jit_access(const struct soft_op *op, unsigned base, struct jit_access *access);
/* Guest registers that the operation uses, a bit for each, and perhaps others. */
uint32_t jit_uses(const struct soft_op *op);
/* Does the operation leave the register as it is, or add *by to it? */
bool jit_moves(const struct soft_op *op, unsigned guest, int32_t *by);

/* ---- memory (host_x86_64_memory.c) ---- */

/* *at becomes the host's memory that the operation's address names, or the code leaves for the interpreter. Uses T1, T2
 * and the host's flags. T2, and T1 perhaps, belong to *at. False: it has no translation. */
bool jit_look_up(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write,
                 struct host_operand *at);
bool jit_look_up_at(struct jit_writer *writer, unsigned base, int32_t displacement, unsigned size, bool for_write,
                    struct host_operand *at);
/* Let *at use T2 only. */
void jit_free_t1(struct jit_writer *writer, struct host_operand *at);
/* Forget windows whose addend or base was written, or all. */
void jit_window_check(struct jit_writer *writer);
void jit_window_forget(struct jit_writer *writer);
/* This operation has added a constant to a guest register, and has not touched it otherwise. */
void jit_window_move(struct jit_writer *writer, unsigned guest, int32_t by);
/* T1 = memory, zero-extended. */
void jit_load_t1(struct jit_writer *writer, unsigned size, struct host_operand at);
/* The operation's address as an operand of the host's, when all its registers have one. */
bool jit_simple_address(const struct jit_writer *writer, const struct soft_op *op, struct host_operand *at);
/* to = the operation's address, without touching any other register; the host's flags may change. */
bool jit_address(struct jit_writer *writer, const struct soft_op *op, unsigned to, unsigned add);
/* Leave for the interpreter at this operation, of which nothing is done yet, when the condition holds. */
void jit_leave_if(struct jit_writer *writer, unsigned condition);
/* The same if the address is not aligned to 16 bytes. */
void jit_leave_unless_aligned(struct jit_writer *writer, const struct soft_op *op);

/* T2 = soft_jit_fill() for the address; guest registers must be where they are outside loops. */
void jit_call_fill(struct jit_writer *writer, const struct jit_stub *stub);

/* ---- loops (host_x86_64_loop.c) ---- */

/* Is the block's beginning a loop that is worth it? Then writer->loop is what it needs. */
bool jit_loop_plan(struct jit_writer *writer);
/* Write it. False: it cannot be translated. */
bool jit_loop_translate(struct jit_writer *writer);
/* The sum of what the operations from `first` on, before `end`, add to a register. False: something else writes it. */
bool jit_loop_moves(const struct jit_writer *writer, unsigned guest, unsigned first, unsigned end, int32_t *by);
/* A stream for this access, `low` bytes from its register; JIT_NO_STREAM: none is left. */
unsigned jit_loop_stream(struct jit_writer *writer, const struct soft_op *op, int32_t low, bool is_indexed);
/* A field of the stream's site. */
struct host_operand jit_loop_site(const struct jit_writer *writer, unsigned stream, size_t field);
/* The first part of a way out of a loop: lead back into it, or bring guest registers where they are outside loops. */
void jit_loop_write_stub(struct jit_writer *writer, struct jit_stub *stub);

/* ---- flags (host_x86_64_flags.c) ---- */

/* T1 is going to be used. */
void jit_claim_t1(struct jit_writer *writer);
/* Bring the guest's flags into the host's: all, or CF at least. */
void jit_flags_need(struct jit_writer *writer);
void jit_flags_need_carry(struct jit_writer *writer);
/* Write them to cpu->code_flags. */
void jit_flags_store(struct jit_writer *writer);
/* This operation is going to write a guest register; has written it. */
void jit_flags_before_write(struct jit_writer *writer, unsigned guest);
void jit_flags_written(struct jit_writer *writer, unsigned guest);
/* Both. */
void jit_flags_write(struct jit_writer *writer, unsigned guest);
/* This operation has set the host's flags as the guest's, and they can be computed again like this. */
void jit_flags_set(struct jit_writer *writer, enum jit_flags_kind kind, unsigned size, unsigned left, unsigned right,
                   int32_t immediate);
/* ... or not again. */
void jit_flags_set_once(struct jit_writer *writer);
bool jit_flags_live_after(const struct jit_writer *writer, unsigned op);

/* ---- leaving (host_x86_64_unit.c) ---- */

/* False: there are too many. */
bool jit_add_stub(struct jit_writer *writer, enum jit_exit kind, uint8_t *distance, unsigned target);
/* The operations up to the next branch are counted, or the code leaves. */
void jit_begin_segment(struct jit_writer *writer, unsigned first);
/* For soft_count.h, if instructions are counted there: the operations up to the next branch are executed. */
void jit_count_segment(struct jit_writer *writer, const struct soft_op *first, int by);
/* Where soft_count.h has how many stretches begin at the operation. */
struct host_operand jit_count_begun(const struct jit_writer *writer, const struct soft_op *op);
/* Translate the operation writer->op. False: it has no translation, and nothing has been written. */
bool jit_translate_op(struct jit_writer *writer);

/* ---- branches (host_x86_64_jump.c) ---- */

/* The end of a RET, whose target is in T1. */
void jit_return_to_t1(struct jit_writer *writer);

/* ---- the call tree (host_x86_64_profile.c); these do nothing unless it is kept ---- */

/* The operation leaves for the interpreter if its call needs more than is done here. Uses T1 and T2. */
void jit_profile_check_call(struct jit_writer *writer, uint64_t target);
void jit_profile_check_call_register(struct jit_writer *writer, unsigned reg);
/* The return address is pushed. Uses T1 and T2. */
void jit_profile_call(struct jit_writer *writer, uint64_t target);
void jit_profile_call_register(struct jit_writer *writer, unsigned reg);
/* The same for a RET, which has not changed rsp. Uses T2. */
void jit_profile_check_return(struct jit_writer *writer);
void jit_profile_return(struct jit_writer *writer);
/* ---- SSE (host_x86_64_sse.c) ---- */

/* Leave for the interpreter while SSE cannot be used as it is, and load the registers. */
void jit_load_sse(struct jit_writer *writer);

/* ---- translators of operations ---- */

jit_translator jit_alu_register, jit_alu_immediate, jit_alu_load, jit_alu_store, jit_alu_store_immediate;
jit_translator jit_step_register, jit_step_memory, jit_negate, jit_not, jit_rotate, jit_shift_immediate, jit_shift_cl;
jit_translator jit_bits; /* host_x86_64_bits.c */
jit_translator jit_multiply, jit_multiply_load, jit_multiply_immediate, jit_multiply_wide, jit_divide,
    jit_divide_signed;
jit_translator jit_move, jit_move_immediate, jit_move_wide, jit_load, jit_store, jit_store_immediate, jit_extend;
jit_translator jit_extend_load, jit_lea, jit_extend_rax, jit_sign_rdx, jit_cmov, jit_setcc, jit_nop;
jit_translator jit_push, jit_pop, jit_leave;
jit_translator jit_call, jit_call_page, jit_call_register, jit_return, jit_jump, jit_jump_page, jit_jump_register;
jit_translator jit_jump_memory, jit_branch, jit_branch_page, jit_end;
jit_translator jit_sse, jit_sse_move, jit_sse_load, jit_sse_store;

#endif
