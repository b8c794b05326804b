/* The file port 0x278: both ways of making a call, byte by byte and by the address of a struct mh_file_call. */
#ifndef MH_CORE_DEVICES_FILE_H
#define MH_CORE_DEVICES_FILE_H

#include "devices/file_store.h"
#include "mh/guest_abi.h"
#include "ram/ram.h"

#define FILE_HEAD_MAX 16u

enum file_port_state {
    FILE_PORT_IDLE,    /* the next byte written is an op */
    FILE_PORT_HEAD,    /* collecting the fixed arguments */
    FILE_PORT_PAYLOAD, /* collecting the name or the data */
    FILE_PORT_ANSWER,  /* the guest reads result and data */
};

/* Accesses that the protocol does not have. The port continues, and the run loop reports each kind once. */
enum file_misuse {
    FILE_MISUSE_NONE,
    FILE_MISUSE_OP,           /* the first byte of a request is no op: misuse_value is the byte */
    FILE_MISUSE_ABANDONED,    /* an answer was read before the request was whole: misuse_value is its op */
    FILE_MISUSE_NO_ANSWER,    /* a byte was read where no answer was left */
    FILE_MISUSE_CALL,         /* what a 32-bit OUT names is no call: misuse_value is its op */
    FILE_MISUSE_CALL_OUTSIDE, /* it names an address outside RAM: misuse_value is the address */
};

#define FILE_MISUSES (FILE_MISUSE_CALL_OUTSIDE + 1)

/* How far a call has come that is made byte by byte. */
struct file_request {
    enum file_port_state state;
    uint8_t op;
    uint8_t head[FILE_HEAD_MAX];
    uint32_t got;    /* bytes of head or payload taken so far */
    uint32_t length; /* of the payload, as the guest announced it */
    uint8_t result[8];
    uint32_t answer_length, answer_read;
    uint8_t data[MH_FILE_STREAM_MAX]; /* name or data coming, data going; what exceeds it is dropped */
};

struct file_port {
    struct file_store store;
    struct file_request request;
    /* the last call that was made: */
    uint8_t made_op; /* 0: none since this was last set to 0 */
    int64_t made_result;
    char made_name[MH_FILE_NAME_MAX + 1]; /* of its file, "" when there is none */
    enum file_misuse misuse;              /* the last, since this was last set to FILE_MISUSE_NONE */
    uint32_t misuse_value;
};

void file_port_init(struct file_port *port, const struct mh_vm_config *config, const atomic_uint *stop);
void file_port_destroy(struct file_port *port);

/* A byte was written to, or is read from, the port. */
void file_port_out(struct file_port *port, uint8_t byte);
void file_port_in(struct file_port *port, struct input_log *inbound, uint8_t *to);

/* A 32-bit OUT: make the call at `address`. When it is not in RAM, its op is unknown or its `zero` is
 * not 0, it is none: nothing is done and nothing written. */
void file_port_call(struct file_port *port, struct guest_ram *memory, struct input_log *inbound, mh_gpa address);

#endif
