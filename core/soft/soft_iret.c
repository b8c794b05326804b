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

enum soft_result soft_op_iret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t frame[FRAME_WORDS]; /* RIP, CS, RFLAGS, RSP, SS */
    if (cpu->rflags & SOFT_RFLAGS_NT)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    enum soft_result result = soft_read_frame(cpu, cpu->gpr[MH_RSP], frame, FRAME_WORDS, insn->operand_size);
    if (result != SOFT_NEXT)
        return result;
    struct soft_return target = {.rip = frame[0], .cs = (uint16_t)frame[1], .rsp = frame[3], .ss = (uint16_t)frame[4]};
    result = soft_check_return_code(cpu, &target);
    if (result == SOFT_NEXT)
        result = soft_check_return_stack(cpu, &target);
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
