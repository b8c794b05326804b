/*
 * A model of a guest's files: what each call of the file port must return, and what the files then hold. It needs no
 * library, so that a unit test, a fuzz target and a guest can all hold it against the port.
 */
#ifndef MH_TEST_FILE_MODEL_H
#define MH_TEST_FILE_MODEL_H

#include "mh/guest_abi.h"

#include <stdbool.h>
#include <stddef.h>

#define MODEL_NAMES 6u
#define MODEL_OPEN_MAX 16u

/* What one of its names means. */
struct model_file {
    bool is_own;
    uint64_t size;
    uint8_t *bytes; /* room for as many as a file may have */
};

struct model_open {
    bool is_open;
    const struct model_file *original; /* the shared file that it still reads; NULL: the guest's own */
    struct model_file *own;
    uint32_t flags;
    uint64_t position;
};

struct file_model {
    uint64_t limit; /* bytes that may be written, and the size files may reach */
    uint64_t written;
    unsigned open_max; /* 1 to MODEL_OPEN_MAX */
    struct model_file shared;
    struct model_file file[MODEL_NAMES];
    struct model_open open[MODEL_OPEN_MAX];
};

/* What a call is made with. */
struct model_call {
    uint32_t op;
    int32_t fd;
    uint32_t flags; /* of OPEN; whence of SEEK */
    int64_t offset; /* of SEEK */
    uint64_t length;
    uint8_t *buffer; /* the name or the data */
};

/* The name of file `index`; file 0 is the one that is shared. */
const char *file_model_name(unsigned index);

/*
 * Begin with the shared file holding `length` bytes of `text`, and no file of the guest's own. `room` is zeroed, and
 * has MODEL_NAMES times `limit` bytes.
 */
void file_model_init(struct file_model *model, uint64_t limit, unsigned open_max, const char *text, uint8_t *room);

/* What the call returns. It is made in the model. A READ that gets bytes points *data at them. */
int64_t file_model_answer(struct file_model *model, const struct model_call *call, const uint8_t **data);

#endif
