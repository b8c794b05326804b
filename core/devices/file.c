#include "devices/file.h"

#include <string.h>

/* What an op wants before its payload, by op. */
static const uint8_t head_length[] = {
    [MH_FILE_OPEN] = 6,  [MH_FILE_CLOSE] = 4, [MH_FILE_READ] = 8,
    [MH_FILE_WRITE] = 8, [MH_FILE_SEEK] = 16, [MH_FILE_SIZE] = 4,
};

void file_port_init(struct file_port *port, const struct mh_vm_config *config, const atomic_uint *stop)
{
    file_store_init(&port->store, config, stop);
    port->request.state = FILE_PORT_IDLE;
}

void file_port_destroy(struct file_port *port)
{
    file_store_destroy(&port->store);
}

static uint32_t get32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static int64_t get64(const uint8_t *from)
{
    int64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void answer(struct file_port *port, int64_t result, uint32_t data_length)
{
    memcpy(port->request.result, &result, sizeof result);
    port->request.answer_length = (uint32_t)sizeof result + data_length;
    port->request.answer_read = 0;
    port->request.state = FILE_PORT_ANSWER;
}

static void file_port_misused(struct file_port *port, enum file_misuse misuse, uint32_t value)
{
    port->misuse = misuse;
    port->misuse_value = value;
}

static uint32_t at_most(uint32_t length, uint32_t limit)
{
    return length < limit ? length : limit;
}

static int64_t perform(struct file_store *store, const struct mh_file_call *call, void *buffer,
                       struct input_log *inbound)
{
    switch ((enum mh_file_op)call->op) {
    case MH_FILE_OPEN:
        return file_store_open(store, buffer, call->length, call->flags);
    case MH_FILE_CLOSE:
        return file_store_close(store, call->fd);
    case MH_FILE_READ:
        return file_store_read(store, call->fd, buffer, call->length, inbound);
    case MH_FILE_WRITE:
        return file_store_write(store, call->fd, buffer, call->length);
    case MH_FILE_SEEK:
        return file_store_seek(store, call->fd, call->flags, call->offset);
    case MH_FILE_SIZE:
        return file_store_size(store, call->fd);
    }
    return -MH_ENOSYS;
}

/* Make a call, and leave word of it for who asks what happened. */
static int64_t make(struct file_port *port, const struct mh_file_call *call, void *buffer, struct input_log *inbound)
{
    const char *name = call->op == MH_FILE_OPEN ? buffer : file_store_name(&port->store, call->fd);
    size_t length = call->op == MH_FILE_OPEN ? call->length : strlen(name);
    length = length < MH_FILE_NAME_MAX ? length : MH_FILE_NAME_MAX;
    memcpy(port->made_name, name, length);
    port->made_name[length] = '\0';
    port->made_op = call->op <= MH_FILE_SIZE ? (uint8_t)call->op : 0;
    port->made_result = perform(&port->store, call, buffer, inbound);
    return port->made_result;
}

static void run_request(struct file_port *port)
{
    struct file_request *request = &port->request;
    struct mh_file_call call = {.op = request->op, .length = request->length};
    if (request->op == MH_FILE_OPEN)
        call.flags = get32(request->head);
    else
        call.fd = (int32_t)get32(request->head);
    if (request->op == MH_FILE_READ || request->op == MH_FILE_WRITE)
        call.length = at_most(get32(request->head + 4), MH_FILE_STREAM_MAX);
    if (request->op == MH_FILE_SEEK) {
        call.flags = get32(request->head + 4);
        call.offset = get64(request->head + 8);
    }
    int64_t result = make(port, &call, request->data, NULL);
    answer(port, result, request->op == MH_FILE_READ && result > 0 ? (uint32_t)result : 0);
}

/* The fixed arguments are here: is there a payload to wait for? */
static void head_is_whole(struct file_port *port)
{
    port->request.length = 0;
    if (port->request.op == MH_FILE_OPEN)
        port->request.length = port->request.head[4] | (uint32_t)port->request.head[5] << 8;
    else if (port->request.op == MH_FILE_WRITE)
        port->request.length = get32(port->request.head + 4);
    port->request.got = 0;
    if (port->request.length == 0)
        run_request(port);
    else
        port->request.state = FILE_PORT_PAYLOAD;
}

static bool file_op_is_known(uint32_t op)
{
    return op < sizeof head_length && head_length[op] != 0;
}

static void start_request(struct file_port *port, uint8_t op)
{
    port->request.op = op;
    port->request.got = 0;
    if (file_op_is_known(op)) {
        port->request.state = FILE_PORT_HEAD;
        return;
    }
    file_port_misused(port, FILE_MISUSE_OP, op);
    answer(port, -MH_ENOSYS, 0);
}

void file_port_out(struct file_port *port, uint8_t byte)
{
    switch (port->request.state) {
    case FILE_PORT_IDLE:
    case FILE_PORT_ANSWER: /* what was not read of the last answer is dropped */
        start_request(port, byte);
        break;
    case FILE_PORT_HEAD:
        port->request.head[port->request.got++] = byte;
        if (port->request.got == head_length[port->request.op])
            head_is_whole(port);
        break;
    case FILE_PORT_PAYLOAD:
        if (port->request.got < MH_FILE_STREAM_MAX)
            port->request.data[port->request.got] = byte;
        if (++port->request.got == port->request.length)
            run_request(port);
        break;
    }
}

void file_port_in(struct file_port *port, struct input_log *inbound, uint8_t *to)
{
    static const uint8_t nothing = 0xff;
    if (port->request.state == FILE_PORT_HEAD || port->request.state == FILE_PORT_PAYLOAD) {
        file_port_misused(port, FILE_MISUSE_ABANDONED, port->request.op);
        answer(port, -MH_EPROTO, 0);
    }
    const uint8_t *from = &nothing;
    if (port->request.state == FILE_PORT_ANSWER) {
        uint32_t at = port->request.answer_read++;
        from = at < sizeof port->request.result ? &port->request.result[at]
                                                : &port->request.data[at - sizeof port->request.result];
        if (port->request.answer_read == port->request.answer_length)
            port->request.state = FILE_PORT_IDLE;
    } else
        file_port_misused(port, FILE_MISUSE_NO_ANSWER, 0);
    input_log_copy(inbound, to, from, 1);
}

static int64_t make_call(struct file_port *port, struct guest_ram *memory, struct input_log *inbound,
                         const struct mh_file_call *call)
{
    bool has_buffer = call->op == MH_FILE_OPEN || call->op == MH_FILE_READ || call->op == MH_FILE_WRITE;
    void *buffer = has_buffer ? ram_only_at(memory, mh_gpa_of(call->buffer), call->length) : NULL;
    if (has_buffer && buffer == NULL)
        return -MH_EFAULT;
    int64_t result = make(port, call, buffer, inbound);
    if (call->op == MH_FILE_READ && result > 0)
        ram_note_written(memory, buffer, (size_t)result);
    return result;
}

void file_port_call(struct file_port *port, struct guest_ram *memory, struct input_log *inbound, mh_gpa address)
{
    struct mh_file_call call;
    uint8_t *at = ram_only_at(memory, address, sizeof call);
    if (at == NULL) {
        file_port_misused(port, FILE_MISUSE_CALL_OUTSIDE, (uint32_t)address.v);
        return;
    }
    memcpy(&call, at, sizeof call);
    if (!file_op_is_known(call.op) || call.zero != 0) {
        /* perhaps another structure of the guest: an answer would overwrite what it has in the place of `result` */
        file_port_misused(port, FILE_MISUSE_CALL, call.op);
        return;
    }
    int64_t result = make_call(port, memory, inbound, &call);
    at += offsetof(struct mh_file_call, result);
    input_log_copy(inbound, at, &result, sizeof result);
    ram_note_written(memory, at, sizeof result);
}
