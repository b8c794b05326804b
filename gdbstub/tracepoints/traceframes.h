/*
 * The trace buffer: one frame per hit, oldest first. A frame is a sequence of blocks in the format of trace files (GDB
 * manual, "Trace File Format"): registers, memory, trace state variables. The buffer is a ring of fixed size. If it is
 * full, further frames are refused, or replace the oldest if it is circular.
 */
#ifndef GDBSTUB_TRACEFRAMES_H
#define GDBSTUB_TRACEFRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACEBLOCK_MEMORY_MAX 0xffffu /* bytes of memory per block, whose length has 16 bits */

struct gdb_traceframes {
    uint8_t *bytes; /* a ring */
    size_t size;
    size_t first;          /* where the oldest frame begins */
    size_t used;           /* bytes of all frames, including the open one */
    size_t open;           /* bytes of the frame under construction; 0: none */
    size_t count;          /* frames, not including the open one */
    uint64_t created;      /* frames ever committed, including overwritten ones */
    size_t register_bytes; /* of a block of registers */
    bool circular;
};

/* A frame; valid until the buffer changes. */
struct gdb_traceframe {
    size_t index; /* from 0, the oldest */
    unsigned tracepoint;
    uint64_t rip;
    size_t at, length; /* of its blocks; `at` is relative to the start of the oldest frame */
};

struct gdb_traceblock {
    char kind;         /* 'R', 'M' or 'V' */
    uint64_t address;  /* M */
    unsigned variable; /* V */
    size_t at, length; /* of its contents */
};

/*
 * Allocate an empty buffer of `size` bytes, for register blocks of `register_bytes`. Returns false without memory; the
 * buffer is unchanged then.
 */
bool gdb_traceframes_reset(struct gdb_traceframes *frames, size_t size, size_t register_bytes);

/* Delete all frames and free the buffer. */
void gdb_traceframes_free(struct gdb_traceframes *frames);

/* --- constructing a frame; each function returns false if the buffer is full, and the frame must be dropped then ---
 */

bool gdb_traceframes_begin(struct gdb_traceframes *frames, unsigned tracepoint, uint64_t rip);
/* Must be followed by gdb_traceframes_add() for register_bytes. */
bool gdb_traceframes_add_registers(struct gdb_traceframes *frames);
bool gdb_traceframes_add(struct gdb_traceframes *frames, const void *from, size_t length);
/* `length` is at most GDB_TRACEBLOCK_MEMORY_MAX. */
bool gdb_traceframes_add_memory(struct gdb_traceframes *frames, uint64_t address, const void *from, size_t length);
bool gdb_traceframes_add_variable(struct gdb_traceframes *frames, uint32_t number, uint64_t value);

/* Finish the frame. Returns its size in bytes. */
size_t gdb_traceframes_commit(struct gdb_traceframes *frames);

/* Drop the frame under construction. */
void gdb_traceframes_drop(struct gdb_traceframes *frames);

/* --- examining frames --- */

/* Get the frame with that index. Returns false if there is none. */
bool gdb_traceframes_get(const struct gdb_traceframes *frames, size_t index, struct gdb_traceframe *frame);

/* Get the frame after *frame. Returns false, with *frame unchanged, if there is none. */
bool gdb_traceframes_next(const struct gdb_traceframes *frames, struct gdb_traceframe *frame);

/* Get the block at *cursor, 0 for the first, and advance the cursor. Returns false if there are no more. */
bool gdb_traceframes_block(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *cursor,
                           struct gdb_traceblock *block);

/* Copy a block's contents from `at` on. */
void gdb_traceframes_copy(const struct gdb_traceframes *frames, size_t at, void *to, size_t length);

/*
 * Copy memory from the frame. Returns how many of `length` bytes at `address` it has, counted from the first. If they
 * are in many pieces in random order, this may be fewer than there are: ask again for the rest.
 */
size_t gdb_traceframes_read_memory(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame,
                                   uint64_t address, void *to, size_t length);

/* Find the frame's registers. Returns false if it has none. */
bool gdb_traceframes_registers(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, size_t *at);

/* Get the value of a variable: the last one that the actions recorded. Returns false if the frame has none. */
bool gdb_traceframes_variable(const struct gdb_traceframes *frames, const struct gdb_traceframe *frame, unsigned number,
                              uint64_t *value);

/* Copy from the frames in the format of a trace file, from `offset` on. Returns the number of bytes, 0 at the end. */
size_t gdb_traceframes_file(const struct gdb_traceframes *frames, uint64_t offset, uint8_t *to, size_t length);

#endif
