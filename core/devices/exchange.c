#include "devices/exchange.h"

#include "mh/guest_abi.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NUMBER_SIZE 4u /* bytes of a role, a count or a report */
#define WAKE_FDS_MAX 15u

enum exchange_phase {
    EXCHANGE_START,  /* the first interrupt has not been delivered */
    EXCHANGE_ROLE,   /* it has: the role is to be read */
    EXCHANGE_COUNT,  /* another one has: the count goes out, or in */
    EXCHANGE_DATA,   /* the bytes */
    EXCHANGE_REPORT, /* how many were accepted, or read */
    EXCHANGE_IDLE,   /* the turn is over */
};

struct exchange_member {
    enum exchange_phase phase;
    uint32_t at;     /* bytes of the phase that are done */
    uint32_t number; /* that comes in byte by byte */
    uint32_t taken;  /* bytes of the round that a reader has read */
    bool knows_role;
    bool is_pending; /* an interrupt waits to be delivered */
    bool owes;       /* a reader: the round is not over before it has reported */
    bool is_waiting; /* at a HLT, for an interrupt */
    bool has_left;
    int event; /* readable when the wait may be over */
};

struct mh_exchange {
    pthread_mutex_t mutex;
    unsigned count;
    uint32_t size;      /* of data */
    uint32_t announced; /* bytes that the writer said it would send */
    uint32_t length;    /* bytes of the round that were accepted */
    uint8_t *data;
    struct exchange_member members[]; /* the first is the writer's */
};

static struct exchange_member *exchange_lock(struct mh_exchange *exchange, unsigned number)
{
    pthread_mutex_lock(&exchange->mutex);
    return &exchange->members[number - 1];
}

static bool exchange_is_writer(const struct mh_exchange *exchange, const struct exchange_member *member)
{
    return member == exchange->members;
}

/* ---- whose turn it is ---- */

static void exchange_wake(const struct exchange_member *member)
{
    const uint64_t one = 1;
    if (member->is_waiting && write(member->event, &one, sizeof one) < 0)
        return; /* only when the counter is full: it is readable then */
}

static void exchange_interrupt(struct exchange_member *member)
{
    member->is_pending = true;
    exchange_wake(member);
}

static bool exchange_is_in_turn(const struct exchange_member *member)
{
    return member->phase >= EXCHANGE_COUNT && member->phase <= EXCHANGE_REPORT;
}

static bool exchange_has_readers(const struct mh_exchange *exchange)
{
    for (unsigned i = 1; i < exchange->count; i++) {
        if (!exchange->members[i].has_left)
            return true;
    }
    return false;
}

static bool exchange_is_owed(const struct mh_exchange *exchange)
{
    for (unsigned i = 1; i < exchange->count; i++) {
        if (exchange->members[i].owes)
            return true;
    }
    return false;
}

/* It is the writer's turn, if it knows that it is the writer, and is not in its turn, and anybody listens. */
static void exchange_offer_turn(struct mh_exchange *exchange)
{
    struct exchange_member *writer = &exchange->members[0];
    const bool is_in_turn = writer->phase == EXCHANGE_COUNT || writer->phase == EXCHANGE_DATA;
    if (writer->knows_role && !is_in_turn && !writer->has_left && !exchange_is_owed(exchange) &&
        exchange_has_readers(exchange))
        exchange_interrupt(writer);
}

/* All machines wait, and for each other: no interrupt will come. */
static bool exchange_is_deadlocked(const struct mh_exchange *exchange)
{
    for (unsigned i = 0; i < exchange->count; i++) {
        const struct exchange_member *member = &exchange->members[i];
        if (!member->has_left && (!member->is_waiting || member->is_pending))
            return false;
    }
    return true;
}

static bool exchange_is_over_for(const struct mh_exchange *exchange, const struct exchange_member *member)
{
    if (exchange_is_writer(exchange, member) ? !exchange_has_readers(exchange) : exchange->members[0].has_left)
        return true;
    return exchange_is_deadlocked(exchange);
}

/* A machine waits or has left, which may have been what others waited for. */
static void exchange_wake_all(const struct mh_exchange *exchange)
{
    for (unsigned i = 0; i < exchange->count; i++)
        exchange_wake(&exchange->members[i]);
}

/* The writer has sent what it wanted to send. */
static void exchange_publish(struct mh_exchange *exchange, struct exchange_member *writer, uint32_t sent)
{
    exchange->length = sent < exchange->size ? sent : exchange->size;
    writer->phase = EXCHANGE_REPORT;
    writer->at = 0;
    for (unsigned i = 1; i < exchange->count; i++) {
        struct exchange_member *reader = &exchange->members[i];
        if (exchange_is_in_turn(reader)) /* it had left, and is too late for the rest of what was sent before */
            reader->phase = EXCHANGE_IDLE;
        reader->owes = !reader->has_left;
        if (reader->owes && reader->knows_role)
            exchange_interrupt(reader);
    }
    exchange_offer_turn(exchange);
}

/* ---- IN ---- */

static uint8_t exchange_byte_of(uint32_t number, uint32_t at)
{
    return (uint8_t)(number >> (8 * at));
}

static uint8_t exchange_read_role(struct mh_exchange *exchange, struct exchange_member *member)
{
    const bool is_writer = exchange_is_writer(exchange, member);
    const uint8_t byte = exchange_byte_of(is_writer, member->at);
    if (++member->at == NUMBER_SIZE)
        member->phase = EXCHANGE_IDLE;
    if (member->knows_role)
        return byte;
    member->knows_role = true;
    if (is_writer)
        exchange_offer_turn(exchange);
    else if (member->owes)
        exchange_interrupt(member);
    return byte;
}

static void exchange_enter_phase(struct exchange_member *member, enum exchange_phase phase)
{
    member->phase = phase;
    member->at = 0;
    member->number = 0;
}

static uint8_t exchange_read_count(const struct mh_exchange *exchange, struct exchange_member *reader)
{
    const uint8_t byte = exchange_byte_of(exchange->length, reader->at);
    if (++reader->at == NUMBER_SIZE)
        exchange_enter_phase(reader, exchange->length > 0 ? EXCHANGE_DATA : EXCHANGE_REPORT);
    return byte;
}

static uint8_t exchange_read_data(const struct mh_exchange *exchange, struct exchange_member *reader)
{
    const uint8_t byte = exchange->data[reader->at];
    reader->taken = ++reader->at;
    if (reader->at == exchange->length)
        exchange_enter_phase(reader, EXCHANGE_REPORT);
    return byte;
}

static uint8_t exchange_read_accepted(const struct mh_exchange *exchange, struct exchange_member *writer)
{
    const uint8_t byte = exchange_byte_of(exchange->length, writer->at);
    if (++writer->at == NUMBER_SIZE)
        writer->phase = EXCHANGE_IDLE;
    return byte;
}

static bool exchange_in_byte(struct mh_exchange *exchange, struct exchange_member *member, uint16_t port, uint8_t *byte)
{
    const bool is_writer = exchange_is_writer(exchange, member);
    if (port == MH_PORT_EXCHANGE_DONE && is_writer) {
        if (member->phase == EXCHANGE_DATA) /* it sends less than it announced */
            exchange_publish(exchange, member, member->at);
        if (member->phase != EXCHANGE_REPORT)
            return false;
        *byte = exchange_read_accepted(exchange, member);
        return true;
    }
    if (port != MH_PORT_EXCHANGE)
        return false;
    if (member->phase == EXCHANGE_ROLE)
        *byte = exchange_read_role(exchange, member);
    else if (!is_writer && member->phase == EXCHANGE_COUNT)
        *byte = exchange_read_count(exchange, member);
    else if (!is_writer && member->phase == EXCHANGE_DATA)
        *byte = exchange_read_data(exchange, member);
    else
        return false;
    return true;
}

enum exchange_result exchange_in(struct mh_exchange *exchange, unsigned number, uint16_t port, uint8_t *data,
                                 size_t length)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    memset(data, 0, length); /* a word may reach beyond the end of what there is */
    size_t done = 0;
    while (done < length && exchange_in_byte(exchange, member, port, &data[done]))
        done++;
    pthread_mutex_unlock(&exchange->mutex);
    if (done == 0)
        memset(data, 0xff, length);
    return done > 0 ? EXCHANGE_DONE : EXCHANGE_OUT_OF_TURN;
}

/* ---- OUT ---- */

/* True when the number is complete. */
static bool exchange_take_number(struct exchange_member *member, uint8_t byte)
{
    member->number |= (uint32_t)byte << (8 * member->at);
    return ++member->at == NUMBER_SIZE;
}

static void exchange_write_count(struct mh_exchange *exchange, struct exchange_member *writer, uint8_t byte)
{
    if (!exchange_take_number(writer, byte))
        return;
    exchange->announced = writer->number;
    exchange_enter_phase(writer, EXCHANGE_DATA);
    if (exchange->announced == 0)
        exchange_publish(exchange, writer, 0);
}

static void exchange_write_data(struct mh_exchange *exchange, struct exchange_member *writer, uint8_t byte)
{
    if (writer->at < exchange->size)
        exchange->data[writer->at] = byte;
    if (++writer->at == exchange->announced)
        exchange_publish(exchange, writer, writer->at);
}

/* A reader has said how many bytes it read. False when it is to be stopped. */
static bool exchange_report(struct mh_exchange *exchange, struct exchange_member *reader, char *text)
{
    const uint32_t reported = reader->number, taken = reader->taken, length = exchange->length;
    reader->phase = EXCHANGE_IDLE;
    if (reported != length)
        snprintf(text, EXCHANGE_TEXT_MAX, "it reported %u of the %u bytes of the exchange as read", reported, length);
    else if (taken != length)
        snprintf(text, EXCHANGE_TEXT_MAX, "it reported %u bytes of the exchange as read, and has read %u of them",
                 reported, taken);
    if (reported != length || taken != length)
        return false;
    reader->owes = false;
    exchange_offer_turn(exchange);
    return true;
}

static enum exchange_result exchange_out_byte(struct mh_exchange *exchange, struct exchange_member *member,
                                              uint16_t port, uint8_t byte, char *text)
{
    const bool is_writer = exchange_is_writer(exchange, member);
    if (port == MH_PORT_EXCHANGE_DONE && !is_writer && exchange_is_in_turn(member)) {
        if (member->phase != EXCHANGE_REPORT) /* it reports before it has read everything */
            exchange_enter_phase(member, EXCHANGE_REPORT);
        if (exchange_take_number(member, byte) && !exchange_report(exchange, member, text))
            return EXCHANGE_BROKEN;
        return EXCHANGE_DONE;
    }
    if (port != MH_PORT_EXCHANGE || !is_writer)
        return EXCHANGE_OUT_OF_TURN;
    if (member->phase == EXCHANGE_COUNT)
        exchange_write_count(exchange, member, byte);
    else if (member->phase == EXCHANGE_DATA)
        exchange_write_data(exchange, member, byte);
    else
        return EXCHANGE_OUT_OF_TURN;
    return EXCHANGE_DONE;
}

enum exchange_result exchange_out(struct mh_exchange *exchange, unsigned number, uint16_t port, const uint8_t *data,
                                  size_t length, char *text)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    enum exchange_result first = EXCHANGE_DONE, result = EXCHANGE_DONE;
    for (size_t i = 0; i < length && result == EXCHANGE_DONE; i++) {
        result = exchange_out_byte(exchange, member, port, data[i], text);
        if (i == 0)
            first = result;
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result == EXCHANGE_BROKEN ? result : first; /* a word may reach beyond the last byte */
}

/* ---- interrupts ---- */

bool exchange_is_pending(struct mh_exchange *exchange, unsigned number)
{
    const bool is_pending = exchange_lock(exchange, number)->is_pending;
    pthread_mutex_unlock(&exchange->mutex);
    return is_pending;
}

void exchange_take_interrupt(struct mh_exchange *exchange, unsigned number)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    member->is_pending = false;
    member->taken = 0;
    exchange_enter_phase(member, member->phase == EXCHANGE_START ? EXCHANGE_ROLE : EXCHANGE_COUNT);
    pthread_mutex_unlock(&exchange->mutex);
}

/* ---- waiting ---- */

/* What a machine has left undone that waits for its next interrupt, which cannot come then. False: nothing. */
static bool exchange_left_turn(struct mh_exchange *exchange, struct exchange_member *member, char *text)
{
    const bool is_writer = exchange_is_writer(exchange, member);
    if (member->is_pending)
        return false;
    if (!is_writer && member->phase == EXCHANGE_REPORT && member->at > 0) /* a number of fewer than four bytes */
        return !exchange_report(exchange, member, text);
    if (member->phase == EXCHANGE_ROLE && !member->knows_role)
        snprintf(text, EXCHANGE_TEXT_MAX, "it waits for another interrupt and has not read its role from port 0x%x",
                 MH_PORT_EXCHANGE);
    else if (is_writer && member->phase == EXCHANGE_DATA)
        snprintf(text, EXCHANGE_TEXT_MAX, "it waits for another interrupt and has sent %u of the %u bytes it announced",
                 member->at, exchange->announced);
    else if (is_writer && member->phase == EXCHANGE_COUNT && member->at > 0)
        snprintf(text, EXCHANGE_TEXT_MAX, "it waits for another interrupt and has sent %u of the 4 bytes of a count",
                 member->at);
    else if (!is_writer && member->owes && member->phase != EXCHANGE_START && member->phase != EXCHANGE_IDLE &&
             member->phase != EXCHANGE_ROLE)
        snprintf(text, EXCHANGE_TEXT_MAX,
                 "it waits for another interrupt and has not reported to port 0x%x how many of the %u bytes it read",
                 MH_PORT_EXCHANGE_DONE, exchange->length);
    else
        return false;
    return true;
}

/* True when the wait is over, with *end set. */
static bool exchange_wait_is_over(struct mh_exchange *exchange, struct exchange_member *member, enum exchange_wait *end)
{
    *end = member->is_pending ? EXCHANGE_INTERRUPT : EXCHANGE_NO_MORE;
    return member->is_pending || exchange_is_over_for(exchange, member);
}

/* False when the wait ends for another reason than the exchange. */
static bool exchange_sleep(const struct exchange_member *member, const int *wake_fds, unsigned wake_count)
{
    struct pollfd fds[1 + WAKE_FDS_MAX] = {{.fd = member->event, .events = POLLIN}};
    const unsigned wakes = wake_count < WAKE_FDS_MAX ? wake_count : WAKE_FDS_MAX;
    uint64_t events;
    for (unsigned i = 0; i < wakes; i++)
        fds[1 + i] = (struct pollfd){.fd = wake_fds[i], .events = POLLIN};
    if (poll(fds, 1 + wakes, -1) < 0 || fds[0].revents == 0)
        return false;
    return read(member->event, &events, sizeof events) > 0 || errno == EAGAIN;
}

enum exchange_wait exchange_wait(struct mh_exchange *exchange, unsigned number, const int *wake_fds,
                                 unsigned wake_count, char *text)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    enum exchange_wait end = EXCHANGE_STOPPED;
    bool is_over = exchange_left_turn(exchange, member, text);
    if (!is_over) {
        member->is_waiting = true;
        if (exchange_is_deadlocked(exchange))
            exchange_wake_all(exchange);
    }
    while (!is_over && !exchange_wait_is_over(exchange, member, &end)) {
        pthread_mutex_unlock(&exchange->mutex);
        is_over = !exchange_sleep(member, wake_fds, wake_count);
        pthread_mutex_lock(&exchange->mutex);
        end = EXCHANGE_WAIT_ENDS;
    }
    member->is_waiting = false;
    pthread_mutex_unlock(&exchange->mutex);
    return end;
}

/* ---- life ---- */

void mh_exchange_leave(struct mh_exchange *exchange, unsigned number)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    if (!member->has_left) {
        member->has_left = true;
        member->owes = false;
        exchange_offer_turn(exchange);
        exchange_wake_all(exchange);
    }
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_return(struct mh_exchange *exchange, unsigned number)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    if (member->has_left) {
        member->has_left = false;
        exchange_offer_turn(exchange);
    }
    pthread_mutex_unlock(&exchange->mutex);
}

void exchange_restart(struct mh_exchange *exchange, unsigned number)
{
    struct exchange_member *member = exchange_lock(exchange, number);
    *member = (struct exchange_member){.event = member->event, .is_pending = true};
    exchange_offer_turn(exchange);
    pthread_mutex_unlock(&exchange->mutex);
}

enum mh_status mh_exchange_create(unsigned machines, uint32_t size, struct mh_exchange **exchange, struct mh_error *err)
{
    struct mh_exchange *made = calloc(1, sizeof *made + machines * sizeof made->members[0]);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the exchange: %s", strerror(ENOMEM));
    pthread_mutex_init(&made->mutex, NULL);
    made->size = size;
    made->data = malloc(size);
    int error = made->data == NULL ? ENOMEM : 0;
    for (; error == 0 && made->count < machines; made->count++) {
        const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (event < 0) {
            error = errno;
            break;
        }
        made->members[made->count] = (struct exchange_member){.event = event, .is_pending = true};
    }
    if (error != 0) {
        mh_exchange_destroy(made);
        return mh_fail(err, MH_ERR_HOST, "cannot create the exchange: %s", strerror(error));
    }
    *exchange = made;
    return MH_OK;
}

void mh_exchange_destroy(struct mh_exchange *exchange)
{
    if (exchange == NULL)
        return;
    for (unsigned i = 0; i < exchange->count; i++)
        close(exchange->members[i].event);
    pthread_mutex_destroy(&exchange->mutex);
    free(exchange->data);
    free(exchange);
}
