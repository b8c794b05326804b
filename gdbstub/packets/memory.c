/* Memory: m, M, x, X, qCRC, qSearch:memory and whose addresses they name. */
#include "packets/commands.h"

#include <string.h>

/* Bytes processed at a time. A range may be much larger: page tables can map every address to the same few pages. */
#define CHUNK 0x10000u
#define PAGE 0x1000u

struct range {
    uint64_t address, length;
};

/* Parse "ADDRESS,LENGTH". */
static bool range_parse(struct gdb_text *args, struct range *range)
{
    return gdb_text_u64(args, &range->address) && gdb_text_eat(args, ',') && gdb_text_u64(args, &range->length);
}

/* Return how many bytes of the range to process: at most `most`, and not beyond the top of the address space. */
static size_t range_clip(const struct range *range, size_t most)
{
    uint64_t to_top = 0 - range->address;
    uint64_t length = range->length;

    if (range->address != 0 && length > to_top)
        length = to_top;
    return length < most ? (size_t)length : most;
}

static enum gdb_outcome memory_no_access(struct gdb_session *session, uint64_t address)
{
    if (session->traceframe_selected)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "nothing was collected at address 0x%llx",
                                (unsigned long long)address);
    return gdb_session_fail(session, GDB_ERROR_MEMORY, "no memory at %s address 0x%llx",
                            session->physical ? "physical" : "virtual", (unsigned long long)address);
}

/* Copy from the guest; *done is as in ops->read_memory(). Returns false if nothing could be read. */
static bool memory_read(struct gdb_session *session, uint64_t address, void *to, size_t length, size_t *done)
{
    const struct mh_debug_target *target = session->machines->target;

    if (session->traceframe_selected)
        return gdb_frame_read_memory(session, address, to, length, done);
    *done = 0;
    return target->ops->read_memory(target->ctx, session->g_thread->vm, gdb_session_space(session), address, to, length,
                                    done) == MH_OK;
}

/* Append the readable part of a range's first `most` bytes to the reply, written by `put`. */
static enum gdb_outcome memory_reply(struct gdb_session *session, const struct range *range, size_t most,
                                     void (*put)(struct gdb_reply *reply, const void *bytes, size_t length))
{
    size_t length = range_clip(range, most), done;
    void *stage = gdb_reply_stage(&session->out, &length);

    if (!memory_read(session, range->address, stage, length, &done))
        return memory_no_access(session, range->address);
    put(&session->out, stage, done);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_read_memory(struct gdb_session *session, struct gdb_text args)
{
    struct range range;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    /* an empty reply would mean that the packet is not supported */
    if (!range_parse(&args, &range) || !gdb_text_empty(&args) || range.length == 0)
        return gdb_session_malformed(session);
    return memory_reply(session, &range, GDB_PACKET_SIZE / 2, gdb_reply_hex);
}

enum gdb_outcome gdb_cmd_read_memory_binary(struct gdb_session *session, struct gdb_text args)
{
    struct range range;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!range_parse(&args, &range) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    gdb_reply_char(&session->out, 'b');
    return memory_reply(session, &range, GDB_PACKET_SIZE - 1, gdb_reply_binary);
}

static enum gdb_outcome memory_write(struct gdb_session *session, const struct range *range, const void *from)
{
    const struct mh_debug_target *target = session->machines->target;
    size_t length = range_clip(range, (size_t)range->length), done = 0;

    if (session->traceframe_selected)
        return gdb_frame_unchangeable(session);
    enum mh_status status = target->ops->write_memory(target->ctx, session->g_thread->vm, gdb_session_space(session),
                                                      range->address, from, length, &done);
    if (status != MH_OK || done < range->length)
        return memory_no_access(session, range->address + done);
    return gdb_session_ok(session);
}

/* Parse what comes before the data of M and X. */
static bool range_parse_write_head(struct gdb_text *args, struct range *range)
{
    return range_parse(args, range) && gdb_text_eat(args, ':');
}

enum gdb_outcome gdb_cmd_write_memory(struct gdb_session *session, struct gdb_text args)
{
    struct range range;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!range_parse_write_head(&args, &range) || range.length > GDB_SCRATCH_SIZE ||
        gdb_text_length(&args) != 2 * range.length ||
        !gdb_hex_decode(session->scratch, args.at, gdb_text_length(&args)))
        return gdb_session_malformed(session);
    return memory_write(session, &range, session->scratch);
}

enum gdb_outcome gdb_cmd_write_memory_binary(struct gdb_session *session, struct gdb_text args)
{
    struct range range;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!range_parse_write_head(&args, &range) || gdb_text_length(&args) != range.length)
        return gdb_session_malformed(session);
    return memory_write(session, &range, args.at);
}

/* CRC-32 with polynomial 0x04c11db7, most significant bit first, without inversion, as for "compare-sections". */
static uint32_t crc_add(uint32_t crc, const uint8_t *bytes, size_t length)
{
    static const uint32_t of_nibble[16] = {
        0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9, 0x130476dc, 0x17c56b6b, 0x1a864db2, 0x1e475005,
        0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61, 0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd,
    };

    for (size_t i = 0; i < length; i++) {
        crc = crc << 4 ^ of_nibble[(crc >> 28 ^ bytes[i] >> 4) & 15];
        crc = crc << 4 ^ of_nibble[(crc >> 28 ^ bytes[i]) & 15];
    }
    return crc;
}

enum gdb_outcome gdb_cmd_crc(struct gdb_session *session, struct gdb_text args)
{
    struct range range;
    uint32_t crc = 0xffffffff;
    size_t done;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!range_parse(&args, &range) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    while (range.length > 0) {
        size_t length = range_clip(&range, CHUNK);

        if (!memory_read(session, range.address, session->scratch, length, &done) || done < length)
            return memory_no_access(session, range.address + done);
        crc = crc_add(crc, session->scratch, done);
        range.address += done;
        range.length -= done;
        if (range.length > 0 && !gdb_session_poll(session))
            return GDB_SILENT;
    }
    gdb_reply_printf(&session->out, "C%x", crc);
    return GDB_REPLY;
}

#define REGIONS_MAX 64u

/* The region of guest-physical memory that contains `address`, or the gap that does. */
static struct mh_region memory_physical_region(const struct gdb_session *session, uint64_t address)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_memory_region map[REGIONS_MAX];
    unsigned count = target->ops->memory_map(target->ctx, session->g_thread->vm, map, REGIONS_MAX);
    struct mh_region region = {.mapped = false};

    for (unsigned i = 0; i < count && i < REGIONS_MAX; i++) {
        if (address < map[i].start) {
            region.length = map[i].start - region.start;
            return region;
        }
        if (address - map[i].start < map[i].length)
            return (struct mh_region){map[i].start, map[i].length, true, true, true, true};
        region.start = map[i].start + map[i].length;
    }
    region.length = 0 - region.start;
    return region;
}

/* The region that contains `address`, in the address space of memory packets. */
static struct mh_region memory_region_around(const struct gdb_session *session, uint64_t address)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_region region;

    if (session->physical)
        return memory_physical_region(session, address);
    target->ops->memory_region(target->ctx, session->g_thread->vm, address, &region);
    return region;
}

/* What has no memory is skipped, so that a pattern behind it is found; a match has to lie in one piece of memory. */
struct search {
    struct range range;      /* what is left */
    struct mh_region region; /* around the last address without memory; a length of 0 from 0 on: not known yet */
    bool has_read;           /* something of the range is memory */
};

/* Step over the hole in memory at `hole`. Returns false if the search ends there. */
static bool search_skip_hole(struct gdb_session *session, struct search *search, uint64_t hole)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_region *region = &search->region;

    if (session->traceframe_selected || target->ops->memory_region == NULL)
        return false;
    if (hole - region->start >= region->length)
        *region = memory_region_around(session, hole);
    /* pages may be mapped to where no memory is */
    uint64_t next = region->mapped ? (hole | (PAGE - 1)) + 1 : region->start + region->length;
    uint64_t skipped = next - search->range.address;
    if (next == 0 || skipped >= search->range.length)
        search->range.length = 0;
    else
        search->range = (struct range){next, search->range.length - skipped};
    return true;
}

/* Look at one chunk. Returns false if the reply is made, or an error. */
static bool search_chunk(struct gdb_session *session, struct search *search, const struct gdb_text *pattern)
{
    struct range *range = &search->range;
    size_t pattern_length = gdb_text_length(pattern);
    size_t length = range_clip(range, CHUNK + pattern_length), done;
    bool readable = memory_read(session, range->address, session->scratch, length, &done);
    const uint8_t *found = memmem(session->scratch, done, pattern->at, pattern_length);

    search->has_read |= readable && done > 0;
    if (found != NULL) {
        gdb_reply_printf(&session->out, "1,%llx",
                         (unsigned long long)(range->address + (uint64_t)(found - session->scratch)));
        return false;
    }
    if (!readable || done < length) {
        if (search_skip_hole(session, search, range->address + done))
            return true;
        memory_no_access(session, range->address + done);
        return false;
    }
    uint64_t step = length < CHUNK + pattern_length ? range->length : CHUNK;
    range->address += step;
    range->length -= step;
    return true;
}

/* Search the range chunk by chunk and make the reply. Chunks overlap, because a match may cross their boundary. */
static enum gdb_outcome memory_search(struct gdb_session *session, struct range range, const struct gdb_text *pattern)
{
    struct search search = {.range = range};

    while (search.range.length >= gdb_text_length(pattern)) {
        if (!search_chunk(session, &search, pattern))
            return GDB_REPLY;
        if (search.range.length > 0 && !gdb_session_poll(session))
            return GDB_SILENT;
    }
    if (!search.has_read && range.length >= gdb_text_length(pattern))
        return memory_no_access(session, range.address);
    gdb_reply_char(&session->out, '0');
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_search(struct gdb_session *session, struct gdb_text args)
{
    struct range range;

    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!gdb_text_u64(&args, &range.address) || !gdb_text_eat(&args, ';') || !gdb_text_u64(&args, &range.length) ||
        !gdb_text_eat(&args, ';') || gdb_text_empty(&args) || gdb_text_length(&args) > GDB_SCRATCH_SIZE - CHUNK)
        return gdb_session_malformed(session);
    return memory_search(session, range, &args);
}

enum gdb_outcome gdb_cmd_set_physical(struct gdb_session *session, struct gdb_text args)
{
    if (!gdb_text_is(&args, "0") && !gdb_text_is(&args, "1"))
        return gdb_session_malformed(session);
    session->physical = *args.at == '1';
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_get_physical(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    gdb_reply_char(&session->out, session->physical ? '1' : '0');
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_memory_region(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_region region;
    uint64_t address;

    if (target->ops->memory_region == NULL)
        return gdb_cmd_unknown(session, args);
    if (gdb_session_machine(session) == NULL)
        return GDB_REPLY;
    if (!gdb_text_u64(&args, &address) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    region = memory_region_around(session, address);
    /* lldb walks from region to region until one ends at the highest address, which must not wrap around to 0 */
    if (region.start + region.length == 0)
        region.length = UINT64_MAX - region.start;
    gdb_reply_printf(&session->out, "start:%llx;size:%llx;", (unsigned long long)region.start,
                     (unsigned long long)region.length);
    if (region.mapped)
        gdb_reply_printf(&session->out, "permissions:%s%s%s;", region.readable ? "r" : "", region.writable ? "w" : "",
                         region.executable ? "x" : "");
    return GDB_REPLY;
}
