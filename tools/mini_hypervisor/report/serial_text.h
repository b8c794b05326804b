/* The bytes of a serial port in one direction: of many, the first and the last. */
#ifndef MH_TOOL_REPORT_SERIAL_TEXT_H
#define MH_TOOL_REPORT_SERIAL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define SERIAL_TEXT_FIRST 131072u
#define SERIAL_TEXT_LAST 65536u

/* All zero at the start. It is large: see pages.h. */
struct serial_text {
    uint64_t total;
    uint8_t first[SERIAL_TEXT_FIRST];
    uint8_t last[SERIAL_TEXT_LAST]; /* a ring of what came after `first` */
};

void serial_text_add(struct serial_text *text, const uint8_t *bytes, size_t length);

/*
 * What is kept, in up to three pieces: the first, and, from before the end of the ring and from its beginning, the
 * last. Returns how many bytes between the first and the second piece are missing.
 */
struct serial_piece {
    const uint8_t *bytes;
    size_t length;
};

uint64_t serial_text_pieces(const struct serial_text *text, struct serial_piece pieces[3]);

#endif
