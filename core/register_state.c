#include "register_state.h"

#include <stddef.h>
#include <string.h>

static void read_general(const struct kvm_regs *from, struct mh_x86_general *to)
{
    const uint64_t gpr[MH_GPR_COUNT] = {from->rax, from->rcx, from->rdx, from->rbx, from->rsp, from->rbp,
                                        from->rsi, from->rdi, from->r8,  from->r9,  from->r10, from->r11,
                                        from->r12, from->r13, from->r14, from->r15};
    memcpy(to->gpr, gpr, sizeof gpr);
    to->rip = from->rip;
    to->rflags = from->rflags;
}

void register_state_general_to_kvm(const struct mh_x86_general *from, struct kvm_regs *to)
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
static struct mh_x86_segment read_segment(const struct kvm_segment *from)
{
    unsigned attributes = from->type | (unsigned)from->s << 4 | (unsigned)from->dpl << 5 |
                          (unsigned)from->present << 7 | (unsigned)from->avl << 12 | (unsigned)from->l << 13 |
                          (unsigned)from->db << 14 | (unsigned)from->g << 15;
    return (struct mh_x86_segment){
        .base = from->base, .limit = from->limit, .selector = from->selector, .attributes = (uint16_t)attributes};
}

static struct kvm_segment write_segment(const struct mh_x86_segment *from, const struct kvm_segment *now)
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

static void read_system(const struct kvm_sregs *from, struct mh_x86_system *to)
{
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        struct kvm_segment segment;
        memcpy(&segment, (const char *)from + segment_offsets[i], sizeof segment);
        to->seg[i] = read_segment(&segment);
    }
    to->gdt = (struct mh_x86_table){.base = from->gdt.base, .limit = from->gdt.limit};
    to->idt = (struct mh_x86_table){.base = from->idt.base, .limit = from->idt.limit};
    for (unsigned i = 0; i < NUMBER_COUNT; i++)
        memcpy((char *)to + numbers[i].ours, (const char *)from + numbers[i].kvm, sizeof(uint64_t));
}

void register_state_system_to_kvm(const struct mh_x86_system *from, struct kvm_sregs *to)
{
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        struct kvm_segment now, segment;
        memcpy(&now, (const char *)to + segment_offsets[i], sizeof now);
        segment = write_segment(&from->seg[i], &now);
        memcpy((char *)to + segment_offsets[i], &segment, sizeof segment);
    }
    to->gdt = (struct kvm_dtable){.base = from->gdt.base, .limit = from->gdt.limit};
    to->idt = (struct kvm_dtable){.base = from->idt.base, .limit = from->idt.limit};
    for (unsigned i = 0; i < NUMBER_COUNT; i++)
        memcpy((char *)to + numbers[i].kvm, (const char *)from + numbers[i].ours, sizeof(uint64_t));
}

/* ---- x87, SSE, AVX: the standard form of the XSAVE area (Intel SDM volume 1, 13.4) ---- */

#define XSAVE_FCW 0
#define XSAVE_FSW 2
#define XSAVE_FTW 4
#define XSAVE_FOP 6
#define XSAVE_FIP 8
#define XSAVE_FDP 16
#define XSAVE_MXCSR 24
#define XSAVE_ST 32
#define XSAVE_XMM 160
#define XSAVE_STATE_BV 512
#define XSAVE_COMPONENT_YMMH 2
#define XSAVE_COMPONENT_K 5
#define XSAVE_COMPONENT_ZMMH 6
#define XSAVE_COMPONENT_ZMM_HIGH 7

#define TAG_VALID 0u
#define TAG_ZERO 1u
#define TAG_SPECIAL 2u
#define TAG_EMPTY 3u

static unsigned tag_of(const uint8_t st[16])
{
    uint64_t mantissa;
    uint16_t exponent;
    memcpy(&mantissa, st, sizeof mantissa);
    memcpy(&exponent, st + 8, sizeof exponent);
    exponent &= 0x7fff;
    if (exponent == 0 && mantissa == 0)
        return TAG_ZERO;
    return exponent == 0 || exponent == 0x7fff || mantissa >> 63 == 0 ? TAG_SPECIAL : TAG_VALID;
}

/* FXSAVE keeps one bit a register, numbered physically; the full word has two, and st(0) is register TOP. */
static uint16_t full_tag(uint8_t abridged, uint16_t fstat, const uint8_t st[8][16])
{
    unsigned tag = 0, top = fstat >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        unsigned value = (abridged >> i & 1) == 0 ? TAG_EMPTY : tag_of(st[(i - top) & 7]);
        tag |= value << (2 * i);
    }
    return (uint16_t)tag;
}

static uint8_t abridged_tag(uint16_t full)
{
    unsigned tag = 0;
    for (unsigned i = 0; i < 8; i++)
        tag |= (full >> (2 * i) & 3) != TAG_EMPTY ? 1u << i : 0;
    return (uint8_t)tag;
}

/* A component's place in the area, NULL when this machine has none. */
static uint8_t *component(const struct mh_vm *vm, uint8_t *area, unsigned number)
{
    uint32_t offset = host_xsave_offset(vm->host, number);
    bool exists = (register_state_xcr0(vm) >> number & 1) != 0;
    return exists && offset != 0 && offset <= sizeof(struct kvm_xsave) - 1024 ? area + offset : NULL;
}

static void read_extended(const struct mh_vm *vm, uint8_t *area, struct mh_x86_fpu *to)
{
    const uint8_t *ymmh = component(vm, area, XSAVE_COMPONENT_YMMH);
    const uint8_t *k = component(vm, area, XSAVE_COMPONENT_K);
    const uint8_t *zmmh = component(vm, area, XSAVE_COMPONENT_ZMMH);
    const uint8_t *high = component(vm, area, XSAVE_COMPONENT_ZMM_HIGH);
    if (ymmh != NULL)
        memcpy(to->ymmh, ymmh, 16 * sizeof to->ymmh[0]);
    if (k != NULL)
        memcpy(to->k, k, sizeof to->k);
    if (zmmh != NULL)
        memcpy(to->zmmh, zmmh, 16 * sizeof to->zmmh[0]);
    for (unsigned i = 0; high != NULL && i < 16; i++) {
        memcpy(to->xmm[16 + i], high + (size_t)64 * i, 16);
        memcpy(to->ymmh[16 + i], high + (size_t)64 * i + 16, 16);
        memcpy(to->zmmh[16 + i], high + (size_t)64 * i + 32, 32);
    }
}

static void write_extended(const struct mh_vm *vm, const struct mh_x86_fpu *from, uint8_t *area)
{
    uint8_t *ymmh = component(vm, area, XSAVE_COMPONENT_YMMH);
    uint8_t *k = component(vm, area, XSAVE_COMPONENT_K);
    uint8_t *zmmh = component(vm, area, XSAVE_COMPONENT_ZMMH);
    uint8_t *high = component(vm, area, XSAVE_COMPONENT_ZMM_HIGH);
    if (ymmh != NULL)
        memcpy(ymmh, from->ymmh, 16 * sizeof from->ymmh[0]);
    if (k != NULL)
        memcpy(k, from->k, sizeof from->k);
    if (zmmh != NULL)
        memcpy(zmmh, from->zmmh, 16 * sizeof from->zmmh[0]);
    for (unsigned i = 0; high != NULL && i < 16; i++) {
        memcpy(high + (size_t)64 * i, from->xmm[16 + i], 16);
        memcpy(high + (size_t)64 * i + 16, from->ymmh[16 + i], 16);
        memcpy(high + (size_t)64 * i + 32, from->zmmh[16 + i], 32);
    }
}

static void read_fpu(const struct mh_vm *vm, uint8_t *area, struct mh_x86_fpu *to)
{
    *to = (struct mh_x86_fpu){.xcr0 = register_state_xcr0(vm)};
    memcpy(&to->fctrl, area + XSAVE_FCW, sizeof to->fctrl);
    memcpy(&to->fstat, area + XSAVE_FSW, sizeof to->fstat);
    memcpy(&to->fop, area + XSAVE_FOP, sizeof to->fop);
    memcpy(&to->fip, area + XSAVE_FIP, sizeof to->fip);
    memcpy(&to->fdp, area + XSAVE_FDP, sizeof to->fdp);
    memcpy(&to->mxcsr, area + XSAVE_MXCSR, sizeof to->mxcsr);
    memcpy(to->st, area + XSAVE_ST, sizeof to->st);
    memcpy(to->xmm, area + XSAVE_XMM, 16 * sizeof to->xmm[0]);
    to->ftag = full_tag(area[XSAVE_FTW], to->fstat, (const uint8_t(*)[16])to->st);
    read_extended(vm, area, to);
}

static void write_fpu(const struct mh_vm *vm, const struct mh_x86_fpu *from, uint8_t *area)
{
    uint64_t present;
    memcpy(area + XSAVE_FCW, &from->fctrl, sizeof from->fctrl);
    memcpy(area + XSAVE_FSW, &from->fstat, sizeof from->fstat);
    memcpy(area + XSAVE_FOP, &from->fop, sizeof from->fop);
    memcpy(area + XSAVE_FIP, &from->fip, sizeof from->fip);
    memcpy(area + XSAVE_FDP, &from->fdp, sizeof from->fdp);
    memcpy(area + XSAVE_MXCSR, &from->mxcsr, sizeof from->mxcsr);
    memcpy(area + XSAVE_ST, from->st, sizeof from->st);
    memcpy(area + XSAVE_XMM, from->xmm, 16 * sizeof from->xmm[0]);
    area[XSAVE_FTW] = abridged_tag(from->ftag);
    write_extended(vm, from, area);
    /* components not marked present would be taken for their initial state */
    memcpy(&present, area + XSAVE_STATE_BV, sizeof present);
    present |= register_state_xcr0(vm);
    memcpy(area + XSAVE_STATE_BV, &present, sizeof present);
}

uint64_t register_state_xcr0(const struct mh_vm *vm)
{
    return vm->host->xcr0 | MH_XCR0_X87 | MH_XCR0_SSE;
}

static enum mh_status fail(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "KVM refuses %s: %s", what, strerror(error));
}

enum mh_status register_state_read(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err)
{
    const struct kvm_regs *general = vcpu_regs(&vm->vcpu);
    if (general == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    if ((groups & MH_REGS_GENERAL) != 0)
        read_general(general, &regs->general);
    if ((groups & MH_REGS_SYSTEM) != 0)
        read_system(vcpu_sregs(&vm->vcpu), &regs->system);
    if ((groups & MH_REGS_FPU) != 0) {
        struct kvm_xsave xsave;
        int result = kvm_sys_get_xsave(vm->vcpu.fd, &xsave);
        if (result < 0)
            return fail(err, "to tell the floating-point registers", -result);
        read_fpu(vm, (uint8_t *)&xsave, &regs->fpu);
    }
    return MH_OK;
}

static enum mh_status write_fpu_to_kvm(struct mh_vm *vm, const struct mh_x86_fpu *fpu, struct mh_error *err)
{
    struct kvm_xsave xsave;
    int result = kvm_sys_get_xsave(vm->vcpu.fd, &xsave);
    if (result == 0) {
        write_fpu(vm, fpu, (uint8_t *)&xsave);
        result = kvm_sys_set_xsave(vm->vcpu.fd, &xsave);
    }
    return result < 0 ? fail(err, "these floating-point registers", -result) : MH_OK;
}

enum mh_status register_state_write(struct mh_vm *vm, unsigned groups, const struct mh_x86_regs *regs,
                                    struct mh_error *err)
{
    struct vcpu *vcpu = &vm->vcpu;
    vm->debug.control_is_current = false; /* a pending trap flag goes with the flags and the rip it was set for */
    if (vcpu_regs(vcpu) == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    if ((groups & MH_REGS_SYSTEM) != 0) {
        register_state_system_to_kvm(&regs->system, vcpu_sregs(vcpu));
        int result = vcpu_write_sregs(vcpu);
        if (result < 0)
            return fail(err, "this value of a segment, table or control register", -result);
    }
    if ((groups & MH_REGS_GENERAL) != 0) {
        register_state_general_to_kvm(&regs->general, vcpu_regs(vcpu));
        int result = vcpu_write_regs(vcpu);
        if (result < 0)
            return fail(err, "these general registers", -result);
    }
    return (groups & MH_REGS_FPU) != 0 ? write_fpu_to_kvm(vm, &regs->fpu, err) : MH_OK;
}
