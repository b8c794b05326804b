#include "file_model.h"

static const char *const names[MODEL_NAMES] = {"notes.txt", "a", "b", "c.d", "\xc3\xa4", "..."};

const char *file_model_name(unsigned index)
{
    return names[index];
}

static uint64_t length_of(const char *text)
{
    uint64_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

static void copy(uint8_t *to, const uint8_t *from, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        to[i] = from[i];
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void file_model_init(struct file_model *model, uint64_t limit, unsigned open_max, const char *text, uint8_t *room)
{
    model->limit = limit;
    model->written = 0;
    model->open_max = open_max;
    model->shared.is_own = false;
    model->shared.size = length_of(text);
    model->shared.bytes = (uint8_t *)(uintptr_t)text; /* a shared file is never written */
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        model->file[i].is_own = false;
        model->file[i].size = 0;
        model->file[i].bytes = room + i * limit;
    }
    for (unsigned i = 0; i < MODEL_OPEN_MAX; i++)
        model->open[i].is_open = false;
}

/* ---- names ---- */

static bool is_name(const uint8_t *name, uint64_t length, const char *text)
{
    if (length != length_of(text))
        return false;
    for (uint64_t i = 0; i < length; i++) {
        if (name[i] != (uint8_t)text[i])
            return false;
    }
    return true;
}

static bool is_allowed(const uint8_t *name, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++) {
        if (name[i] < 0x20 || name[i] == 0x7f || name[i] == '/')
            return false;
    }
    return !is_name(name, length, ".") && !is_name(name, length, "..");
}

/* Which file the call opens: 0 to MODEL_NAMES - 1, or minus an error. Other good names are not asked for. */
static int64_t find_name(const struct model_call *call)
{
    const uint8_t *name = call->buffer;
    uint64_t length = call->length;
    while (length > 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        length -= 2;
    }
    if (length == 0)
        return -MH_ENOENT;
    if (length > MH_FILE_NAME_MAX)
        return -MH_ENAMETOOLONG;
    if (!is_allowed(name, length))
        return -MH_EACCES;
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        if (is_name(name, length, names[i]))
            return i;
    }
    return -MH_ENOENT;
}

/* ---- calls ---- */

static bool flags_are_good(uint32_t flags)
{
    if (flags > MH_O_ALL || (flags & (MH_O_READ | MH_O_WRITE)) == 0)
        return false;
    return (flags & MH_O_WRITE) != 0 || (flags & (MH_O_TRUNCATE | MH_O_APPEND)) == 0;
}

static uint64_t quota(const struct file_model *model)
{
    return model->limit - model->written;
}

/* The file becomes the guest's own, as a copy of the shared one, if a byte may be written then. */
static int64_t copy_shared(struct file_model *model, struct model_file *file)
{
    if (model->shared.size >= quota(model))
        return -MH_EDQUOT;
    copy(file->bytes, model->shared.bytes, model->shared.size);
    file->size = model->shared.size;
    model->written += file->size;
    file->is_own = true;
    return 0;
}

static void truncate(struct model_file *file)
{
    for (uint64_t i = 0; i < file->size; i++)
        file->bytes[i] = 0;
    file->size = 0;
}

static int64_t open_slot(const struct file_model *model)
{
    for (unsigned i = 0; i < model->open_max; i++) {
        if (!model->open[i].is_open)
            return i;
    }
    return -MH_EMFILE;
}

static int64_t answer_open(struct file_model *model, const struct model_call *call)
{
    if (!flags_are_good(call->flags))
        return -MH_EINVAL;
    if (call->length > MH_FILE_STREAM_MAX)
        return -MH_ENAMETOOLONG;
    int64_t index = find_name(call);
    if (index < 0)
        return index;
    int64_t slot = open_slot(model);
    if (slot < 0)
        return slot;
    struct model_file *file = &model->file[index];
    bool is_shared = index == 0 && !file->is_own;
    bool makes = (call->flags & (is_shared ? MH_O_TRUNCATE : MH_O_WRITE)) != 0 ||
                 (!is_shared && (call->flags & MH_O_CREATE) != 0);
    if (!file->is_own && !is_shared && !makes)
        return -MH_ENOENT;
    file->is_own = file->is_own || makes;
    if ((call->flags & MH_O_TRUNCATE) != 0)
        truncate(file);
    model->open[slot] = (struct model_open){
        .is_open = true, .original = file->is_own ? NULL : &model->shared, .own = file, .flags = call->flags};
    return slot;
}

static const struct model_file *file_of(const struct model_open *open)
{
    bool is_original = open->original != NULL && ((open->flags & MH_O_WRITE) == 0 || !open->own->is_own);
    return is_original ? open->original : open->own;
}

static int64_t answer_read(struct model_open *open, uint64_t length, const uint8_t **data)
{
    const struct model_file *file = file_of(open);
    if ((open->flags & MH_O_READ) == 0)
        return -MH_EBADF;
    uint64_t left = open->position < file->size ? file->size - open->position : 0;
    uint64_t got = least(left, length);
    if (got > 0)
        *data = file->bytes + open->position;
    open->position += got;
    return (int64_t)got;
}

static int64_t answer_write(struct file_model *model, struct model_open *open, const uint8_t *data, uint64_t length)
{
    struct model_file *file = open->own;
    if ((open->flags & MH_O_WRITE) == 0)
        return -MH_EBADF;
    if ((open->flags & MH_O_APPEND) != 0)
        open->position = file_of(open)->size;
    if (length == 0)
        return 0;
    if (quota(model) == 0)
        return -MH_EDQUOT;
    if (open->position >= model->limit)
        return -MH_EFBIG;
    if (!file->is_own && copy_shared(model, file) < 0)
        return -MH_EDQUOT;
    uint64_t put = least(length, least(quota(model), model->limit - open->position));
    copy(file->bytes + open->position, data, put);
    open->position += put;
    if (open->position > file->size)
        file->size = open->position;
    model->written += put;
    return (int64_t)put;
}

static int64_t answer_seek(struct model_open *open, uint32_t whence, int64_t offset)
{
    const uint64_t bases[] = {0, open->position, file_of(open)->size};
    int64_t position;
    if (whence > MH_SEEK_END || __builtin_add_overflow((int64_t)bases[whence], offset, &position) || position < 0)
        return -MH_EINVAL;
    open->position = (uint64_t)position;
    return position;
}

int64_t file_model_answer(struct file_model *model, const struct model_call *call, const uint8_t **data)
{
    if (call->op == MH_FILE_OPEN)
        return answer_open(model, call);
    if (call->op < MH_FILE_OPEN || call->op > MH_FILE_SIZE)
        return -MH_ENOSYS;
    if (call->fd < 0 || (uint32_t)call->fd >= model->open_max || !model->open[call->fd].is_open)
        return -MH_EBADF;
    struct model_open *open = &model->open[call->fd];
    switch ((enum mh_file_op)call->op) {
    case MH_FILE_CLOSE:
        open->is_open = false;
        return 0;
    case MH_FILE_READ:
        return answer_read(open, call->length, data);
    case MH_FILE_WRITE:
        return answer_write(model, open, call->buffer, call->length);
    case MH_FILE_SEEK:
        return answer_seek(open, call->flags, call->offset);
    default:
        return (int64_t)file_of(open)->size;
    }
}
