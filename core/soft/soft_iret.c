/* IRET, IRETD and IRETQ in 64-bit mode (Intel SDM volume 2, IRET): SS and RSP are always popped. */
#include "soft_descriptor.h"
#include "soft_flags.h"
#include "soft_handlers.h"

#define FRAME_WORDS 5u

/* Which flags are loaded depends on the operand size, the ring before the return, and IOPL. */
static uint64_t loaded_flags(const struct soft_cpu *cpu, unsigned size)
{
    uint64_t mask = SOFT_ARITHMETIC | MH_RFLAGS_TF | MH_RFLAGS_DF | SOFT_RFLAGS_NT;
    if (size != 2)
        mask |= MH_RFLAGS_RF | SOFT_RFLAGS_AC | SOFT_RFLAGS_ID;
    if (soft_cpl(cpu) <= (cpu->rflags & SOFT_RFLAGS_IOPL) >> 12)
        mask |= MH_RFLAGS_IF;
    if (soft_cpl(cpu) != 0)
        return mask;
    mask |= SOFT_RFLAGS_IOPL;
    return size == 2 ? mask : mask | SOFT_RFLAGS_VIF | SOFT_RFLAGS_VIP;
}

/*
 * In the order in which processors read and check it, as page faults show: RFLAGS, CS, RIP, and only when the code
 * segment is right RSP and SS.
 */
static enum soft_result read_frame(struct soft_cpu *cpu, uint64_t *frame, unsigned size, struct soft_return *target)
{
    const uint64_t rsp = cpu->gpr[MH_RSP];
    enum soft_result result = SOFT_NEXT;
    for (unsigned i = 3; i-- > 0 && result == SOFT_NEXT;)
        result = soft_read_frame(cpu, rsp + (uint64_t)i * size, frame + i, 1, size);
    if (result != SOFT_NEXT)
        return result;
    *target = (struct soft_return){.rip = frame[0], .cs = (uint16_t)frame[1]};
    result = soft_check_return_code(cpu, target);
    if (result == SOFT_NEXT)
        result = soft_read_frame(cpu, rsp + 3ull * size, frame + 3, 2, size);
    if (result != SOFT_NEXT)
        return result;
    target->rsp = frame[3];
    target->ss = (uint16_t)frame[4];
    return soft_check_return_stack(cpu, target);
}

enum soft_result soft_op_iret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t frame[FRAME_WORDS]; /* RIP, CS, RFLAGS, RSP, SS */
    if (cpu->rflags & SOFT_RFLAGS_NT)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    struct soft_return target;
    enum soft_result result = read_frame(cpu, frame, insn->operand_size, &target);
    if (result == SOFT_NEXT)
        result = soft_prepare_return(cpu, insn, &target, true);
    if (result != SOFT_NEXT)
        return result;
    const uint64_t loaded = loaded_flags(cpu, insn->operand_size);
    const uint64_t flags = (soft_rflags(cpu) & ~loaded) | (frame[2] & loaded);
    soft_commit_return(cpu, &target, true);
    soft_set_rflags(cpu, flags);
    return SOFT_JUMP;
}
