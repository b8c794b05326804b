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
};

void file_port_init(struct file_port *port, const struct mh_vm_config *config, const atomic_uint *stop);
void file_port_destroy(struct file_port *port);

/* A byte was written to, or is read from, the port. */
void file_port_out(struct file_port *port, uint8_t byte);
void file_port_in(struct file_port *port, struct input_log *inbound, uint8_t *to);

/* A 32-bit OUT: make the call that lies at `address`. A call outside RAM is not made and nothing is written. */
void file_port_call(struct file_port *port, struct guest_ram *memory, struct input_log *inbound, mh_gpa address);

#endif
