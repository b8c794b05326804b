/*
 * Documents: qXfer:features, threads, memory-map, exec-file and traceframe-info (GDB manual, "General Query Packets",
 * qXfer). Each request builds the whole document and returns the requested part.
 */
#include "packets/commands.h"

#include <string.h>

/* The two halves of the 48-bit virtual address space that can be mapped. */
#define CANONICAL_HALF 0x800000000000ull
#define UPPER_HALF_START 0xffff800000000000ull
#define REGIONS_MAX 64u

struct slice {
    struct gdb_text annex;
    uint64_t offset, length;
};

/* Parse "ANNEX:OFFSET,LENGTH". */
static bool slice_parse(struct gdb_text args, struct slice *slice)
{
    slice->annex = gdb_text_cut(&args, ':');
    return gdb_text_u64(&args, &slice->offset) && gdb_text_eat(&args, ',') && gdb_text_u64(&args, &slice->length) &&
           gdb_text_empty(&args);
}

/* Start a document; it is built like a reply. */
static struct gdb_reply document_begin(struct gdb_session *session)
{
    struct gdb_reply document;

    gdb_reply_init(&document, session->document, sizeof session->document);
    return document;
}

/* Reply with the requested part of the document: 'm' if there is more after it, 'l' if not. */
static enum gdb_outcome slice_reply(struct gdb_session *session, const struct gdb_reply *document,
                                    const struct slice *slice)
{
    size_t total = gdb_reply_length(document), left;
    const char *text = document->buffer + (document->end - total);

    if (document->overflow || slice->offset > total)
        return gdb_session_fail(session, GDB_ERROR_FORMAT, "no such part of the document");
    left = total - (size_t)slice->offset;
    gdb_reply_char(&session->out, slice->length < left ? 'm' : 'l');
    if (slice->length < left)
        left = (size_t)slice->length;
    gdb_reply_binary(&session->out, text + slice->offset, left);
    return GDB_REPLY;
}

static enum gdb_outcome document_fail(struct gdb_session *session)
{
    return gdb_session_fail(session, GDB_ERROR_FAILED, "no such document");
}

enum gdb_outcome gdb_cmd_xfer_features(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = document_begin(session);
    struct slice slice;

    if (!slice_parse(args, &slice))
        return gdb_session_malformed(session);
    if (!gdb_text_is(&slice.annex, "target.xml"))
        return document_fail(session);
    gdb_x86_describe(gdb_session_layout(session), &document);
    session->g_thread->tdesc_sent = true;
    return slice_reply(session, &document, &slice);
}

/* Append text with XML's special characters replaced. */
static void document_add_xml_text(struct gdb_reply *to, const char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || strchr("<>&\"'", *text) != NULL)
            gdb_reply_printf(to, "&#%u;", (unsigned)(unsigned char)*text);
        else
            gdb_reply_char(to, *text);
    }
}

enum gdb_outcome gdb_cmd_xfer_threads(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_reply document = document_begin(session);
    struct slice slice;

    if (!slice_parse(args, &slice))
        return gdb_session_malformed(session);
    gdb_reply_text(&document, "<threads>");
    for (unsigned i = 0; i < session->machines->count; i++) {
        const struct gdb_machine *machine = &session->machines->list[i];

        if (!machine->attached || machine->state == GDB_MACHINE_ENDED || machine->unannounced)
            continue;
        gdb_reply_text(&document, "<thread id=\"");
        gdb_session_put_thread(session, &document, machine);
        gdb_reply_text(&document, "\" name=\"");
        document_add_xml_text(&document, target->ops->vm_name(target->ctx, machine->vm));
        gdb_reply_text(&document, "\"/>");
    }
    gdb_reply_text(&document, "</threads>");
    return slice_reply(session, &document, &slice);
}

static void memory_map_add(struct gdb_reply *to, uint64_t start, uint64_t length)
{
    gdb_reply_printf(to, "<memory type=\"ram\" start=\"0x%llx\" length=\"0x%llx\"/>", (unsigned long long)start,
                     (unsigned long long)length);
}

static void memory_map_add_physical(const struct gdb_session *session, struct gdb_reply *to)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_memory_region regions[REGIONS_MAX];
    unsigned count = target->ops->memory_map(target->ctx, session->g_thread->vm, regions, REGIONS_MAX);

    for (unsigned i = 0; i < count && i < REGIONS_MAX; i++)
        memory_map_add(to, regions[i].start, regions[i].length);
}

enum gdb_outcome gdb_cmd_xfer_memory_map(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = document_begin(session);
    struct slice slice;

    if (!slice_parse(args, &slice))
        return gdb_session_malformed(session);
    gdb_reply_text(&document, "<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN gnu.org//DTD GDB Memory Map "
                              "V1.0//EN\" \"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>");
    if (session->physical) {
        memory_map_add_physical(session, &document);
    } else {
        /* gdb reads the map once and refuses other addresses, but a guest may map any address at any time */
        memory_map_add(&document, 0, CANONICAL_HALF);
        memory_map_add(&document, UPPER_HALF_START, CANONICAL_HALF);
    }
    gdb_reply_text(&document, "</memory-map>");
    return slice_reply(session, &document, &slice);
}

/* Return the machine named by an annex, the selected one if it is empty, NULL if there is none. */
static struct gdb_machine *annex_machine(struct gdb_session *session, struct gdb_text annex)
{
    uint32_t vm;

    if (gdb_text_empty(&annex))
        return session->g_thread;
    if (!gdb_text_u32(&annex, UINT32_MAX, &vm) || !gdb_text_empty(&annex))
        return NULL;
    return gdb_machines_find(session->machines, vm);
}

enum gdb_outcome gdb_cmd_xfer_exec_file(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_reply document = document_begin(session);
    struct slice slice;

    if (!slice_parse(args, &slice))
        return gdb_session_malformed(session);
    const struct gdb_machine *machine = annex_machine(session, slice.annex);
    const char *file = machine != NULL ? target->ops->vm_exec_file(target->ctx, machine->vm) : NULL;
    if (file == NULL)
        return document_fail(session);
    gdb_reply_text(&document, file);
    return slice_reply(session, &document, &slice);
}

static void traceframe_add_memory(struct gdb_reply *to, uint64_t start, uint64_t length)
{
    if (length > 0)
        gdb_reply_printf(to, "<memory start=\"0x%llx\" length=\"0x%llx\"/>", (unsigned long long)start,
                         (unsigned long long)length);
}

/* Append what the frame contains, joining adjacent pieces of memory. */
static void traceframe_add_blocks(struct gdb_reply *to, const struct gdb_traceframes *frames,
                                  const struct gdb_traceframe *frame)
{
    struct gdb_traceblock block;
    size_t cursor = 0;
    uint64_t start = 0, length = 0;

    while (gdb_traceframes_block(frames, frame, &cursor, &block)) {
        if (block.kind == 'V')
            gdb_reply_printf(to, "<tvar id=\"%u\"/>", block.variable);
        if (block.kind != 'M')
            continue;
        if (block.address != start + length) {
            traceframe_add_memory(to, start, length);
            start = block.address;
            length = 0;
        }
        length += block.length;
    }
    traceframe_add_memory(to, start, length);
}

enum gdb_outcome gdb_cmd_xfer_traceframe(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = document_begin(session);
    struct gdb_traceframe frame;
    struct slice slice;

    if (!slice_parse(args, &slice))
        return gdb_session_malformed(session);
    if (!gdb_frame_get(session, &frame))
        return document_fail(session);
    gdb_reply_text(&document, "<traceframe-info>");
    traceframe_add_blocks(&document, &session->machines->trace.frames, &frame);
    gdb_reply_text(&document, "</traceframe-info>");
    return slice_reply(session, &document, &slice);
}
