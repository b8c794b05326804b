/* The stack: PUSH, POP, PUSHF, POPF, ENTER and LEAVE. Addresses on it have 64 bits whatever prefix 67 says. */
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"
#include "x86/exceptions.h"

static enum soft_result push(struct soft_cpu *cpu, unsigned size, uint64_t value)
{
    const uint64_t top = cpu->gpr[MH_RSP] - size;
    if (!soft_store(cpu, MH_SS, top, size, value))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] = top;
    return SOFT_NEXT;
}

enum soft_result soft_op_push_reg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return push(cpu, insn->operand_size, cpu->gpr[insn->rm]);
}

enum soft_result soft_op_push_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return push(cpu, insn->operand_size, insn->immediate);
}

enum soft_result soft_op_push_rm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    return push(cpu, insn->operand_size, value);
}

/* The stack pointer moves before the destination is written: POP RSP keeps the value popped. */
enum soft_result soft_op_pop_reg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_load(cpu, MH_SS, cpu->gpr[MH_RSP], insn->operand_size, &value))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] += insn->operand_size;
    soft_put(cpu, insn->rm, insn->operand_size, value);
    return SOFT_NEXT;
}

/* The address of a memory operand is computed with the stack pointer moved. */
enum soft_result soft_op_pop_rm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t top = cpu->gpr[MH_RSP];
    uint64_t value;
    if (!soft_load(cpu, MH_SS, top, insn->operand_size, &value))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] = top + insn->operand_size;
    if (soft_write_rm(cpu, insn, insn->operand_size, value))
        return SOFT_NEXT;
    cpu->gpr[MH_RSP] = top;
    return soft_mem_result(cpu);
}

#define RFLAGS_IOPL 0x3000u
#define RFLAGS_NT 0x4000u
#define RFLAGS_AC 0x40000u
#define RFLAGS_ID 0x200000u

/* RF is never stored by PUSHF. */
enum soft_result soft_op_pushf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return push(cpu, insn->operand_size, soft_rflags(cpu) & ~(uint64_t)MH_RFLAGS_RF);
}

/* Which flags POPF may change (Intel SDM volume 2, table 4-17 of POPF). */
static uint64_t popf_mask(const struct soft_cpu *cpu, unsigned size)
{
    uint64_t mask = SOFT_ARITHMETIC | MH_RFLAGS_TF | MH_RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
    const unsigned cpl = soft_cpl(cpu), iopl = (unsigned)(cpu->rflags >> 12) & 3;
    if (cpl == 0)
        mask |= RFLAGS_IOPL;
    if (cpl <= iopl)
        mask |= MH_RFLAGS_IF;
    return soft_truncate(mask, size);
}

/* RF is cleared. */
enum soft_result soft_op_popf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t mask = popf_mask(cpu, insn->operand_size);
    uint64_t value;
    if (!soft_load(cpu, MH_SS, cpu->gpr[MH_RSP], insn->operand_size, &value))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] += insn->operand_size;
    soft_set_rflags(cpu, (soft_rflags(cpu) & ~(mask | MH_RFLAGS_RF)) | (value & mask));
    return SOFT_NEXT;
}

#define ENTER_LEVELS 32u

/* What ENTER pushes, lowest address first: the frame pointers of the enclosing levels below the caller's. */
struct enter_frame {
    unsigned size, level;
    uint64_t top; /* rsp before */
    uint8_t bytes[(ENTER_LEVELS + 1) * sizeof(uint64_t)];
};

static unsigned enter_pushes(const struct enter_frame *frame)
{
    return frame->level == 0 ? 1 : frame->level + 1;
}

static uint8_t *enter_slot(struct enter_frame *frame, unsigned pushed)
{
    return frame->bytes + (size_t)(enter_pushes(frame) - pushed) * frame->size;
}

/* A frame pointer is read after the pushes before it, and may lie among what they wrote. */
static bool enter_read(struct soft_cpu *cpu, struct enter_frame *frame, unsigned pushed, uint64_t address)
{
    uint8_t *to = enter_slot(frame, pushed + 1);
    const uint8_t *last = enter_slot(frame, pushed);
    const uint64_t bottom = frame->top - (uint64_t)pushed * frame->size;
    if (!soft_read(cpu, MH_SS, address, to, frame->size))
        return false;
    for (unsigned i = 0; i < frame->size; i++) {
        const uint64_t above = address + i - bottom;
        if (above < (uint64_t)pushed * frame->size)
            to[i] = last[above];
    }
    return true;
}

static uint64_t enter_address(const struct enter_frame *frame, unsigned pushed)
{
    return frame->top - (uint64_t)pushed * frame->size;
}

/* Could the push of this number be done? */
static bool enter_probe(struct soft_cpu *cpu, const struct enter_frame *frame, unsigned pushed)
{
    return soft_probe(cpu, MH_SS, enter_address(frame, pushed), frame->size, true);
}

/* Reads and pushes in the order in which they are done, except that nothing is written yet. */
static bool enter_prepare(struct soft_cpu *cpu, struct enter_frame *frame, uint64_t allocated)
{
    const uint64_t rbp = cpu->gpr[MH_RBP], new_rbp = enter_address(frame, 1);
    memcpy(enter_slot(frame, 1), &rbp, frame->size);
    if (!enter_probe(cpu, frame, 1))
        return false;
    for (unsigned i = 1; i < frame->level; i++)
        if (!enter_read(cpu, frame, i, rbp - (uint64_t)i * frame->size) || !enter_probe(cpu, frame, i + 1))
            return false;
    if (frame->level > 0) {
        memcpy(enter_slot(frame, frame->level + 1), &new_rbp, frame->size);
        if (!enter_probe(cpu, frame, frame->level + 1))
            return false;
    }
    /* the last check is whether a write at the new stack pointer would succeed */
    return soft_probe(cpu, MH_SS, enter_address(frame, enter_pushes(frame)) - allocated, frame->size, true);
}

enum soft_result soft_op_enter(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t allocated = insn->immediate & 0xffff;
    struct enter_frame frame = {
        .size = insn->operand_size, .level = insn->immediate >> 16 & (ENTER_LEVELS - 1), .top = cpu->gpr[MH_RSP]};
    const unsigned pushes = enter_pushes(&frame);
    if (!enter_prepare(cpu, &frame, allocated))
        return soft_mem_result(cpu);
    for (unsigned i = 1; i <= pushes; i++)
        if (!soft_write(cpu, MH_SS, enter_address(&frame, i), enter_slot(&frame, i), frame.size))
            return soft_mem_result(cpu);
    soft_put(cpu, MH_RBP, frame.size, enter_address(&frame, 1));
    cpu->gpr[MH_RSP] = enter_address(&frame, pushes) - allocated;
    return SOFT_NEXT;
}

enum soft_result soft_op_leave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t frame = cpu->gpr[MH_RBP];
    uint64_t value;
    if (!soft_load(cpu, MH_SS, frame, insn->operand_size, &value))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] = frame + insn->operand_size;
    soft_put(cpu, MH_RBP, insn->operand_size, value);
    return SOFT_NEXT;
}
