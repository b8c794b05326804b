#include "kvm/kvm_regs.h"

#include <stddef.h>
#include <string.h>

void kvm_regs_to_general(const struct kvm_regs *from, struct mh_x86_general *to)
{
    const uint64_t gpr[MH_GPR_COUNT] = {from->rax, from->rcx, from->rdx, from->rbx, from->rsp, from->rbp,
                                        from->rsi, from->rdi, from->r8,  from->r9,  from->r10, from->r11,
                                        from->r12, from->r13, from->r14, from->r15};
    memcpy(to->gpr, gpr, sizeof gpr);
    to->rip = from->rip;
    to->rflags = from->rflags;
}

void kvm_regs_from_general(const struct mh_x86_general *from, struct kvm_regs *to)
{
    const uint64_t *gpr = from->gpr;
    *to = (struct kvm_regs){.rax = gpr[MH_RAX],
                            .rcx = gpr[MH_RCX],
                            .rdx = gpr[MH_RDX],
                            .rbx = gpr[MH_RBX],
                            .rsp = gpr[MH_RSP],
                            .rbp = gpr[MH_RBP],
                            .rsi = gpr[MH_RSI],
                            .rdi = gpr[MH_RDI],
                            .r8 = gpr[MH_R8],
                            .r9 = gpr[MH_R9],
                            .r10 = gpr[MH_R10],
                            .r11 = gpr[MH_R11],
                            .r12 = gpr[MH_R12],
                            .r13 = gpr[MH_R13],
                            .r14 = gpr[MH_R14],
                            .r15 = gpr[MH_R15],
                            .rip = from->rip,
                            .rflags = from->rflags};
}

/* Attributes as in bytes 5 and 6 of a descriptor: type, S, DPL, P, (limit), AVL, L, D/B, G. */
static struct mh_x86_segment kvm_regs_to_segment(const struct kvm_segment *from)
{
    unsigned attributes = from->type | (unsigned)from->s << 4 | (unsigned)from->dpl << 5 |
                          (unsigned)from->present << 7 | (unsigned)from->avl << 12 | (unsigned)from->l << 13 |
                          (unsigned)from->db << 14 | (unsigned)from->g << 15;
    return (struct mh_x86_segment){
        .base = from->base, .limit = from->limit, .selector = from->selector, .attributes = (uint16_t)attributes};
}

static struct kvm_segment kvm_regs_from_segment(const struct mh_x86_segment *from, const struct kvm_segment *now)
{
    unsigned attributes = from->attributes;
    struct kvm_segment to = {.base = from->base, .limit = from->limit, .selector = from->selector};
    to.type = attributes & 0xf;
    to.s = attributes >> 4 & 1;
    to.dpl = attributes >> 5 & 3;
    to.present = attributes >> 7 & 1;
    to.avl = attributes >> 12 & 1;
    to.l = attributes >> 13 & 1;
    to.db = attributes >> 14 & 1;
    to.g = attributes >> 15 & 1;
    to.unusable = to.present ? 0 : now->unusable;
    return to;
}

/* Where KVM keeps the segment registers, in the order of enum mh_seg. */
static const size_t segment_offsets[MH_SEG_COUNT] = {
    [MH_ES] = offsetof(struct kvm_sregs, es),    [MH_CS] = offsetof(struct kvm_sregs, cs),
    [MH_SS] = offsetof(struct kvm_sregs, ss),    [MH_DS] = offsetof(struct kvm_sregs, ds),
    [MH_FS] = offsetof(struct kvm_sregs, fs),    [MH_GS] = offsetof(struct kvm_sregs, gs),
    [MH_LDTR] = offsetof(struct kvm_sregs, ldt), [MH_TR] = offsetof(struct kvm_sregs, tr),
};

/* The system registers that are plain numbers: where KVM keeps them, and where we do. */
static const struct {
    size_t kvm, ours;
} numbers[] = {
    {offsetof(struct kvm_sregs, cr0), offsetof(struct mh_x86_system, cr0)},
    {offsetof(struct kvm_sregs, cr2), offsetof(struct mh_x86_system, cr2)},
    {offsetof(struct kvm_sregs, cr3), offsetof(struct mh_x86_system, cr3)},
    {offsetof(struct kvm_sregs, cr4), offsetof(struct mh_x86_system, cr4)},
    {offsetof(struct kvm_sregs, cr8), offsetof(struct mh_x86_system, cr8)},
    {offsetof(struct kvm_sregs, efer), offsetof(struct mh_x86_system, efer)},
};

#define NUMBER_COUNT (sizeof numbers / sizeof numbers[0])

void kvm_regs_to_system(const struct kvm_sregs *from, struct mh_x86_system *to)
{
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        struct kvm_segment segment;
        memcpy(&segment, (const char *)from + segment_offsets[i], sizeof segment);
        to->seg[i] = kvm_regs_to_segment(&segment);
    }
    to->gdt = (struct mh_x86_table){.base = from->gdt.base, .limit = from->gdt.limit};
    to->idt = (struct mh_x86_table){.base = from->idt.base, .limit = from->idt.limit};
    for (unsigned i = 0; i < NUMBER_COUNT; i++)
        memcpy((char *)to + numbers[i].ours, (const char *)from + numbers[i].kvm, sizeof(uint64_t));
}

void kvm_regs_from_system(const struct mh_x86_system *from, struct kvm_sregs *to)
{
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        struct kvm_segment now, segment;
        memcpy(&now, (const char *)to + segment_offsets[i], sizeof now);
        segment = kvm_regs_from_segment(&from->seg[i], &now);
        memcpy((char *)to + segment_offsets[i], &segment, sizeof segment);
    }
    to->gdt = (struct kvm_dtable){.base = from->gdt.base, .limit = from->gdt.limit};
    to->idt = (struct kvm_dtable){.base = from->idt.base, .limit = from->idt.limit};
    for (unsigned i = 0; i < NUMBER_COUNT; i++)
        memcpy((char *)to + numbers[i].kvm, (const char *)from + numbers[i].ours, sizeof(uint64_t));
}
