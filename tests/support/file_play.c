#include "file_play.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOT_ANSWERED INT64_MIN

static uint64_t below(struct file_play *play, uint64_t limit)
{
    return play->ops->below(play->ctx, limit);
}

static bool one_in(struct file_play *play, uint64_t times)
{
    return below(play, times) == 0;
}

/* ---- making up a call ---- */

static void put_text(struct file_play *play, const char *text)
{
    for (; *text != '\0'; text++)
        play->buffer[play->call.length++] = (uint8_t)*text;
}

static void make_bad_name(struct file_play *play)
{
    static const char *const bad[] = {"", ".", "..", "./", "./.", "../a", "a/b", "/", "a\n", "\x7f", "missing/../a"};
    static const uint16_t lengths[] = {255, 256, 4096, 4097, 9000};
    if (one_in(play, 2)) {
        put_text(play, bad[below(play, COUNT(bad))]);
        return;
    }
    play->call.length = lengths[below(play, COUNT(lengths))];
    for (uint64_t i = 0; i < play->call.length; i++)
        play->buffer[i] = i == 0 ? '/' : 'n';
}

static void make_name(struct file_play *play)
{
    play->call.length = 0;
    if (one_in(play, 8)) {
        make_bad_name(play);
        return;
    }
    if (one_in(play, 4))
        put_text(play, one_in(play, 2) ? "./" : "././");
    put_text(play, file_model_name((unsigned)below(play, MODEL_NAMES)));
}

static uint64_t make_length(struct file_play *play)
{
    static const uint16_t lengths[] = {0, 1, 2, 100, 4095, 4096, 4097, PLAY_BUFFER};
    return !one_in(play, 16) ? below(play, 300) : lengths[below(play, COUNT(lengths))];
}

static int64_t make_offset(struct file_play *play)
{
    static const int64_t edges[] = {0, -1, 1, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT32_MAX, (int64_t)1 << 40};
    if (one_in(play, 4))
        return edges[below(play, COUNT(edges))];
    return (int64_t)below(play, play->reach + 100) - (one_in(play, 2) ? (int64_t)play->reach / 2 : 0);
}

static uint32_t make_flags(struct file_play *play, bool opens)
{
    if (one_in(play, 16))
        return one_in(play, 2) ? UINT32_MAX : 1u << below(play, 32);
    return (uint32_t)below(play, opens ? MH_O_ALL + 1 : 4);
}

static int32_t make_fd(struct file_play *play)
{
    static const int32_t bad[] = {-1, INT32_MIN, INT32_MAX, 1024, 65536};
    return one_in(play, 10) ? bad[below(play, COUNT(bad))] : (int32_t)below(play, play->model.open_max + 1);
}

static void make_call(struct file_play *play)
{
    struct model_call *call = &play->call;
    /* more reads and writes than others, and seldom what is no call */
    static const uint8_t ops[] = {1, 1, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6};
    static const uint8_t none[] = {0, 7, 0x80, 0xff};
    call->op = one_in(play, 30) ? none[below(play, COUNT(none))] : ops[below(play, COUNT(ops))];
    call->flags = make_flags(play, call->op == MH_FILE_OPEN);
    call->fd = make_fd(play);
    call->offset = make_offset(play);
    call->length = make_length(play);
    call->buffer = play->buffer;
    if (call->op == MH_FILE_OPEN) {
        make_name(play);
        return;
    }
    uint8_t first = (uint8_t)below(play, 256);
    for (uint64_t i = 0; i < call->length; i++)
        play->buffer[i] = (uint8_t)(first + 7 * i);
}

/* ---- byte by byte ---- */

struct request {
    struct file_play *play;
    uint64_t left; /* bytes to be sent before it is broken off */
};

static void send_byte(struct request *request, uint8_t byte)
{
    if (request->left == 0)
        return;
    request->left--;
    request->play->ops->out(request->play->ctx, byte);
}

static void send(struct request *request, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        send_byte(request, (uint8_t)(value >> 8 * i));
}

static void send_payload(struct request *request)
{
    const struct model_call *call = &request->play->call;
    for (uint64_t i = 0; i < call->length; i++)
        send_byte(request, call->buffer[i]);
}

static void send_request(struct request *request)
{
    const struct model_call *call = &request->play->call;
    send(request, call->op, 1);
    if (call->op == MH_FILE_OPEN) {
        send(request, call->flags, 4);
        send(request, call->length, 2);
        send_payload(request);
        return;
    }
    if (call->op < MH_FILE_OPEN || call->op > MH_FILE_SIZE)
        return;
    send(request, (uint32_t)call->fd, 4);
    if (call->op == MH_FILE_SEEK) {
        send(request, call->flags, 4);
        send(request, (uint64_t)call->offset, 8);
    } else if (call->op == MH_FILE_READ || call->op == MH_FILE_WRITE)
        send(request, call->length, 4);
    if (call->op == MH_FILE_WRITE)
        send_payload(request);
}

static int64_t take_result(struct file_play *play)
{
    uint64_t result = 0;
    for (unsigned i = 0; i < 8; i++)
        result |= (uint64_t)play->ops->in(play->ctx) << 8 * i;
    return (int64_t)result;
}

static bool takes_data(struct file_play *play, const uint8_t *wanted)
{
    /* sometimes the rest is left, and dropped by the next request */
    uint64_t length = one_in(play, 8) ? below(play, (uint64_t)play->got + 1) : (uint64_t)play->got;
    for (uint64_t i = 0; i < length; i++) {
        if (play->ops->in(play->ctx) != wanted[i])
            return false;
    }
    return length < (uint64_t)play->got || play->ops->in(play->ctx) == 0xff;
}

/* A request that is not finished must be dropped; at most 4 bytes, which is less than any call but unknown ones has. */
static bool break_off(struct file_play *play)
{
    struct request request = {.play = play, .left = 1 + below(play, 4)};
    send_request(&request);
    play->wanted = -MH_EPROTO;
    play->got = take_result(play);
    return play->got == play->wanted;
}

static bool is_known(const struct file_play *play)
{
    return play->call.op >= MH_FILE_OPEN && play->call.op <= MH_FILE_SIZE;
}

static bool play_bytes(struct file_play *play)
{
    struct request request = {.play = play, .left = UINT64_MAX};
    struct model_call *call = &play->call;
    const uint8_t *data = NULL;
    if (is_known(play) && one_in(play, 10))
        return break_off(play);
    send_request(&request);
    if (call->op != MH_FILE_OPEN && call->length > MH_FILE_STREAM_MAX)
        call->length = MH_FILE_STREAM_MAX; /* longer ones come out short */
    play->wanted = file_model_answer(&play->model, call, &data);
    play->got = take_result(play);
    return play->got == play->wanted && (data == NULL || takes_data(play, data));
}

/* ---- by address ---- */

static uint32_t address_of(const struct file_play *play, const void *at)
{
    return (uint32_t)((uintptr_t)at - play->ram);
}

static void describe(struct file_play *play)
{
    const struct model_call *call = &play->call;
    play->in_memory = (struct mh_file_call){
        .op = call->op,
        .fd = call->fd,
        .flags = call->flags,
        .buffer = address_of(play, call->buffer),
        .length = call->length,
        .offset = call->offset,
        .result = NOT_ANSWERED,
    };
}

/* Put a mistake into the call. Returns what must come of it; NOT_ANSWERED: nothing. */
static int64_t spoil(struct file_play *play, uint32_t *address)
{
    const uint64_t outside[] = {play->ram_size, play->ram_size - 1, MH_SYSTEM_AREA, UINT64_MAX};
    bool has_buffer = play->call.op == MH_FILE_OPEN || play->call.op == MH_FILE_READ || play->call.op == MH_FILE_WRITE;
    if (one_in(play, 3)) {
        *address = (uint32_t)(outside[below(play, COUNT(outside))] - below(play, 40));
        return NOT_ANSWERED;
    }
    if (has_buffer && one_in(play, 2)) {
        play->in_memory.buffer = outside[below(play, COUNT(outside))];
        play->in_memory.length = 2 + below(play, 5);
        return -MH_EFAULT;
    }
    play->in_memory.zero = 1 + (uint32_t)below(play, 1000);
    return NOT_ANSWERED;
}

static bool has_data(const struct file_play *play, const uint8_t *wanted)
{
    for (int64_t i = 0; wanted != NULL && i < play->got; i++) {
        if (play->buffer[i] != wanted[i])
            return false;
    }
    return true;
}

static bool play_in_memory(struct file_play *play)
{
    const uint8_t *data = NULL;
    uint32_t address = address_of(play, &play->in_memory);
    describe(play);
    if (one_in(play, 10))
        play->wanted = spoil(play, &address);
    else
        play->wanted = is_known(play) ? file_model_answer(&play->model, &play->call, &data) : NOT_ANSWERED;
    play->ops->call(play->ctx, address);
    play->got = play->in_memory.result;
    return play->got == play->wanted && has_data(play, data);
}

bool file_play_step(struct file_play *play)
{
    make_call(play);
    return one_in(play, 2) ? play_bytes(play) : play_in_memory(play);
}
