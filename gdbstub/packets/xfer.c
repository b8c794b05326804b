/* Documents: qXfer:features, threads, memory-map and exec-file (GDB manual, "General Query Packets", qXfer). */
#include "packets/commands.h"

#include <string.h>

/* x86-64 addresses of 48 bits: the two halves that can be mapped at all. */
#define CANONICAL_HALF 0x800000000000ull
#define UPPER_HALF_START 0xffff800000000000ull
#define REGIONS_MAX 64u

struct slice {
    struct gdb_text annex;
    uint64_t offset, length;
};

/* Reads "ANNEX:OFFSET,LENGTH". */
static bool read_slice(struct gdb_text args, struct slice *slice)
{
    slice->annex = gdb_text_cut(&args, ':');
    return gdb_text_u64(&args, &slice->offset) && gdb_text_eat(&args, ',') && gdb_text_u64(&args, &slice->length) &&
           gdb_text_empty(&args);
}

/* Begin a document; the builder of replies serves for it too. */
static struct gdb_reply new_document(struct gdb_session *session)
{
    struct gdb_reply document;

    gdb_reply_init(&document, session->document, sizeof(session->document));
    return document;
}

/* Reply with the part of the document that was asked for: 'm' when there is more of it, 'l' when not. */
static enum gdb_outcome send_slice(struct gdb_session *session, const struct gdb_reply *document,
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

static enum gdb_outcome no_document(struct gdb_session *session)
{
    return gdb_session_fail(session, GDB_ERROR_FAILED, "no such document");
}

enum gdb_outcome gdb_cmd_xfer_features(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = new_document(session);
    struct slice slice;

    if (!read_slice(args, &slice))
        return gdb_session_malformed(session);
    if (!gdb_text_is(&slice.annex, "target.xml"))
        return no_document(session);
    gdb_x86_describe(gdb_session_layout(session), &document);
    session->general->described = true;
    return send_slice(session, &document, &slice);
}

/* Add text with the characters that mean something in XML replaced. */
static void add_xml_text(struct gdb_reply *to, const char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || strchr("<>&\"'", *text))
            gdb_reply_printf(to, "&#%u;", (unsigned)(unsigned char)*text);
        else
            gdb_reply_char(to, *text);
    }
}

enum gdb_outcome gdb_cmd_xfer_threads(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_reply document = new_document(session);
    struct slice slice;

    if (!read_slice(args, &slice))
        return gdb_session_malformed(session);
    gdb_reply_text(&document, "<threads>");
    for (unsigned i = 0; i < session->machines->count; i++) {
        const struct gdb_machine *machine = &session->machines->list[i];

        if (!machine->attended || machine->state == GDB_MACHINE_ENDED)
            continue;
        gdb_reply_text(&document, "<thread id=\"");
        gdb_session_put_thread(session, &document, machine);
        gdb_reply_text(&document, "\" name=\"");
        add_xml_text(&document, target->ops->vm_name(target->ctx, machine->vm));
        gdb_reply_text(&document, "\"/>");
    }
    gdb_reply_text(&document, "</threads>");
    return send_slice(session, &document, &slice);
}

static void add_region(struct gdb_reply *to, uint64_t start, uint64_t length)
{
    gdb_reply_printf(to, "<memory type=\"ram\" start=\"0x%llx\" length=\"0x%llx\"/>", (unsigned long long)start,
                     (unsigned long long)length);
}

static void add_physical_regions(const struct gdb_session *session, struct gdb_reply *to)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_memory_region regions[REGIONS_MAX];
    unsigned count = target->ops->memory_map(target->ctx, session->general->vm, regions, REGIONS_MAX);

    for (unsigned i = 0; i < count && i < REGIONS_MAX; i++)
        add_region(to, regions[i].start, regions[i].length);
}

enum gdb_outcome gdb_cmd_xfer_memory_map(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = new_document(session);
    struct slice slice;

    if (!read_slice(args, &slice))
        return gdb_session_malformed(session);
    gdb_reply_text(&document, "<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN gnu.org//DTD GDB Memory Map "
                              "V1.0//EN\" \"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>");
    if (session->physical) {
        add_physical_regions(session, &document);
    } else {
        /* gdb asks once and refuses what lies outside, but the guest may map whatever it likes at any time */
        add_region(&document, 0, CANONICAL_HALF);
        add_region(&document, UPPER_HALF_START, CANONICAL_HALF);
    }
    gdb_reply_text(&document, "</memory-map>");
    return send_slice(session, &document, &slice);
}

/* The machine an annex names by its process number; the one packets mean when it is empty; NULL when there is none. */
static struct gdb_machine *annex_machine(struct gdb_session *session, struct gdb_text annex)
{
    uint32_t vm;

    if (gdb_text_empty(&annex))
        return session->general;
    if (!gdb_text_u32(&annex, UINT32_MAX, &vm) || !gdb_text_empty(&annex))
        return NULL;
    return gdb_machines_find(session->machines, vm);
}

enum gdb_outcome gdb_cmd_xfer_exec_file(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_reply document = new_document(session);
    const struct gdb_machine *machine;
    struct slice slice;
    const char *file;

    if (!read_slice(args, &slice))
        return gdb_session_malformed(session);
    machine = annex_machine(session, slice.annex);
    file = machine ? target->ops->vm_exec_file(target->ctx, machine->vm) : NULL;
    if (!file)
        return no_document(session);
    gdb_reply_text(&document, file);
    return send_slice(session, &document, &slice);
}

static void add_collected(struct gdb_reply *to, uint64_t start, uint64_t length)
{
    if (length > 0)
        gdb_reply_printf(to, "<memory start=\"0x%llx\" length=\"0x%llx\"/>", (unsigned long long)start,
                         (unsigned long long)length);
}

/* What the frame has, memory recorded piece by piece put together again. */
static void add_blocks(struct gdb_reply *to, const struct gdb_traceframes *frames, const struct gdb_traceframe *frame)
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
            add_collected(to, start, length);
            start = block.address;
            length = 0;
        }
        length += block.length;
    }
    add_collected(to, start, length);
}

enum gdb_outcome gdb_cmd_xfer_traceframe(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_reply document = new_document(session);
    struct gdb_traceframe frame;
    struct slice slice;

    if (!read_slice(args, &slice))
        return gdb_session_malformed(session);
    if (!gdb_frame_get(session, &frame))
        return no_document(session);
    gdb_reply_text(&document, "<traceframe-info>");
    add_blocks(&document, &session->machines->trace.frames, &frame);
    gdb_reply_text(&document, "</traceframe-info>");
    return send_slice(session, &document, &slice);
}
