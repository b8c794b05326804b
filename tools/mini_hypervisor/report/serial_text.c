#include "report/serial_text.h"

#include <string.h>

void serial_text_add(struct serial_text *text, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        const uint64_t behind = text->total < SERIAL_TEXT_FIRST ? 0 : text->total - SERIAL_TEXT_FIRST;
        uint8_t *to =
            text->total < SERIAL_TEXT_FIRST ? text->first + text->total : text->last + behind % SERIAL_TEXT_LAST;
        const size_t room = text->total < SERIAL_TEXT_FIRST ? (size_t)(SERIAL_TEXT_FIRST - text->total)
                                                            : (size_t)(SERIAL_TEXT_LAST - behind % SERIAL_TEXT_LAST);
        const size_t piece = length < room ? length : room;
        memcpy(to, bytes, piece);
        text->total += piece;
        bytes += piece;
        length -= piece;
    }
}

uint64_t serial_text_pieces(const struct serial_text *text, struct serial_piece pieces[3])
{
    const uint64_t behind = text->total < SERIAL_TEXT_FIRST ? 0 : text->total - SERIAL_TEXT_FIRST;
    pieces[0] = (struct serial_piece){text->first, (size_t)(text->total - behind)};
    pieces[1] = (struct serial_piece){text->last, (size_t)behind};
    pieces[2] = (struct serial_piece){text->last, 0};
    if (behind <= SERIAL_TEXT_LAST)
        return 0;
    const size_t oldest = (size_t)(behind % SERIAL_TEXT_LAST);
    pieces[1] = (struct serial_piece){text->last + oldest, SERIAL_TEXT_LAST - oldest};
    pieces[2] = (struct serial_piece){text->last, oldest};
    return behind - SERIAL_TEXT_LAST;
}
