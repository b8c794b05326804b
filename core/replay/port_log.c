#include "replay/port_log.h"

#include "mh/guest_abi.h"

#include <stdlib.h>
#include <string.h>

/*
 * An answer in the log. Behind the head: `data_length` bytes for the IN, then the file's name, then the writes, each a
 * struct port_write and its bytes.
 */
struct port_answer {
    uint64_t access; /* its number, from 1 */
    int64_t file_result;
    uint32_t data_length;
    uint32_t writes;
    uint16_t port;
    uint8_t width;
    uint8_t file_op;
    uint16_t name_length;
    bool is_in;
};

struct port_write {
    uint64_t start, length;
};

void port_log_free(struct port_log *log)
{
    free(log->bytes);
    *log = (struct port_log){.bytes = NULL};
}

struct port_cursor port_log_end(const struct port_log *log)
{
    return (struct port_cursor){.offset = log->length, .access = log->accesses, .answered = log->answered};
}

bool port_log_is_at_end(const struct port_log *log, const struct port_cursor *cursor)
{
    return cursor->access == log->accesses;
}

/* ---- recording ---- */

static void port_log_append(struct port_log *log, const void *bytes, size_t length)
{
    if (log->failed || length == 0)
        return;
    size_t capacity = log->capacity == 0 ? 4096 : log->capacity;
    while (capacity - log->length < length)
        capacity *= 2;
    if (capacity != log->capacity) {
        uint8_t *grown = realloc(log->bytes, capacity);
        if (grown == NULL) {
            log->failed = true;
            return;
        }
        log->bytes = grown;
        log->capacity = capacity;
    }
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
    size_t written = log->length - log->start;
    size_t front = sizeof *head + head->data_length + head->name_length;
    static const uint8_t zeros[64];
    for (size_t room = 0; room < front; room += sizeof zeros)
        port_log_append(log, zeros, front - room < sizeof zeros ? front - room : sizeof zeros);
    if (log->failed)
        return;
    uint8_t *at = log->bytes + log->start;
    memmove(at + front, at, written);
    memcpy(at, head, sizeof *head);
    memcpy(at + sizeof *head, data, head->data_length);
    memcpy(at + sizeof *head + head->data_length, name, head->name_length);
}

void port_log_finish(struct port_log *log, const struct cpu_exit *exit, const struct mh_event *file)
{
    const size_t data_length = exit->is_in ? (size_t)exit->width * exit->count : 0;
    log->accesses++;
    if (data_length == 0 && log->writes == 0 && file->op == 0)
        return;
    const struct port_answer head = {.access = log->accesses,
                                     .file_result = file->result,
                                     .data_length = (uint32_t)data_length,
                                     .writes = (uint32_t)log->writes,
                                     .port = exit->port,
                                     .width = exit->width,
                                     .file_op = file->op,
                                     .name_length = file->op == 0 ? 0 : (uint16_t)(strlen(file->name) + 1),
                                     .is_in = exit->is_in};
    port_log_insert_head(log, &head, exit->data, file->op == 0 ? "" : file->name);
    log->answered = log->accesses;
    if (log->failed)
        port_log_cancel(log);
}

void port_log_cut(struct port_log *log, const struct port_cursor *cursor)
{
    log->length = cursor->offset;
    log->accesses = cursor->access;
    log->answered = cursor->answered;
    log->failed = false;
}

/* ---- replaying ---- */

static bool port_log_same_access(const struct port_answer *head, const struct cpu_exit *exit)
{
    const size_t data_length = exit->is_in ? (size_t)exit->width * exit->count : 0;
    return head->port == exit->port && head->width == exit->width && head->is_in == exit->is_in &&
           head->data_length == data_length;
}

/* Do the writes again. Returns the offset behind them. */
static size_t port_log_write_again(const struct port_log *log, size_t offset, uint32_t writes, struct guest_ram *ram)
{
    for (uint32_t i = 0; i < writes; i++) {
        struct port_write write;
        memcpy(&write, log->bytes + offset, sizeof write);
        offset += sizeof write;
        void *to = ram_at(ram, mh_gpa_of(write.start), write.length);
        if (to != NULL)
            ram_put(ram, to, log->bytes + offset, write.length);
        offset += write.length;
    }
    return offset;
}

enum port_replay port_log_replay(const struct port_log *log, struct port_cursor *cursor, const struct cpu_exit *exit,
                                 struct guest_ram *ram, struct mh_event *file)
{
    struct port_answer head;
    file->op = 0;
    if (port_log_is_at_end(log, cursor))
        return PORT_REPLAY_ENDED;
    if (cursor->offset < log->length)
        memcpy(&head, log->bytes + cursor->offset, sizeof head);
    else
        head.access = 0;
    if (head.access != cursor->access + 1) { /* this one has no answer */
        cursor->access++;
        return exit->is_in ? PORT_REPLAY_DIFFERS : PORT_REPLAYED;
    }
    if (!port_log_same_access(&head, exit))
        return PORT_REPLAY_DIFFERS;
    size_t offset = cursor->offset + sizeof head;
    memcpy(exit->data, log->bytes + offset, head.data_length);
    offset += head.data_length;
    file->op = head.file_op;
    file->result = head.file_result;
    file->name = (const char *)log->bytes + offset;
    offset += head.name_length;
    cursor->offset = port_log_write_again(log, offset, head.writes, ram);
    cursor->answered = ++cursor->access;
    return PORT_REPLAYED;
}
