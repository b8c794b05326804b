#include "tracepoints/traceframes.h"

#include <stdlib.h>
#include <string.h>

/* The header of a frame in the ring. */
struct head {
    uint64_t rip;
    uint32_t length, tracepoint;
};

#define FILE_HEAD 6u       /* the header of a frame in a trace file: tracepoint (2 bytes), length (4) */
#define MEMORY_HEAD 11u    /* 'M', address, length */
#define VARIABLE_BLOCK 13u /* 'V', number, value */

bool gdb_traceframes_reset(struct gdb_traceframes *frames, size_t size, size_t register_bytes)
{
    bool circular = frames->circular;
    uint8_t *bytes = malloc(size);

    if (bytes == NULL)
        return false;
    free(frames->bytes);
    *frames =
        (struct gdb_traceframes){.bytes = bytes, .size = size, .register_bytes = register_bytes, .circular = circular};
    return true;
}

void gdb_traceframes_free(struct gdb_traceframes *frames)
{
    free(frames->bytes);
    *frames = (struct gdb_traceframes){.circular = frames->circular};
}

/* --- the ring: places are counted from the start of the oldest frame --- */

static void frames_put(struct gdb_traceframes *frames, size_t at, const void *from, size_t length)
{
    size_t start = (frames->first + at) % frames->size, to_end = frames->size - start;
    size_t part = length < to_end ? length : to_end;

    memcpy(frames->bytes + start, from, part);
    memcpy(frames->bytes, (const uint8_t *)from + part, length - part);
}

void gdb_traceframes_copy(const struct gdb_traceframes *frames, size_t at, void *to, size_t length)
{
    size_t start, to_end, part;

    if (length == 0)
        return;
    start = (frames->first + at) % frames->size;
    to_end = frames->size - start;
    part = length < to_end ? length : to_end;
    memcpy(to, frames->bytes + start, part);
    memcpy((uint8_t *)to + part, frames->bytes, length - part);
}

/* --- constructing frames --- */

static void frames_drop_oldest(struct gdb_traceframes *frames)
{
    struct head head;

    gdb_traceframes_copy(frames, 0, &head, sizeof head);
    size_t length = sizeof head + head.length;
    frames->first = (frames->first + length) % frames->size;
    frames->used -= length;
    frames->count--;
}

bool gdb_traceframes_add(struct gdb_traceframes *frames, const void *from, size_t length)
{
    while (frames->size - frames->used < length) {
        if (!frames->circular || frames->count == 0)
            return false;
        frames_drop_oldest(frames);
    }
    frames_put(frames, frames->used, from, length);
    frames->used += length;
    frames->open += length;
    return true;
}

bool gdb_traceframes_begin(struct gdb_traceframes *frames, unsigned tracepoint, uint64_t rip)
{
    const struct head head = {.rip = rip, .tracepoint = tracepoint};

    return gdb_traceframes_add(frames, &head, sizeof head);
}

bool gdb_traceframes_add_registers(struct gdb_traceframes *frames)
{
    return gdb_traceframes_add(frames, "R", 1);
}

bool gdb_traceframes_add_memory(struct gdb_traceframes *frames, uint64_t address, const void *from, size_t length)
{
    uint16_t short_length = (uint16_t)length;
    uint8_t head[MEMORY_HEAD] = {'M'};

    memcpy(head + 1, &address, sizeof address);
    memcpy(head + 9, &short_length, sizeof short_length);
    return gdb_traceframes_add(frames, head, sizeof head) && gdb_traceframes_add(frames, from, length);
}

bool gdb_traceframes_add_variable(struct gdb_traceframes *frames, uint32_t number, uint64_t value)
{
    uint8_t block[VARIABLE_BLOCK] = {'V'};

    memcpy(block + 1, &number, sizeof number);
    memcpy(block + 5, &value, sizeof value);
    return gdb_traceframes_add(frames, block, sizeof block);
}

size_t gdb_traceframes_commit(struct gdb_traceframes *frames)
{
    size_t at = frames->used - frames->open, length = frames->open;
    struct head head;

    gdb_traceframes_copy(frames, at, &head, sizeof head);
    head.length = (uint32_t)(length - sizeof head);
    frames_put(frames, at, &head, sizeof head);
    frames->open = 0;
    frames->count++;
    frames->created++;
    return length;
}

void gdb_traceframes_drop(struct gdb_traceframes *frames)
{
    frames->used -= frames->open;
    frames->open = 0;
}

/* --- examining frames --- */

static void frame_read(const struct gdb_traceframes *frames, size_t at, struct gdb_traceframe *frame)
{
    struct head head;

    gdb_traceframes_copy(frames, at, &head, sizeof head);
    frame->tracepoint = head.tracepoint;
    frame->rip = head.rip;
    frame->at = at + sizeof head;
    frame->length = head.length;
}

bool gdb_traceframes_next(const struct gdb_traceframes *frames, struct gdb_traceframe *frame)
{
    if (frame->index + 1 >= frames->count)
        return false;
    frame_read(frames, frame->at + frame->length, frame);
    frame->index++;
    return true;
}

bool gdb_traceframes_get(const struct gdb_traceframes *frames, size_t index, struct gdb_traceframe *frame)
{
    if (index >= frames->count)
        return false;
    frame_read(frames, 0, frame);
    frame->index = 0;
    while (frame->index < index)
        gdb_traceframes_next(frames, frame);
    return true;
}

bool gdb_traceframes_block(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *cursor,
                           struct gdb_traceblock *block)
{
    size_t at = frame->at + *cursor;
    uint8_t head[MEMORY_HEAD];
    uint16_t length;
    uint32_t number;

    if (*cursor >= frame->length)
        return false;
    gdb_traceframes_copy(frames, at, head, 1);
    *block = (struct gdb_traceblock){.kind = (char)head[0], .at = at + 1, .length = frames->register_bytes};
    if (block->kind == 'M') {
        gdb_traceframes_copy(frames, at, head, MEMORY_HEAD);
        memcpy(&block->address, head + 1, sizeof block->address);
        memcpy(&length, head + 9, sizeof length);
        block->at = at + MEMORY_HEAD;
        block->length = length;
    } else if (block->kind == 'V') {
        gdb_traceframes_copy(frames, at + 1, &number, sizeof number);
        block->variable = number;
        block->at = at + VARIABLE_BLOCK - sizeof(uint64_t);
        block->length = sizeof(uint64_t);
    }
    *cursor = block->at + block->length - frame->at;
    return true;
}

/* Copy the bytes from `address` on that the block has. Returns how many. */
static size_t block_read(const struct gdb_traceframes *frames, const struct gdb_traceblock *block, uint64_t address,
                         uint8_t *to, size_t length)
{
    uint64_t skip = address - block->address;

    if (block->kind != 'M' || skip >= block->length)
        return 0;
    if (length > block->length - skip)
        length = block->length - (size_t)skip;
    gdb_traceframes_copy(frames, block->at + (size_t)skip, to, length);
    return length;
}

/* Blocks may be in any order, and there may be millions of one byte each, so the search is bounded. */
#define PASSES_MAX 16u

size_t gdb_traceframes_read_memory(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame,
                                   uint64_t address, void *to, size_t length)
{
    size_t done = 0, before;
    unsigned passes = 0;

    do {
        struct gdb_traceblock block;
        size_t cursor = 0;

        before = done;
        while (done < length && gdb_traceframes_block(frames, frame, &cursor, &block))
            done += block_read(frames, &block, address + done, (uint8_t *)to + done, length - done);
    } while (done > before && done < length && ++passes < PASSES_MAX);
    return done;
}

bool gdb_traceframes_registers(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *at)
{
    struct gdb_traceblock block;
    size_t cursor = 0;

    while (gdb_traceframes_block(frames, frame, &cursor, &block)) {
        *at = block.at;
        if (block.kind == 'R')
            return true;
    }
    return false;
}

bool gdb_traceframes_variable(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, unsigned number,
                              uint64_t *value)
{
    struct gdb_traceblock block;
    size_t cursor = 0;
    bool found = false;

    while (gdb_traceframes_block(frames, frame, &cursor, &block)) {
        if (block.kind != 'V' || block.variable != number)
            continue;
        gdb_traceframes_copy(frames, block.at, value, sizeof *value);
        found = true;
    }
    return found;
}

/* --- as a file --- */

/* Copy a frame in its file format from `offset` on. Returns the number of bytes. */
static size_t frame_copy(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t offset,
                         uint8_t *to, size_t length)
{
    uint16_t tracepoint = (uint16_t)frame->tracepoint;
    uint32_t frame_length = (uint32_t)frame->length;
    uint8_t head[FILE_HEAD];
    size_t done = 0, left;

    memcpy(head, &tracepoint, sizeof tracepoint);
    memcpy(head + sizeof tracepoint, &frame_length, sizeof frame_length);
    for (; offset < FILE_HEAD && done < length; offset++)
        to[done++] = head[offset];
    if (offset < FILE_HEAD)
        return done;
    left = FILE_HEAD + frame->length - offset;
    if (left > length - done)
        left = length - done;
    gdb_traceframes_copy(frames, frame->at + offset - FILE_HEAD, to + done, left);
    return done + left;
}

size_t gdb_traceframes_file(const struct gdb_traceframes *frames, uint64_t offset, uint8_t *to, size_t length)
{
    struct gdb_traceframe frame;
    size_t done = 0;

    if (!gdb_traceframes_get(frames, 0, &frame))
        return 0;
    do {
        size_t size = FILE_HEAD + frame.length, part;

        if (offset >= size) {
            offset -= size;
            continue;
        }
        part = frame_copy(frames, &frame, (size_t)offset, to + done, length - done);
        done += part;
        offset = 0;
    } while (done < length && gdb_traceframes_next(frames, &frame));
    return done;
}
