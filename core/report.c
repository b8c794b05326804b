/* What a person is told about a machine that stopped: what happened, where, and everything to understand it. */
#include "report.h"

#include "x86/exceptions.h"
#include "mh/x86_regs.h"
#include "text.h"
#include "virtual.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct report {
    struct mh_vm *vm;
    const struct mh_stop *stop;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    bool have_registers;
    struct text_output output;
};

/* A processor in its reset state: what AMD leaves of the guest after a triple fault. */
static bool registers_were_reset(const struct report *report)
{
    return report->regs.rip == 0xfff0 && (report->sregs.cr0 & MH_CR0_PE) == 0;
}

static void say_page_walk(const struct report *report, uint64_t address)
{
    const struct paging_mode mode = virtual_mode_of(&report->sregs);
    struct paging_walk walk;
    paging_walk(&report->vm->memory, &mode, mh_gva_of(address), &walk);
    text_say(&report->output, "  page walk of 0x%016" PRIx64 ", cr3 0x%" PRIx64 ":\n", address,
             (uint64_t)report->sregs.cr3);
    for (unsigned i = 0; i < walk.steps; i++) {
        const struct paging_step *step = &walk.step[i];
        bool present = (step->entry & PAGING_PRESENT) != 0;
        text_say(&report->output, "    %-4s[%3u] at 0x%08" PRIx64 ": 0x%016" PRIx64 "%s%s%s%s\n", step->level,
                 step->index, step->table.v + step->index * sizeof(uint64_t), step->entry,
                 present ? " present" : " not present", (step->entry & PAGING_WRITE) != 0 ? ", writable" : "",
                 (step->entry & PAGING_USER) != 0 ? ", user" : "",
                 present && (step->entry & PAGING_NX) != 0 ? ", no execute" : "");
    }
    if (walk.end == PAGING_MAPPED)
        text_say(&report->output, "    leads to physical 0x%" PRIx64 ", in a page of %" PRIu64 " bytes\n",
                 walk.physical.v, walk.page_size);
    else if (walk.end == PAGING_NOT_CANONICAL)
        text_say(&report->output, "    the address is not canonical: no table is consulted\n");
    else if (walk.end == PAGING_NO_TABLE)
        text_say(&report->output, "    the next table lies where the machine has no memory\n");
}

static void say_exception(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    char meaning[128] = "";
    if (stop->has_error_code)
        exception_explain_error(stop->vector, stop->error_code, meaning, sizeof meaning);
    text_say(&report->output, "%s, vector %u, at rip 0x%016" PRIx64, exception_name(stop->vector), stop->vector,
             (uint64_t)report->regs.rip);
    if (stop->vector == EXCEPTION_PAGE_FAULT)
        text_say(&report->output, ", address 0x%016" PRIx64, stop->cr2);
    text_say(&report->output, "; the guest has no handler for it\n");
    if (stop->has_error_code)
        text_say(&report->output, "  error code 0x%x%s%s\n", stop->error_code, meaning[0] != '\0' ? ": " : "", meaning);
}

static void say_kvm_error(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    if (stop->exit_reason == MH_NO_EXIT)
        text_say(&report->output, "KVM cannot run it: %s, at rip 0x%016" PRIx64 "\n", strerror(stop->host_errno),
                 (uint64_t)report->regs.rip);
    else if (stop->exit_reason == KVM_EXIT_INTERNAL_ERROR && stop->suberror == KVM_INTERNAL_ERROR_EMULATION)
        text_say(&report->output, "KVM does not support the instruction at rip 0x%016" PRIx64 "\n",
                 (uint64_t)report->regs.rip);
    else if (stop->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        text_say(&report->output, "KVM internal error %u at rip 0x%016" PRIx64 "\n", stop->suberror,
                 (uint64_t)report->regs.rip);
    else if (stop->exit_reason == KVM_EXIT_FAIL_ENTRY)
        text_say(&report->output, "the processor refuses the guest's state (hardware reason 0x%" PRIx64 ")\n",
                 stop->hardware_reason);
    else
        text_say(&report->output,
                 "KVM ended it with exit %u (hardware reason 0x%" PRIx64 "), which means nothing here\n",
                 stop->exit_reason, stop->hardware_reason);
}

static void say_what_happened(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    const uint64_t rip = report->regs.rip;
    switch (stop->kind) {
    case MH_STOP_EXCEPTION:
        say_exception(report);
        break;
    case MH_STOP_RETURNED:
        text_say(&report->output, "the entry point returned; a guest ends with hlt\n");
        break;
    case MH_STOP_TRIPLE_FAULT:
        text_say(&report->output,
                 "triple fault: an exception came, and the guest's IDT, stack or tables could not take it\n");
        break;
    case MH_STOP_NO_MEMORY:
        text_say(&report->output,
                 "%s physical address 0x%" PRIx64 ", where the machine has no memory, near rip 0x%016" PRIx64 "\n",
                 stop->is_write ? "write to" : "read of", stop->physical, rip);
        break;
    case MH_STOP_KVM_ERROR:
        say_kvm_error(report);
        break;
    case MH_STOP_IO_ERROR:
        text_say(&report->output, "the host cannot serve its serial port: %s\n", strerror(stop->host_errno));
        break;
    case MH_STOP_HALTED:
        text_say(&report->output, "halted at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_INTERRUPTED:
        text_say(&report->output, "was interrupted at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_CAUGHT:
        text_say(&report->output, "%s\n", report->vm->debug.catches.text);
        break;
    case MH_STOP_BREAKPOINT:
    case MH_STOP_HW_BREAKPOINT:
    case MH_STOP_WATCHPOINT:
    case MH_STOP_STEP:
        text_say(&report->output, "stopped for the debugger at rip 0x%016" PRIx64 "\n", rip);
        break;
    }
}

static void say_segment(const struct report *report, const char *name, const struct kvm_segment *segment)
{
    text_say(&report->output, "  %s %04x base 0x%016" PRIx64 " limit 0x%08x%s\n", name, segment->selector,
             (uint64_t)segment->base, segment->limit, segment->unusable != 0 ? " unusable" : "");
}

static void say_registers(const struct report *report)
{
    const struct kvm_regs *r = &report->regs;
    const struct kvm_sregs *s = &report->sregs;
    const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                 "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    const uint64_t values[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp,
                               r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        text_say(&report->output, "%s%s 0x%016" PRIx64 "%s", i % 4 == 0 ? "  " : " ", names[i], values[i],
                 i % 4 == 3 ? "\n" : "");
    text_say(&report->output, "  rip 0x%016" PRIx64 " rflags 0x%08" PRIx64 ", ring %u\n", (uint64_t)r->rip,
             (uint64_t)r->rflags, s->cs.selector & 3u);
    text_say(&report->output,
             "  cr0 0x%08" PRIx64 " cr2 0x%016" PRIx64 " cr3 0x%08" PRIx64 " cr4 0x%08" PRIx64 " efer 0x%" PRIx64 "\n",
             (uint64_t)s->cr0, (uint64_t)s->cr2, (uint64_t)s->cr3, (uint64_t)s->cr4, (uint64_t)s->efer);
    say_segment(report, "cs", &s->cs);
    say_segment(report, "ss", &s->ss);
    say_segment(report, "ds", &s->ds);
    say_segment(report, "es", &s->es);
    say_segment(report, "fs", &s->fs);
    say_segment(report, "gs", &s->gs);
    say_segment(report, "tr", &s->tr);
    text_say(&report->output, "  gdt base 0x%016" PRIx64 " limit 0x%04x, idt base 0x%016" PRIx64 " limit 0x%04x\n",
             (uint64_t)s->gdt.base, s->gdt.limit, (uint64_t)s->idt.base, s->idt.limit);
}

/* Up to MH_INSTRUCTION_MAX bytes at rip, as far as they are mapped. */
static unsigned read_code(const struct report *report, uint8_t *code)
{
    const struct paging_mode mode = virtual_mode_of(&report->sregs);
    const uint64_t base = report->sregs.cs.l != 0 ? 0 : report->sregs.cs.base;
    return (unsigned)virtual_read(report->vm, &mode, mh_gva_of(base + report->regs.rip), code, MH_INSTRUCTION_MAX);
}

static void say_code(const struct report *report)
{
    uint8_t code[MH_INSTRUCTION_MAX];
    unsigned length = report->stop->instruction_length;
    if (length > 0)
        memcpy(code, report->stop->instruction, length);
    else
        length = read_code(report, code);
    text_say(&report->output, "  code at rip:");
    for (unsigned i = 0; i < length; i++)
        text_say(&report->output, " %02x", code[i]);
    text_say(&report->output, "%s\n", length == 0 ? " not mapped" : "");
}

static void say_faulting_walk(const struct report *report)
{
    if (report->stop->kind == MH_STOP_EXCEPTION && report->stop->vector == EXCEPTION_PAGE_FAULT)
        say_page_walk(report, report->stop->cr2);
}

static void say_state(const struct report *report)
{
    if (!report->have_registers) {
        text_say(&report->output, "  KVM does not give the registers\n");
        return;
    }
    if (report->stop->kind == MH_STOP_TRIPLE_FAULT && registers_were_reset(report)) {
        text_say(&report->output,
                 "  this processor resets itself after a triple fault: the guest's registers are lost\n");
        return;
    }
    say_registers(report);
    say_code(report);
    say_faulting_walk(report);
}

static struct report report_of(struct mh_vm *vm, const struct mh_stop *stop,
                               void (*write)(void *, const char *, size_t), void *write_ctx)
{
    struct report report = {.vm = vm, .stop = stop, .output = {.sink = write, .ctx = write_ctx}};
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs != NULL) {
        report.regs = *regs;
        report.sregs = *vcpu_sregs(&vm->vcpu);
        report.have_registers = true;
    }
    return report;
}

void report_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                 void *write_ctx)
{
    const struct report report = report_of(vm, stop, write, write_ctx);
    say_what_happened(&report);
    if (stop->kind != MH_STOP_HALTED && stop->kind != MH_STOP_IO_ERROR)
        say_state(&report);
}

void report_stop_briefly(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx)
{
    const struct report report = report_of(vm, stop, write, write_ctx);
    say_what_happened(&report);
    if (report.have_registers)
        say_faulting_walk(&report);
}

void report_stop_in_words(struct mh_vm *vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx)
{
    const struct report report = report_of(vm, stop, sink, sink_ctx);
    say_what_happened(&report);
}

void report_registers(struct mh_vm *vm, void (*write)(void *, const char *, size_t), void *write_ctx)
{
    const struct report report = report_of(vm, NULL, write, write_ctx);
    if (report.have_registers)
        say_registers(&report);
    else
        text_say(&report.output, "KVM does not give the registers\n");
}

void report_page_walk(struct mh_vm *vm, uint64_t address, void (*write)(void *, const char *, size_t), void *write_ctx)
{
    const struct report report = report_of(vm, NULL, write, write_ctx);
    say_page_walk(&report, address);
}
