#include "report/facts.h"

#include "report/facts_memory.h"

#define VECTOR_PAGE_FAULT 14

/* ---- the machine and its end ---- */

static void facts_machine(struct writer *writer, const struct facts *facts)
{
    const struct mh_vm_config *config = facts->config;
    const char *path = mh_image_path(config->image);
    writer_key(writer, "machine");
    writer_bracket(writer, "{");
    writer_number(writer, "number", config->number);
    writer_text(writer, "name", config->name);
    writer_text(writer, "image", path != NULL ? path : "");
    writer_bool(writer, "elf", mh_image_is_elf(config->image));
    writer_number(writer, "ram", config->ram_size);
    writer_number(writer, "page", config->page_size);
    writer_bracket(writer, "}");
}

static void facts_put_piece(void *ctx, const char *text, size_t length)
{
    writer_put_escaped(ctx, text, length);
}

/* A string that a function writes in pieces. */
static void facts_begin_text(struct writer *writer, const char *key)
{
    writer_key(writer, key);
    writer_put(writer, "\"", 1);
}

static void facts_end_text(struct writer *writer)
{
    writer_put(writer, "\"", 1);
}

static void facts_fault(struct writer *writer, struct mh_vm *vm, const struct mh_stop *stop)
{
    struct mh_fault_words words;
    mh_vm_explain_fault(vm, stop, &words);
    writer_key(writer, "fault");
    writer_bracket(writer, "{");
    writer_number(writer, "vector", stop->vector);
    writer_text(writer, "name", words.name);
    if (stop->has_error_code)
        writer_hex(writer, "error", stop->error_code);
    writer_text(writer, "meaning", words.error);
    writer_text(writer, "missing", words.missing);
    if (stop->vector == VECTOR_PAGE_FAULT)
        writer_hex(writer, "address", stop->cr2);
    writer_bracket(writer, "}");
}

static void facts_end(struct writer *writer, struct mh_vm *vm, const struct mh_stop *stop)
{
    writer_key(writer, "end");
    writer_bracket(writer, "{");
    writer_text(writer, "kind", mh_stop_name(stop->kind));
    writer_bool(writer, "crash", mh_stop_is_crash(stop));
    facts_begin_text(writer, "text");
    mh_vm_describe_stop(vm, stop, facts_put_piece, writer);
    facts_end_text(writer);
    if (stop->kind == MH_STOP_EXCEPTION)
        facts_fault(writer, vm, stop);
    if (stop->kind == MH_STOP_NO_MEMORY)
        writer_hex(writer, "physical", stop->physical);
    writer_bracket(writer, "}");
}

/* ---- what it did ---- */

static void facts_stats(struct writer *writer, const struct facts *facts, struct mh_vm *vm)
{
    facts_begin_text(writer, "processor");
    mh_vm_stats(vm, facts_put_piece, writer);
    facts_end_text(writer);
    writer_number(writer, "guest_ns", facts->stats->guest_ns);
    writer_key(writer, "exits");
    writer_bracket(writer, "[");
    for (unsigned i = 0; i < facts->stats->reasons; i++) {
        const struct stats_exits *exits = &facts->stats->exits[i];
        writer_comma(writer);
        writer_bracket(writer, "{");
        writer_text(writer, "reason", exits->reason);
        writer_number(writer, "count", exits->count);
        writer_number(writer, "ns", exits->ns);
        writer_bracket(writer, "}");
    }
    writer_bracket(writer, "]");
}

static const char *entry_kind(const struct timeline_entry *entry)
{
    switch (entry->kind) {
    case MH_EVENT_FILE:
        return "file";
    case MH_EVENT_FAULT:
        return "fault";
    case MH_EVENT_INTERRUPT:
        return "interrupt";
    case MH_EVENT_CR3:
        return "cr3";
    case MH_EVENT_STOP:
        return "stop";
    default:
        return entry->is_in ? "in" : "out";
    }
}

static void facts_entry_details(struct writer *writer, const struct timeline_entry *entry)
{
    switch (entry->kind) {
    case MH_EVENT_PORT:
        writer_hex(writer, "port", entry->port);
        writer_number(writer, "bytes", entry->bytes);
        writer_hex(writer, "value", entry->value);
        break;
    case MH_EVENT_FILE:
        writer_text(writer, "op", mh_file_op_name(entry->op));
        if (entry->file != TIMELINE_NO_FILE)
            writer_number(writer, "file", entry->file);
        writer_number(writer, "bytes", entry->bytes);
        writer_key(writer, "result");
        json_put_signed(&writer->line, (int64_t)entry->value);
        break;
    case MH_EVENT_FAULT:
        writer_number(writer, "vector", entry->vector);
        writer_hex(writer, "handler", entry->value);
        break;
    case MH_EVENT_INTERRUPT:
        writer_number(writer, "vector", entry->vector);
        break;
    case MH_EVENT_CR3:
        writer_hex(writer, "value", entry->value);
        break;
    case MH_EVENT_STOP:
        writer_text(writer, "stop", mh_stop_name((enum mh_stop_kind)entry->op));
        break;
    case MH_EVENT_ENTER:
    case MH_EVENT_EXIT:
        break;
    }
}

/* Two numbers: of the first event and of the last. */
static void facts_range(struct writer *writer, const char *key, uint64_t first, uint64_t last)
{
    writer_key(writer, key);
    writer_bracket(writer, "[");
    json_put_number(&writer->line, first);
    json_put(&writer->line, ",");
    json_put_number(&writer->line, last);
    writer_bracket(writer, "]");
}

static void facts_entry(struct writer *writer, const struct timeline_entry *entry)
{
    writer_comma(writer);
    writer_bracket(writer, "{");
    writer_text(writer, "kind", entry_kind(entry));
    writer_number(writer, "count", entry->count);
    facts_range(writer, "ns", entry->begin, entry->end);
    if (entry->has_instructions)
        facts_range(writer, "instructions", entry->first, entry->last);
    if (entry->has_rip)
        writer_hex(writer, "rip", entry->rip);
    facts_entry_details(writer, entry);
    writer_bracket(writer, "}");
}

static void facts_timeline(struct writer *writer, const struct report_timeline *timeline)
{
    const unsigned kept = report_timeline_kept(timeline);
    writer_key(writer, "timeline");
    writer_bracket(writer, "{");
    writer_number(writer, "ns", timeline->end);
    writer_number(writer, "missing", timeline->count - kept);
    writer_number(writer, "first", TIMELINE_FIRST);
    writer_key(writer, "entries");
    writer_bracket(writer, "[");
    for (unsigned i = 0; i < kept; i++)
        facts_entry(writer, report_timeline_at(timeline, i));
    writer_bracket(writer, "]");
    writer_bracket(writer, "}");
}

static void facts_file(struct writer *writer, const struct timeline_file *file)
{
    writer_comma(writer);
    writer_bracket(writer, "{");
    writer_text(writer, "name", file->name);
    for (unsigned op = MH_FILE_OPEN; op <= MH_FILE_SIZE; op++)
        writer_number(writer, mh_file_op_name((uint8_t)op), file->calls[op]);
    writer_number(writer, "failed", file->failed);
    writer_number(writer, "bytes_read", file->bytes_read);
    writer_number(writer, "bytes_written", file->bytes_written);
    writer_bracket(writer, "}");
}

static void facts_files(struct writer *writer, const struct report_timeline *timeline)
{
    writer_key(writer, "files");
    writer_bracket(writer, "[");
    for (unsigned i = 0; i < timeline->file_count; i++)
        facts_file(writer, &timeline->files[i]);
    writer_bracket(writer, "]");
    writer_number(writer, "unlisted_calls", timeline->unlisted_calls);
}

static void facts_serial(struct writer *writer, const char *key, const struct serial_text *text)
{
    struct serial_piece pieces[3];
    const uint64_t missing = serial_text_pieces(text, pieces);
    writer_key(writer, key);
    writer_bracket(writer, "{");
    writer_number(writer, "total", text->total);
    writer_number(writer, "missing", missing);
    facts_begin_text(writer, "first");
    writer_put_escaped(writer, pieces[0].bytes, pieces[0].length);
    facts_end_text(writer);
    facts_begin_text(writer, "last");
    writer_put_escaped(writer, pieces[1].bytes, pieces[1].length);
    writer_put_escaped(writer, pieces[2].bytes, pieces[2].length);
    facts_end_text(writer);
    writer_bracket(writer, "}");
}

/* ---- registers ---- */

static void facts_general(struct writer *writer, const struct mh_x86_general *general)
{
    static const char *const names[MH_GPR_COUNT] = {
        [MH_RAX] = "rax", [MH_RBX] = "rbx", [MH_RCX] = "rcx", [MH_RDX] = "rdx", [MH_RSI] = "rsi", [MH_RDI] = "rdi",
        [MH_RBP] = "rbp", [MH_RSP] = "rsp", [MH_R8] = "r8",   [MH_R9] = "r9",   [MH_R10] = "r10", [MH_R11] = "r11",
        [MH_R12] = "r12", [MH_R13] = "r13", [MH_R14] = "r14", [MH_R15] = "r15"};
    static const enum mh_gpr order[] = {MH_RAX, MH_RBX, MH_RCX, MH_RDX, MH_RSI, MH_RDI, MH_RBP, MH_RSP,
                                        MH_R8,  MH_R9,  MH_R10, MH_R11, MH_R12, MH_R13, MH_R14, MH_R15};
    writer_key(writer, "general");
    writer_bracket(writer, "{");
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        writer_hex(writer, names[order[i]], general->gpr[order[i]]);
    writer_hex(writer, "rip", general->rip);
    writer_hex(writer, "rflags", general->rflags);
    writer_bracket(writer, "}");
}

static void facts_segments(struct writer *writer, const struct mh_x86_system *system)
{
    static const struct {
        const char *name;
        enum mh_seg seg;
    } segments[] = {{"cs", MH_CS}, {"ss", MH_SS}, {"ds", MH_DS},     {"es", MH_ES},
                    {"fs", MH_FS}, {"gs", MH_GS}, {"ldtr", MH_LDTR}, {"tr", MH_TR}};
    writer_key(writer, "segments");
    writer_bracket(writer, "{");
    for (unsigned i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        const struct mh_x86_segment *segment = &system->seg[segments[i].seg];
        writer_key(writer, segments[i].name);
        writer_bracket(writer, "{");
        writer_hex(writer, "selector", segment->selector);
        writer_hex(writer, "base", segment->base);
        writer_hex(writer, "limit", segment->limit);
        writer_hex(writer, "attributes", segment->attributes);
        writer_bracket(writer, "}");
    }
    writer_bracket(writer, "}");
}

static void facts_control(struct writer *writer, const struct mh_x86_system *system)
{
    writer_key(writer, "control");
    writer_bracket(writer, "{");
    writer_hex(writer, "cr0", system->cr0);
    writer_hex(writer, "cr2", system->cr2);
    writer_hex(writer, "cr3", system->cr3);
    writer_hex(writer, "cr4", system->cr4);
    writer_hex(writer, "cr8", system->cr8);
    writer_hex(writer, "efer", system->efer);
    writer_hex(writer, "gdt", system->gdt.base);
    writer_hex(writer, "gdt limit", system->gdt.limit);
    writer_hex(writer, "idt", system->idt.base);
    writer_hex(writer, "idt limit", system->idt.limit);
    writer_bracket(writer, "}");
}

static bool facts_registers(struct writer *writer, struct mh_vm *vm, struct mh_x86_regs *regs)
{
    if (!mh_vm_read_regs(vm, MH_REGS_GENERAL | MH_REGS_SYSTEM, regs))
        return false;
    writer_key(writer, "registers");
    writer_bracket(writer, "{");
    facts_general(writer, &regs->general);
    facts_control(writer, &regs->system);
    facts_segments(writer, &regs->system);
    writer_bracket(writer, "}");
    return true;
}

void facts_write(struct writer *writer, const struct facts *facts, struct mh_vm *vm, const struct mh_stop *stop)
{
    struct mh_x86_regs regs;
    writer_bracket(writer, "{");
    writer_number(writer, "format", 1);
    writer_text(writer, "version", MH_VERSION);
    facts_machine(writer, facts);
    facts_end(writer, vm, stop);
    facts_stats(writer, facts, vm);
    if (facts_registers(writer, vm, &regs))
        facts_tables(writer, vm, &regs.system);
    facts_memory(writer, vm);
    facts_counts(writer, facts->config, vm);
    facts_timeline(writer, facts->timeline);
    facts_files(writer, facts->timeline);
    facts_serial(writer, "serial_out", facts->out);
    facts_serial(writer, "serial_in", facts->in);
    writer_bracket(writer, "}");
}
