#include "replay/port_log.h"

#include "mh/guest_abi.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "answers are stored as they are in memory");
_Static_assert(sizeof(struct port_answer) == 32, "the form of answers in files");
_Static_assert(sizeof(struct port_interrupt) == 24, "the form of interrupts in files");

void port_log_free(struct port_log *log)
{
    free(log->bytes);
    *log = (struct port_log){.bytes = NULL};
}

struct port_cursor port_log_end(const struct port_log *log)
{
    return (struct port_cursor){
        .offset = log->dropped + log->length, .access = log->accesses, .answered = log->answered};
}

/* The bytes at an offset that is kept. */
static const uint8_t *port_log_at(const struct port_log *log, size_t offset)
{
    return log->bytes + (offset - log->dropped);
}

bool port_log_is_at_end(const struct port_log *log, const struct port_cursor *cursor)
{
    return cursor->access == log->accesses;
}

/* Accesses that have no number: see the head of the header. */
static bool port_log_ignores(const struct cpu_exit *exit)
{
    return exit->port == MH_PORT_SERIAL && !exit->is_in;
}

/* ---- recording ---- */

static bool port_log_make_room(struct port_log *log, size_t length)
{
    size_t capacity = log->capacity == 0 ? 4096 : log->capacity;
    while (capacity - log->length < length)
        capacity *= 2;
    if (capacity == log->capacity)
        return true;
    uint8_t *grown = realloc(log->bytes, capacity);
    if (grown == NULL)
        return false;
    log->bytes = grown;
    log->capacity = capacity;
    return true;
}

static void port_log_append(struct port_log *log, const void *bytes, size_t length)
{
    if (log->failed || length == 0)
        return;
    log->failed = !port_log_make_room(log, length);
    if (log->failed)
        return;
    memcpy(log->bytes + log->length, bytes, length);
    log->length += length;
}

/* The writes come first, while the head is not known yet: port_log_finish() puts the head in front of them. */
void port_log_begin(struct port_log *log)
{
    log->start = log->length;
    log->writes = 0;
}

void port_log_wrote(struct port_log *log, mh_gpa start, const void *bytes, size_t length)
{
    const struct port_write write = {.start = start.v, .length = length};
    port_log_append(log, &write, sizeof write);
    port_log_append(log, bytes, length);
    log->writes++;
}

void port_log_cancel(struct port_log *log)
{
    log->length = log->start;
}

/* Insert the head and what belongs to it before the writes. */
static void port_log_insert_head(struct port_log *log, const struct port_answer *head, const void *data,
                                 const char *name)
{
    const size_t written = log->length - log->start;
    const size_t front = 1 + sizeof *head + head->data_length + head->name_length;
    if (!log->failed)
        log->failed = !port_log_make_room(log, front);
    if (log->failed)
        return;
    uint8_t *at = log->bytes + log->start;
    memmove(at + front, at, written);
    *at++ = PORT_ANSWER_WHOLE;
    memcpy(at, head, sizeof *head);
    memcpy(at + sizeof *head, data, head->data_length);
    memcpy(at + sizeof *head + head->data_length, name, head->name_length);
    log->length += front;
}

static bool port_log_is_byte(const struct cpu_exit *exit)
{
    return exit->is_in && exit->port == MH_PORT_SERIAL && exit->width == 1;
}

/* One repetition, the one with the data at `data`. */
static void port_log_finish_one(struct port_log *log, const struct cpu_exit *exit, const uint8_t *data,
                                const struct mh_event *file)
{
    log->accesses++;
    if (!exit->is_in && log->writes == 0 && file->op == 0)
        return;
    if (port_log_is_byte(exit) && log->writes == 0 && log->answered + 1 == log->accesses) {
        const uint8_t answer[] = {PORT_ANSWER_BYTE, *data};
        port_log_append(log, answer, sizeof answer);
        log->answered += !log->failed;
        return;
    }
    const struct port_answer head = {.access = log->accesses,
                                     .file_result = file->op == 0 ? 0 : file->result,
                                     .data_length = exit->is_in ? exit->width : 0,
                                     .writes = (uint32_t)log->writes,
                                     .port = exit->port,
                                     .name_length = file->op == 0 ? 0 : (uint16_t)(strlen(file->name) + 1),
                                     .width = exit->width,
                                     .file_op = file->op,
                                     .is_in = exit->is_in};
    port_log_insert_head(log, &head, data, file->op == 0 ? "" : file->name);
    if (log->failed)
        port_log_cancel(log);
    else
        log->answered = log->accesses;
}

/* What a string instruction did to guest memory belongs to its first repetition. */
void port_log_finish(struct port_log *log, const struct cpu_exit *exit, const struct mh_event *file)
{
    static const struct mh_event none = {.op = 0};
    if (port_log_ignores(exit))
        return;
    for (uint32_t i = 0; i < exit->count; i++) {
        port_log_finish_one(log, exit, exit->data + (size_t)i * exit->width, i == 0 ? file : &none);
        port_log_begin(log);
    }
}

void port_log_interrupt(struct port_log *log, uint64_t printed, bool at_halt, uint8_t vector)
{
    uint8_t bytes[1 + sizeof(struct port_interrupt)] = {PORT_INTERRUPT};
    const struct port_interrupt interrupt = {
        .access = log->accesses, .printed = printed, .vector = vector, .at_halt = at_halt};
    memcpy(bytes + 1, &interrupt, sizeof interrupt);
    port_log_append(log, bytes, sizeof bytes);
    port_log_begin(log);
}

void port_log_drop_answers(struct port_log *log)
{
    if (log->start == 0)
        return;
    memmove(log->bytes, log->bytes + log->start, log->length - log->start);
    log->length -= log->start;
    log->start = 0;
}

void port_log_cut(struct port_log *log, const struct port_cursor *cursor)
{
    log->length = cursor->offset - log->dropped;
    log->accesses = cursor->access;
    log->answered = cursor->answered;
    port_log_begin(log);
}

void port_log_drop_before(struct port_log *log, const struct port_cursor *cursor)
{
    const size_t length = cursor->offset - log->dropped;
    if (length == 0)
        return;
    memmove(log->bytes, log->bytes + length, log->length - length);
    log->length -= length;
    log->dropped += length;
}

/* ---- replaying ---- */

static bool port_log_same_access(const struct port_answer *head, const struct cpu_exit *exit)
{
    return head->port == exit->port && head->width == exit->width && (head->is_in != 0) == exit->is_in;
}

/* Do the writes again. Returns the offset behind them. */
static size_t port_log_write_again(const struct port_log *log, size_t offset, uint32_t writes, struct guest_ram *ram)
{
    for (uint32_t i = 0; i < writes; i++) {
        struct port_write write;
        memcpy(&write, port_log_at(log, offset), sizeof write);
        offset += sizeof write;
        void *to = ram_at(ram, mh_gpa_of(write.start), write.length);
        if (to != NULL)
            ram_put(ram, to, port_log_at(log, offset), write.length);
        offset += write.length;
    }
    return offset;
}

/* The interrupt at the cursor; false when there is none. */
static bool port_log_peek_interrupt(const struct port_log *log, const struct port_cursor *cursor,
                                    struct port_interrupt *interrupt)
{
    if (cursor->offset >= log->dropped + log->length || *port_log_at(log, cursor->offset) != PORT_INTERRUPT)
        return false;
    memcpy(interrupt, port_log_at(log, cursor->offset) + 1, sizeof *interrupt);
    return true;
}

bool port_log_replay_interrupt(const struct port_log *log, struct port_cursor *cursor, uint64_t printed, bool at_halt,
                               uint8_t *vector)
{
    struct port_interrupt interrupt;
    if (!port_log_peek_interrupt(log, cursor, &interrupt) || interrupt.access != cursor->access ||
        interrupt.printed != printed || (interrupt.at_halt != 0) != at_halt)
        return false;
    cursor->offset += 1 + sizeof interrupt;
    *vector = interrupt.vector;
    return true;
}

/* The number of the access whose answer is at the cursor, 0 when there is none; *head when that is a whole one. */
static uint64_t port_log_peek(const struct port_log *log, const struct port_cursor *cursor, struct port_answer *head)
{
    if (cursor->offset >= log->dropped + log->length)
        return 0;
    const uint8_t *at = port_log_at(log, cursor->offset);
    if (*at == PORT_ANSWER_BYTE) {
        *head = (struct port_answer){.port = MH_PORT_SERIAL, .width = 1, .is_in = 1, .data_length = 1};
        return cursor->answered + 1;
    }
    memcpy(head, at + 1, sizeof *head);
    return head->access;
}

static enum port_replay port_log_replay_one(const struct port_log *log, struct port_cursor *cursor,
                                            const struct cpu_exit *exit, uint8_t *data, struct guest_ram *ram,
                                            struct mh_event *file)
{
    struct port_answer head = {.access = 0};
    struct port_interrupt interrupt;
    if (port_log_is_at_end(log, cursor))
        return PORT_REPLAY_ENDED;
    bool is_interrupted = port_log_peek_interrupt(log, cursor, &interrupt);
    if (is_interrupted && interrupt.access == cursor->access) /* it came before this access */
        return PORT_REPLAY_DIFFERS;
    bool has_answer = !is_interrupted && port_log_peek(log, cursor, &head) == cursor->access + 1;
    if (has_answer ? !port_log_same_access(&head, exit) : exit->is_in)
        return PORT_REPLAY_DIFFERS;
    cursor->access++;
    if (!has_answer)
        return PORT_REPLAYED;
    const bool is_byte = *port_log_at(log, cursor->offset) == PORT_ANSWER_BYTE;
    size_t offset = cursor->offset + (is_byte ? 1 : 1 + sizeof head);
    memcpy(data, port_log_at(log, offset), head.data_length);
    offset += head.data_length;
    if (head.file_op != 0) {
        file->op = head.file_op;
        file->result = head.file_result;
        file->name = (const char *)port_log_at(log, offset);
    }
    offset += head.name_length;
    cursor->offset = port_log_write_again(log, offset, head.writes, ram);
    cursor->answered = cursor->access;
    return PORT_REPLAYED;
}

enum port_replay port_log_replay(const struct port_log *log, struct port_cursor *cursor, const struct cpu_exit *exit,
                                 struct guest_ram *ram, struct mh_event *file)
{
    const struct port_cursor before = *cursor;
    enum port_replay result = PORT_REPLAYED;
    file->op = 0;
    if (port_log_ignores(exit))
        return PORT_REPLAYED;
    for (uint32_t i = 0; i < exit->count && result == PORT_REPLAYED; i++)
        result = port_log_replay_one(log, cursor, exit, exit->data + (size_t)i * exit->width, ram, file);
    if (result != PORT_REPLAYED)
        *cursor = before;
    return result;
}

/* ---- logs from elsewhere ---- */

/* What is left of a piece. */
struct port_piece {
    const uint8_t *at;
    size_t left;
};

/* The next `length` bytes; NULL when there are not so many. */
static const uint8_t *port_piece_take(struct port_piece *piece, uint64_t length)
{
    const uint8_t *taken = piece->at;
    if (length > piece->left)
        return NULL;
    piece->at += length;
    piece->left -= (size_t)length;
    return taken;
}

static bool port_log_head_is_sound(const struct port_answer *head, uint64_t previous, uint64_t accesses)
{
    bool is_width = head->width == 1 || head->width == 2 || head->width == 4;
    bool is_answer = head->is_in || head->writes > 0 || head->file_op != 0;
    return head->access > previous && head->access <= accesses && is_width && head->is_in <= 1 && head->zero == 0 &&
           is_answer && head->data_length == (head->is_in ? head->width : 0u) && head->file_op <= MH_FILE_SIZE &&
           (head->file_op != 0) == (head->name_length != 0) && head->name_length <= MH_FILE_NAME_MAX + 1 &&
           (head->is_in || head->port != MH_PORT_SERIAL);
}

static bool port_log_name_is_sound(const uint8_t *name, size_t length)
{
    return length == 0 || (const uint8_t *)memchr(name, '\0', length) == name + length - 1;
}

static bool port_log_take_writes(struct port_piece *piece, uint32_t writes, const struct guest_ram *ram)
{
    for (uint32_t i = 0; i < writes; i++) {
        struct port_write write;
        const uint8_t *at = port_piece_take(piece, sizeof write);
        if (at == NULL)
            return false;
        memcpy(&write, at, sizeof write);
        if (ram_at(ram, mh_gpa_of(write.start), write.length) == NULL || port_piece_take(piece, write.length) == NULL)
            return false;
    }
    return true;
}

/* Where in the accesses a check stands: the last one with an answer, and the bounds of those that may have one. */
struct port_bounds {
    uint64_t last, from, accesses;
};

static bool port_log_take_byte(struct port_piece *piece, struct port_bounds *bounds)
{
    bounds->last++;
    return port_piece_take(piece, 1) != NULL && bounds->last > bounds->from && bounds->last <= bounds->accesses;
}

static bool port_log_take_whole(struct port_piece *piece, struct port_bounds *bounds, const struct guest_ram *ram)
{
    struct port_answer head;
    const uint8_t *at = port_piece_take(piece, sizeof head);
    if (at == NULL)
        return false;
    memcpy(&head, at, sizeof head);
    const uint64_t before = bounds->last > bounds->from ? bounds->last : bounds->from;
    if (!port_log_head_is_sound(&head, before, bounds->accesses) || port_piece_take(piece, head.data_length) == NULL)
        return false;
    const uint8_t *name = port_piece_take(piece, head.name_length);
    if (name == NULL || !port_log_name_is_sound(name, head.name_length))
        return false;
    bounds->last = head.access;
    return port_log_take_writes(piece, head.writes, ram);
}

#define FIRST_INTERRUPT 32u /* vectors before it are exceptions */

/* It belongs behind the last answer, and the answers that follow belong behind it. */
static bool port_log_take_interrupt(struct port_piece *piece, struct port_bounds *bounds)
{
    struct port_interrupt interrupt;
    const uint8_t *at = port_piece_take(piece, sizeof interrupt);
    if (at == NULL)
        return false;
    memcpy(&interrupt, at, sizeof interrupt);
    if (interrupt.access < bounds->last || interrupt.access < bounds->from || interrupt.access > bounds->accesses ||
        interrupt.at_halt > 1 || (interrupt.vector == 0 && interrupt.at_halt == 0) ||
        (interrupt.vector != 0 && interrupt.vector < FIRST_INTERRUPT))
        return false;
    bounds->from = interrupt.access;
    return true;
}

static bool port_log_take_answer(struct port_piece *piece, struct port_bounds *bounds, const struct guest_ram *ram)
{
    const uint8_t *kind = port_piece_take(piece, 1);
    if (kind == NULL || *kind > PORT_INTERRUPT)
        return false;
    if (*kind == PORT_INTERRUPT)
        return port_log_take_interrupt(piece, bounds);
    return *kind == PORT_ANSWER_BYTE ? port_log_take_byte(piece, bounds) : port_log_take_whole(piece, bounds, ram);
}

bool port_log_append_foreign(struct port_log *log, const uint8_t *bytes, size_t length, uint64_t accesses,
                             const struct guest_ram *ram)
{
    struct port_piece piece = {.at = bytes, .left = length};
    struct port_bounds bounds = {.last = log->answered, .from = log->accesses, .accesses = accesses};
    if (accesses < log->accesses)
        return false;
    while (piece.left > 0) {
        if (!port_log_take_answer(&piece, &bounds, ram))
            return false;
    }
    port_log_append(log, bytes, length);
    if (log->failed)
        return false;
    log->accesses = accesses;
    if (length > 0)
        log->answered = bounds.last;
    return true;
}
