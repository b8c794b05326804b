#include "files.h"

#include "string.h"
#include "x86.h"

/*
 * Make a call. The hypervisor takes guest-physical addresses; ours are the same as long as the page tables map RAM to
 * itself, as they do at the start.
 */
static int64_t make_call(struct mh_file_call *call)
{
    call->result = -MH_EFAULT; /* stays when the hypervisor finds no call at this address */
    outl(MH_PORT_FILE, (uint32_t)(uintptr_t)call);
    return call->result;
}

int open(const char *name, uint32_t flags)
{
    struct mh_file_call call = {
        .op = MH_FILE_OPEN,
        .flags = flags,
        .buffer = (uintptr_t)name,
        .length = strlen(name),
    };

    return (int)make_call(&call);
}

int close(int fd)
{
    struct mh_file_call call = {.op = MH_FILE_CLOSE, .fd = fd};

    return (int)make_call(&call);
}

long read(int fd, void *buffer, size_t length)
{
    struct mh_file_call call = {
        .op = MH_FILE_READ,
        .fd = fd,
        .buffer = (uintptr_t)buffer,
        .length = length,
    };

    return make_call(&call);
}

long write(int fd, const void *data, size_t length)
{
    struct mh_file_call call = {
        .op = MH_FILE_WRITE,
        .fd = fd,
        .buffer = (uintptr_t)data,
        .length = length,
    };

    return make_call(&call);
}

int64_t lseek(int fd, int64_t offset, uint32_t whence)
{
    struct mh_file_call call = {
        .op = MH_FILE_SEEK,
        .fd = fd,
        .flags = whence,
        .offset = offset,
    };

    return make_call(&call);
}

int64_t fsize(int fd)
{
    struct mh_file_call call = {.op = MH_FILE_SIZE, .fd = fd};

    return make_call(&call);
}

static const struct {
    enum mh_file_error error;
    const char *text;
} error_texts[] = {
    {MH_ENOENT, "no such file"},
    {MH_EIO, "the host failed to read or write"},
    {MH_EBADF, "not an open descriptor, or not open for this"},
    {MH_EACCES, "not a name a guest may use"},
    {MH_EFAULT, "outside RAM"},
    {MH_EINVAL, "invalid flags, whence or position"},
    {MH_EMFILE, "too many open files"},
    {MH_EFBIG, "file too large"},
    {MH_ENOSPC, "the host's disk is full"},
    {MH_ENAMETOOLONG, "name too long"},
    {MH_ENOSYS, "no such call"},
    {MH_EPROTO, "answer read before the request was whole"},
    {MH_EDQUOT, "this VM may not write more"},
};

const char *file_error(int64_t result)
{
    if (result >= 0)
        return "no error";
    for (size_t i = 0; i < sizeof(error_texts) / sizeof(error_texts[0]); i++)
        if ((int64_t)error_texts[i].error == -result)
            return error_texts[i].text;
    return "unknown error";
}
