#include "kvm_side.h"

#include "kvm_known.h"
#include "outcome.h"

#include "x86/boot_state.h"
#include "x86/paging.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KICKS_MAX 10u /* a second apart */
#define RUNS_MAX 20000u
#define MARKS (PAGING_ACCESSED | PAGING_DIRTY)

bool kvm_side_start(struct kvm_side *side, const struct kvm_guest *guest)
{
    struct mh_error err;
    side->output = side->outputs = side->kicks = 0;
    kvm_guest_load(guest, &side->ram);
    side->cpu->ops->finish_io(side->cpu);
    side->cpu->ops->memory_changed(side->cpu, mh_gpa_of(0), GUEST_RAM_SIZE);
    side->cpu->ops->memory_changed(side->cpu, mh_gpa_of(MH_SYSTEM_AREA), MH_SYSTEM_AREA_SIZE);
    if (side->cpu->ops->restore(side->cpu, &guest->boot, &err) != MH_OK) {
        printf("%s: %s\n", side->name, err.text);
        return false;
    }
    return true;
}

/* What is read depends on what was written only, not on how often: KVM reads before it finds that it cannot store. */
static uint8_t kvm_side_input(const struct kvm_side *side, uint16_t port)
{
    return (uint8_t)(side->output >> 32 ^ port);
}

bool kvm_side_serve(struct kvm_side *side, const struct cpu_exit *exit)
{
    if (exit->kind != CPU_EXIT_IO)
        return false;
    for (size_t i = 0; i < (size_t)exit->count * exit->width; i++) {
        if (exit->is_in) {
            exit->data[i] = kvm_side_input(side, exit->port);
        } else {
            side->output = (side->output ^ exit->data[i] ^ (uint64_t)exit->port << 8) * 0x9e3779b97f4a7c15u;
            side->outputs++;
        }
    }
    return true;
}

enum kvm_end_kind kvm_side_end_kind(const struct cpu_exit *exit)
{
    switch (exit->kind) {
    case CPU_EXIT_HALT:
        return KVM_END_HALT;
    case CPU_EXIT_TRIPLE_FAULT:
        return KVM_END_TRIPLE_FAULT;
    case CPU_EXIT_NO_MEMORY:
        return KVM_END_NO_MEMORY;
    case CPU_EXIT_ERROR:
        return KVM_END_ERROR;
    default:
        return KVM_END_NONE;
    }
}

bool kvm_side_end(struct kvm_side *side, enum kvm_end_kind kind, const struct cpu_exit *exit, struct kvm_end *end)
{
    struct mh_error err;
    memset(end, 0, sizeof *end);
    end->kind = kind;
    end->output = side->output;
    snprintf(end->text, sizeof end->text, "%s", kind == KVM_END_ERROR ? exit->text : "");
    side->cpu->ops->finish_io(side->cpu);
    if (side->cpu->ops->save(side->cpu, &end->state, &err) == MH_OK)
        return true;
    printf("%s: %s\n", side->name, err.text);
    return false;
}

bool kvm_side_run(struct kvm_side *side, uint64_t until, struct kvm_end *end)
{
    const struct cpu_request request = {.mode = until == UINT64_MAX ? CPU_RUN : CPU_UNTIL, .until = until};
    struct cpu_exit exit = {0};
    enum kvm_end_kind kind = KVM_END_NONE;
    for (unsigned runs = 0; runs < RUNS_MAX && kind == KVM_END_NONE && side->kicks < KICKS_MAX; runs++) {
        side->cpu->ops->run(side->cpu, &request, &exit);
        kvm_side_serve(side, &exit);
        side->kicks += exit.kind == CPU_EXIT_KICKED;
        kind = kvm_side_end_kind(&exit);
        if (exit.kind == CPU_EXIT_COUNT_REACHED)
            break;
    }
    return kvm_side_end(side, kind, &exit, end);
}

const struct guest_exception *kvm_side_log(const struct kvm_side *side, unsigned *count)
{
    const uint8_t *system_area = ram_system_area(&side->ram);
    const unsigned most = (GUEST_LOG_END - GUEST_LOG_FIRST) / sizeof(struct guest_exception);
    uint64_t next;
    memcpy(&next, system_area + (GUEST_LOG - MH_SYSTEM_AREA), sizeof next);
    next = (next - GUEST_LOG_FIRST) / sizeof(struct guest_exception);
    *count = next < most ? (unsigned)next : most;
    return (const struct guest_exception *)(const void *)(system_area + (GUEST_LOG_FIRST - MH_SYSTEM_AREA));
}

/* ---- comparing ---- */

static bool differ(char *text, size_t size, const char *what, uint64_t a, uint64_t b)
{
    if (a == b)
        return false;
    snprintf(text, size, "%s: %" PRIx64 ", %" PRIx64, what, a, b);
    return true;
}

static void print_exception(const struct guest_exception *exception, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRIu64 " (%" PRIx64 ") at %" PRIx64 ":%" PRIx64 ", flags %" PRIx64 ", rsp %" PRIx64 ":%" PRIx64
             ", cr2 %" PRIx64,
             exception->vector, exception->error_code, exception->cs, exception->rip, exception->rflags, exception->ss,
             exception->rsp, exception->cr2);
}

unsigned kvm_sides_first_exception(const struct kvm_side *a, const struct kvm_side *b)
{
    unsigned a_count, b_count, i = 0;
    const struct guest_exception *x = kvm_side_log(a, &a_count), *y = kvm_side_log(b, &b_count);
    while (i < a_count && i < b_count && kvm_known_same_exception(&x[i], &y[i]))
        i++;
    return i;
}

static bool logs_equal(const struct kvm_side *a, const struct kvm_side *b, char *text, size_t size)
{
    unsigned a_count, b_count;
    char soft[128] = "none", kvm[128] = "none";
    const struct guest_exception *x = kvm_side_log(a, &a_count), *y = kvm_side_log(b, &b_count);
    const unsigned first = kvm_sides_first_exception(a, b);
    if (first == a_count && first == b_count)
        return true;
    if (first < a_count)
        print_exception(&x[first], soft, sizeof soft);
    if (first < b_count)
        print_exception(&y[first], kvm, sizeof kvm);
    snprintf(text, size, "exception %u: %s; %s", first, soft, kvm);
    return false;
}

static bool general_equal(const struct mh_cpu_state *a, const struct mh_cpu_state *b, char *text, size_t size)
{
    for (unsigned i = 0; i < MH_GPR_COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "register %u", i);
        if (differ(text, size, name, a->general.gpr[i], b->general.gpr[i]))
            return false;
    }
    return !differ(text, size, "rip", a->general.rip, b->general.rip) &&
           !differ(text, size, "rflags", a->general.rflags & ~(uint64_t)MH_RFLAGS_RF,
                   b->general.rflags & ~(uint64_t)MH_RFLAGS_RF);
}

static bool system_equal(const struct mh_cpu_state *a, const struct mh_cpu_state *b, char *text, size_t size)
{
    static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    const struct mh_x86_system *x = &a->system, *y = &b->system;
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        const bool has_base = i >= MH_FS && (i != MH_LDTR || x->seg[i].selector != 0);
        if (i == MH_SS && a->general.rip >= GUEST_RAM_SIZE) /* QEMU clears it where a handler has a stack of its own */
            continue;
        if (differ(text, size, names[i], x->seg[i].selector, y->seg[i].selector) ||
            (has_base && differ(text, size, names[i], x->seg[i].base, y->seg[i].base)))
            return false;
    }
    return !differ(text, size, "gdt", x->gdt.base, y->gdt.base) &&
           !differ(text, size, "gdt limit", x->gdt.limit, y->gdt.limit) &&
           !differ(text, size, "idt", x->idt.base, y->idt.base) &&
           !differ(text, size, "idt limit", x->idt.limit, y->idt.limit) && !differ(text, size, "cr0", x->cr0, y->cr0) &&
           !differ(text, size, "cr2", x->cr2, y->cr2) && !differ(text, size, "cr3", x->cr3, y->cr3) &&
           !differ(text, size, "cr4", x->cr4, y->cr4) && !differ(text, size, "cr8", x->cr8, y->cr8) &&
           !differ(text, size, "efer", x->efer, y->efer);
}

static bool msrs_equal(const struct mh_cpu_state *a, const struct mh_cpu_state *b, char *text, size_t size)
{
    const struct mh_x86_msrs *x = &a->msrs, *y = &b->msrs;
    for (unsigned i = 0; i < 4; i++)
        if (differ(text, size, "a debug register", a->dr[i], b->dr[i]))
            return false;
    return !differ(text, size, "dr6", a->dr6, b->dr6) && !differ(text, size, "dr7", a->dr7, b->dr7) &&
           !differ(text, size, "xcr0", a->xcr0, b->xcr0) && !differ(text, size, "star", x->star, y->star) &&
           !differ(text, size, "lstar", x->lstar, y->lstar) && !differ(text, size, "cstar", x->cstar, y->cstar) &&
           !differ(text, size, "sfmask", x->sfmask, y->sfmask) &&
           !differ(text, size, "kernel_gs_base", x->kernel_gs_base, y->kernel_gs_base) &&
           !differ(text, size, "sysenter_cs", x->sysenter_cs, y->sysenter_cs) &&
           !differ(text, size, "sysenter_esp", x->sysenter_esp, y->sysenter_esp) &&
           !differ(text, size, "sysenter_eip", x->sysenter_eip, y->sysenter_eip);
}

static bool xsaves_equal(const uint8_t *a, const uint8_t *b, char *text, size_t size)
{
    return !outcome_xsave_difference(a, b, text, size);
}

static bool memory_equal(const uint8_t *a, const uint8_t *b, size_t start, size_t end, char *text, size_t size)
{
    if (memcmp(a + start, b + start, end - start) == 0)
        return true;
    while (a[start] == b[start])
        start++;
    snprintf(text, size, "memory at %zx: %02x, %02x", start, a[start], b[start]);
    return false;
}

/* Page tables; a processor may set A and D for an access that it does not carry out in the end. */
static bool tables_equal(const struct kvm_side *a, const struct kvm_side *b, char *text, size_t size)
{
    for (size_t at = 0; at < BOOT_GDT; at += sizeof(uint64_t)) {
        uint64_t x, y;
        memcpy(&x, ram_system_area(&a->ram) + at, sizeof x);
        memcpy(&y, ram_system_area(&b->ram) + at, sizeof y);
        if (differ(text, size, "a page table's entry", x | MARKS, y | MARKS))
            return false;
    }
    return true;
}

/* Not the stack of the handlers, whose contents the log has, and not the log, which was compared. */
static bool memories_equal(const struct kvm_side *a, const struct kvm_side *b, char *text, size_t size)
{
    return memory_equal(a->ram.host, b->ram.host, 0, GUEST_RAM_SIZE, text, size) && tables_equal(a, b, text, size) &&
           memory_equal(a->ram.host, b->ram.host, GUEST_RAM_SIZE + BOOT_GDT,
                        GUEST_RAM_SIZE + BOOT_FAULT_STACK_TOP - 0x200, text, size);
}

bool kvm_sides_equal(const struct kvm_side *a, const struct kvm_end *a_end, const struct kvm_side *b,
                     const struct kvm_end *b_end, char *text, size_t size)
{
    if (!logs_equal(a, b, text, size))
        return false;
    if (a_end->kind != b_end->kind) {
        snprintf(text, size, "end: %d %.100s, %d %.100s", (int)a_end->kind, a_end->text, (int)b_end->kind, b_end->text);
        return false;
    }
    if (differ(text, size, "output", a_end->output, b_end->output) || !memories_equal(a, b, text, size))
        return false;
    if (a_end->kind == KVM_END_TRIPLE_FAULT) /* registers are lost on some KVMs */
        return true;
    return general_equal(&a_end->state, &b_end->state, text, size) &&
           system_equal(&a_end->state, &b_end->state, text, size) &&
           msrs_equal(&a_end->state, &b_end->state, text, size) &&
           xsaves_equal(a_end->state.xsave, b_end->state.xsave, text, size);
}
