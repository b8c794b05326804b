/*
 * The trace buffer: what tracepoints collected, a frame a hit, the oldest first. A frame is a sequence of blocks in the
 * form of trace files (GDB manual, "Trace File Format"): registers, memory, trace state variables. The buffer has a
 * fixed size; when it is full, nothing more fits, or the oldest frames go if it is circular.
 */
#ifndef GDBSTUB_TRACEFRAMES_H
#define GDBSTUB_TRACEFRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACEBLOCK_MEMORY_MAX 0xffffu /* bytes of memory in one block: its length has 16 bits */

struct gdb_traceframes {
    uint8_t *bytes; /* a ring */
    size_t size;
    size_t first;          /* where the oldest frame begins in it */
    size_t used;           /* bytes of all frames, the open one included */
    size_t open;           /* bytes of the frame that is being made; 0: none is */
    size_t count;          /* frames, without the open one */
    uint64_t created;      /* frames ever made, those that went included */
    size_t register_bytes; /* of a block of registers */
    bool circular;
};

/* A frame; good until the buffer changes. */
struct gdb_traceframe {
    size_t index; /* from 0, the oldest */
    unsigned tracepoint;
    uint64_t rip;
    size_t at, length; /* its blocks: where they begin, counted from the oldest frame's start, and their bytes */
};

struct gdb_traceblock {
    char kind;         /* 'R', 'M' or 'V' */
    uint64_t address;  /* M */
    unsigned variable; /* V */
    size_t at, length; /* its contents */
};

/*
 * Have an empty buffer of `size` bytes for blocks of registers of `register_bytes`.
 * Returns false without memory; the buffer is as before then.
 */
bool gdb_traceframes_reset(struct gdb_traceframes *frames, size_t size, size_t register_bytes);

/* Drop all frames and free the buffer. */
void gdb_traceframes_free(struct gdb_traceframes *frames);

/* --- making a frame; each returns false when the buffer is full, and the frame is to be dropped then --- */

bool gdb_traceframes_begin(struct gdb_traceframes *frames, unsigned tracepoint, uint64_t rip);
/* To be followed by register_bytes of gdb_traceframes_add(). */
bool gdb_traceframes_add_registers(struct gdb_traceframes *frames);
bool gdb_traceframes_add(struct gdb_traceframes *frames, const void *from, size_t length);
/* `length` is GDB_TRACEBLOCK_MEMORY_MAX at most. */
bool gdb_traceframes_add_memory(struct gdb_traceframes *frames, uint64_t address, const void *from, size_t length);
bool gdb_traceframes_add_variable(struct gdb_traceframes *frames, uint32_t number, uint64_t value);

/* The frame is whole. Returns the bytes it takes. */
size_t gdb_traceframes_commit(struct gdb_traceframes *frames);

/* Forget the frame begun. */
void gdb_traceframes_drop(struct gdb_traceframes *frames);

/* --- looking at frames --- */

/* The frame with that index. False when there is none. */
bool gdb_traceframes_get(const struct gdb_traceframes *frames, size_t index, struct gdb_traceframe *frame);

/* The one behind it. False, with *frame unchanged, when there is none. */
bool gdb_traceframes_next(const struct gdb_traceframes *frames, struct gdb_traceframe *frame);

/* The block at *cursor, 0 for the first, which is moved behind it. False when there are no more. */
bool gdb_traceframes_block(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *cursor,
                           struct gdb_traceblock *block);

/* Copy contents of a block, from `at` on. */
void gdb_traceframes_copy(const struct gdb_traceframes *frames, size_t at, void *to, size_t length);

/*
 * How many of `length` bytes of memory at `address`, counted from the first, the frame has; they are copied. Fewer when
 * they lie in many pieces in no order: ask again for the rest.
 */
size_t gdb_traceframes_read_memory(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame,
                                   uint64_t address, void *to, size_t length);

/* Where the frame's registers are. False when it has none. */
bool gdb_traceframes_registers(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *at);

/* The value of a variable. False when the frame does not have it. */
bool gdb_traceframes_variable(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, unsigned number,
                              uint64_t *value);

/* Copy from all frames as they are in a trace file, from `offset` on. Returns the number of bytes, 0 behind the end. */
size_t gdb_traceframes_file(const struct gdb_traceframes *frames, uint64_t offset, uint8_t *to, size_t length);

#endif
