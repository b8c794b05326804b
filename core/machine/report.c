/* The report about a machine that stopped: what happened, where, registers, code and page tables. */
#include "machine/report.h"

#include "machine/guest_mem.h"
#include "machine/image.h"
#include "mh/x86_regs.h"
#include "text.h"
#include "x86/descriptors.h"
#include "x86/exceptions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct report {
    struct mh_vm *vm;
    const struct mh_stop *stop;
    struct mh_x86_regs regs; /* GENERAL and SYSTEM */
    bool have_registers;
    struct text_output output;
};

/* A processor in its reset state, which is what AMD processors leave after a triple fault. */
static bool report_registers_were_reset(const struct report *report)
{
    return report->regs.general.rip == 0xfff0 && (report->regs.system.cr0 & MH_CR0_PE) == 0;
}

static void report_say_page_walk(const struct report *report, uint64_t address)
{
    const struct paging_mode mode = paging_mode_of(&report->regs.system);
    struct paging_walk walk;
    paging_walk(&report->vm->ram, &mode, mh_gva_of(address), &walk);
    text_say(&report->output, "  page walk of 0x%016" PRIx64 ", cr3 0x%" PRIx64 ":\n", address,
             report->regs.system.cr3);
    for (unsigned i = 0; i < walk.steps; i++) {
        const struct paging_step *step = &walk.step[i];
        bool present = (step->entry & PAGING_PRESENT) != 0;
        text_say(&report->output, "    %-4s[%3u] at 0x%08" PRIx64 ": 0x%016" PRIx64 " %s%s%s%s%s%s\n", step->level,
                 step->index, step->table.v + step->index * sizeof(uint64_t), step->entry,
                 text_color(&report->output, present ? TEXT_GREEN : TEXT_RED), present ? "present" : "not present",
                 text_color(&report->output, TEXT_PLAIN), (step->entry & PAGING_WRITE) != 0 ? ", writable" : "",
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

/* A jump into zeroed RAM executes two-byte instructions up to its end; and some code before it. */
static uint64_t report_first_instructions(const struct mh_vm *vm)
{
    return vm->config.ram_size / 2 + 100000;
}

bool report_is_misplaced(const struct mh_vm *vm)
{
    uint64_t count;
    if (mh_image_is_elf(vm->config.image) || image_entry(vm->config.image) != 0 || vm->exits[CPU_EXIT_IO] != 0)
        return false;
    return !vm->cpu->ops->instructions(vm->cpu, &count) || count <= report_first_instructions(vm);
}

static void report_say_hint(const struct report *report)
{
    if (mh_stop_is_crash(report->stop) && report->stop->kind != MH_STOP_HOST_ERROR && report_is_misplaced(report->vm))
        text_say(&report->output, "  hint: " REPORT_MISPLACED "\n");
}

static void report_say_exception(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    char meaning[128] = "";
    if (stop->has_error_code)
        exception_explain_error(stop->vector, stop->error_code, meaning, sizeof meaning);
    text_say(&report->output, "%s, vector %u, at rip 0x%016" PRIx64, exception_name(stop->vector), stop->vector,
             report->regs.general.rip);
    if (stop->vector == EXCEPTION_PAGE_FAULT)
        text_say(&report->output, ", address 0x%016" PRIx64, stop->cr2);
    text_say(&report->output, "; the guest has no handler for it\n");
    if (stop->has_error_code)
        text_say(&report->output, "  error code 0x%x%s%s\n", stop->error_code, meaning[0] != '\0' ? ": " : "", meaning);
}

static void report_say_what_happened(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    const uint64_t rip = report->regs.general.rip;
    switch (stop->kind) {
    case MH_STOP_EXCEPTION:
        report_say_exception(report);
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
    case MH_STOP_CPU_ERROR:
    case MH_STOP_HOST_ERROR:
        text_say(&report->output, "%s, at rip 0x%016" PRIx64 "\n", stop->text, rip);
        break;
    case MH_STOP_IO_ERROR:
        text_say(&report->output, "the host cannot read or write for its serial port: %s\n",
                 strerror(stop->host_errno));
        break;
    case MH_STOP_HALTED:
        text_say(&report->output, "halted at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_INTERRUPTED:
        text_say(&report->output, "was interrupted at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_HISTORY_BEGIN:
        text_say(&report->output, "no history before this; at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_HISTORY_END:
        text_say(&report->output, "the recording ends here, at rip 0x%016" PRIx64 "\n", rip);
        break;
    case MH_STOP_EXCHANGE:
        text_say(&report->output, "stopped, because %s, at rip 0x%016" PRIx64 "\n", stop->text, rip);
        break;
    case MH_STOP_CAUGHT:
        text_say(&report->output, "%s\n", stop->text);
        break;
    case MH_STOP_BREAKPOINT:
    case MH_STOP_HW_BREAKPOINT:
    case MH_STOP_WATCHPOINT:
    case MH_STOP_STEP:
        text_say(&report->output, "stopped for the debugger at rip 0x%016" PRIx64 "\n", rip);
        break;
    }
}

static void report_say_segment(const struct report *report, const char *name, const struct mh_x86_segment *segment)
{
    text_say(&report->output, "  %s %04x base 0x%016" PRIx64 " limit 0x%08x%s\n", name, segment->selector,
             segment->base, segment->limit, (segment->attributes & 0x80) == 0 ? " unusable" : "");
}

static void report_say_registers(const struct report *report)
{
    static const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                        "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const uint8_t order[] = {MH_RAX, MH_RBX, MH_RCX, MH_RDX, MH_RSI, MH_RDI, MH_RBP, MH_RSP,
                                    MH_R8,  MH_R9,  MH_R10, MH_R11, MH_R12, MH_R13, MH_R14, MH_R15};
    static const struct {
        const char *name;
        enum mh_seg seg;
    } segments[] = {{"cs", MH_CS}, {"ss", MH_SS}, {"ds", MH_DS}, {"es", MH_ES},
                    {"fs", MH_FS}, {"gs", MH_GS}, {"tr", MH_TR}};
    const struct mh_x86_general *g = &report->regs.general;
    const struct mh_x86_system *s = &report->regs.system;
    for (unsigned i = 0; i < sizeof order; i++)
        text_say(&report->output, "%s%s 0x%016" PRIx64 "%s", i % 4 == 0 ? "  " : " ", names[i], g->gpr[order[i]],
                 i % 4 == 3 ? "\n" : "");
    text_say(&report->output, "  rip 0x%016" PRIx64 " rflags 0x%08" PRIx64 ", ring %u", g->rip, g->rflags,
             s->seg[MH_CS].selector & 3u);
    uint64_t count;
    if (report->vm->cpu->ops->instructions(report->vm->cpu, &count))
        text_say(&report->output, ", instruction %" PRIu64, count);
    text_say(&report->output, "\n");
    text_say(&report->output,
             "  cr0 0x%08" PRIx64 " cr2 0x%016" PRIx64 " cr3 0x%08" PRIx64 " cr4 0x%08" PRIx64 " efer 0x%" PRIx64 "\n",
             s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
    for (unsigned i = 0; i < sizeof segments / sizeof segments[0]; i++)
        report_say_segment(report, segments[i].name, &s->seg[segments[i].seg]);
    text_say(&report->output, "  gdt base 0x%016" PRIx64 " limit 0x%04x, idt base 0x%016" PRIx64 " limit 0x%04x\n",
             s->gdt.base, s->gdt.limit, s->idt.base, s->idt.limit);
}

/* Up to MH_INSTRUCTION_MAX bytes at rip, as far as they are mapped. */
static unsigned report_read_code(const struct report *report, uint8_t *code)
{
    const struct paging_mode mode = paging_mode_of(&report->regs.system);
    const struct mh_x86_segment *cs = &report->regs.system.seg[MH_CS];
    const uint64_t base = (cs->attributes & X86_SEGMENT_LONG) != 0 ? 0 : cs->base;
    return (unsigned)gva_read(report->vm, &mode, mh_gva_of(base + report->regs.general.rip), code, MH_INSTRUCTION_MAX);
}

static void report_say_code(const struct report *report)
{
    uint8_t code[MH_INSTRUCTION_MAX];
    unsigned length = report->stop->instruction_length;
    if (length > 0)
        memcpy(code, report->stop->instruction, length);
    else
        length = report_read_code(report, code);
    text_say(&report->output, "  code at rip:");
    for (unsigned i = 0; i < length; i++)
        text_say(&report->output, " %02x", code[i]);
    text_say(&report->output, "%s\n", length == 0 ? " not mapped" : "");
}

/* Which right an access to a mapped page lacked (Intel SDM volume 3, 4.6.1); NULL when the tables do not say. */
static const char *report_missing_right(uint32_t error_code, uint64_t cr4, const struct paging_walk *walk)
{
    bool is_user = (error_code & PAGE_FAULT_USER) != 0;
    if (is_user && !walk->user)
        return "the page is for ring 0 only";
    if ((error_code & PAGE_FAULT_FETCH) != 0) {
        if (!is_user && walk->user && (cr4 & MH_CR4_SMEP) != 0)
            return "SMEP is on: ring 0 may not execute a page of ring 3";
        return walk->executable ? NULL : "the page is not executable";
    }
    if (!is_user && walk->user && (cr4 & MH_CR4_SMAP) != 0)
        return "SMAP is on: ring 0 may not access a page of ring 3 before STAC";
    return (error_code & PAGE_FAULT_WRITE) != 0 && !walk->writable ? "the page is read-only" : NULL;
}

/* The same for a stop; NULL also when it is no page fault. */
static const char *report_missing_right_of(const struct report *report)
{
    const struct mh_stop *stop = report->stop;
    const struct paging_mode mode = paging_mode_of(&report->regs.system);
    struct paging_walk walk;
    if (stop->kind != MH_STOP_EXCEPTION || stop->vector != EXCEPTION_PAGE_FAULT || !report->have_registers ||
        (stop->error_code & PAGE_FAULT_PRESENT) == 0 || (stop->error_code & PAGE_FAULT_RESERVED) != 0 ||
        !paging_walk(&report->vm->ram, &mode, mh_gva_of(stop->cr2), &walk))
        return NULL;
    return report_missing_right(stop->error_code, mode.cr4, &walk);
}

static void report_say_faulting_walk(const struct report *report)
{
    if (report->stop->kind != MH_STOP_EXCEPTION || report->stop->vector != EXCEPTION_PAGE_FAULT)
        return;
    report_say_page_walk(report, report->stop->cr2);
    const char *right = report_missing_right_of(report);
    if (right != NULL)
        text_say(&report->output, "    %s\n", right);
}

static void report_say_state(const struct report *report)
{
    if (!report->have_registers) {
        text_say(&report->output, "  the processor does not give its registers\n");
        return;
    }
    if (report->stop->kind == MH_STOP_TRIPLE_FAULT && report_registers_were_reset(report)) {
        text_say(&report->output,
                 "  this processor resets itself after a triple fault: the guest's registers are lost\n");
        return;
    }
    report_say_registers(report);
    report_say_code(report);
    report_say_faulting_walk(report);
}

static struct report report_of(struct mh_vm *vm, const struct mh_stop *stop,
                               void (*write)(void *, const char *, size_t), void *write_ctx)
{
    struct report report = {.vm = vm, .stop = stop, .output = {.sink = write, .ctx = write_ctx}};
    report.have_registers = vm_read_regs(vm, MH_REGS_GENERAL | MH_REGS_SYSTEM, &report.regs);
    return report;
}

void report_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                 void *write_ctx)
{
    const struct report report = report_of(vm, stop, write, write_ctx);
    report_say_what_happened(&report);
    if (stop->kind != MH_STOP_HALTED && stop->kind != MH_STOP_IO_ERROR)
        report_say_state(&report);
    report_say_hint(&report);
}

void report_stop_briefly(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx)
{
    const struct report report = report_of(vm, stop, write, write_ctx);
    report_say_what_happened(&report);
    if (report.have_registers)
        report_say_faulting_walk(&report);
}

void report_stop_in_words(struct mh_vm *vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx)
{
    const struct report report = report_of(vm, stop, sink, sink_ctx);
    report_say_what_happened(&report);
}

void report_registers(struct mh_vm *vm, void (*write)(void *, const char *, size_t), void *write_ctx)
{
    const struct report report = report_of(vm, NULL, write, write_ctx);
    if (report.have_registers)
        report_say_registers(&report);
    else
        text_say(&report.output, "the processor does not give its registers\n");
}

void report_page_walk(struct mh_vm *vm, uint64_t address, const struct text_output *output)
{
    struct report report = report_of(vm, NULL, output->sink, output->ctx);
    report.output.has_color = output->has_color;
    report_say_page_walk(&report, address);
}

void mh_vm_explain_fault(struct mh_vm *vm, const struct mh_stop *stop, struct mh_fault_words *words)
{
    const struct report report = report_of(vm, stop, NULL, NULL);
    const char *right = report_missing_right_of(&report);
    *words = (struct mh_fault_words){.name = exception_name(stop->vector), .missing = right != NULL ? right : ""};
    if (stop->has_error_code)
        exception_explain_error(stop->vector, stop->error_code, words->error, sizeof words->error);
}
