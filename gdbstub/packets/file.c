/*
 * Host I/O: vFile (GDB manual, "Host I/O Packets" and "File-I/O Remote Protocol Extension"). The debugger sees the VM's
 * own files, read only. Names go to the target, which decides what they mean; no other file of the host can be reached.
 */
#include "packets/commands.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 4096u
#define STAT_BYTES 64u

/* Numbers of the File-I/O protocol. */
#define FIO_O_RDONLY 0u
#define FIO_S_IFREG 0100000u
#define FIO_S_READ_ALL 0444u

enum fio_errno {
    FIO_EPERM = 1,
    FIO_ENOENT = 2,
    FIO_EINTR = 4,
    FIO_EBADF = 9,
    FIO_EACCES = 13,
    FIO_EISDIR = 21,
    FIO_EINVAL = 22,
    FIO_EMFILE = 24,
    FIO_EROFS = 30,
    FIO_ENAMETOOLONG = 91,
    FIO_EUNKNOWN = 9999,
};

static enum fio_errno fio_errno_of(int host_errno)
{
    static const struct {
        int host;
        enum fio_errno fio;
    } known[] = {
        {EPERM, FIO_EPERM},
        {ENOENT, FIO_ENOENT},
        {EINTR, FIO_EINTR},
        {EBADF, FIO_EBADF},
        {EACCES, FIO_EACCES},
        {EISDIR, FIO_EISDIR},
        {EINVAL, FIO_EINVAL},
        {EMFILE, FIO_EMFILE},
        {ENFILE, FIO_EMFILE},
        {EROFS, FIO_EROFS},
        {ENAMETOOLONG, FIO_ENAMETOOLONG},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].host == host_errno)
            return known[i].fio;
    return FIO_EUNKNOWN;
}

static enum gdb_outcome file_fail(struct gdb_session *session, enum fio_errno error)
{
    gdb_reply_clear(&session->out);
    gdb_reply_printf(&session->out, "F-1,%x", (unsigned)error);
    return GDB_REPLY;
}

static enum gdb_outcome file_succeed(struct gdb_session *session, unsigned result)
{
    gdb_reply_printf(&session->out, "F%x", result);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_file_setfs(struct gdb_session *session, struct gdb_text args)
{
    uint64_t process;

    /* each machine has one file system; `open` uses that of the selected machine */
    if (!gdb_text_u64(&args, &process) || !gdb_text_empty(&args))
        return file_fail(session, FIO_EINVAL);
    return file_succeed(session, 0);
}

/* Parse "NAME,FLAGS,MODE" and put the name into the scratch buffer. Returns 0 or an error. */
static unsigned file_parse_open(struct gdb_session *session, struct gdb_text args, uint64_t *flags)
{
    struct gdb_text name = gdb_text_cut(&args, ',');
    size_t digits = gdb_text_length(&name);
    uint64_t mode;

    if (digits / 2 > NAME_MAX_BYTES)
        return FIO_ENAMETOOLONG;
    if (digits == 0 || !gdb_hex_decode(session->scratch, name.at, digits) ||
        memchr(session->scratch, '\0', digits / 2) != NULL || !gdb_text_u64(&args, flags) ||
        !gdb_text_eat(&args, ',') || !gdb_text_u64(&args, &mode) || !gdb_text_empty(&args))
        return FIO_EINVAL;
    session->scratch[digits / 2] = '\0';
    return 0;
}

/*
 * Return the machine whose program has the name in the scratch buffer: debuggers open any machine's program at any
 * time. Otherwise it is the selected machine's file.
 */
static unsigned file_owner(const struct gdb_session *session)
{
    const struct mh_debug_target *target = session->machines->target;

    for (unsigned i = 0; i < session->machines->count; i++) {
        unsigned vm = session->machines->list[i].vm;
        const char *program = target->ops->vm_exec_file(target->ctx, vm);

        if (program != NULL && strcmp(program, (const char *)session->scratch) == 0)
            return vm;
    }
    return session->g_thread->vm;
}

enum gdb_outcome gdb_cmd_file_open(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    unsigned slot = 0, error;
    uint64_t flags;

    error = file_parse_open(session, args, &flags);
    if (error)
        return file_fail(session, (enum fio_errno)error);
    if (flags != FIO_O_RDONLY)
        return file_fail(session, FIO_EROFS);
    while (slot < GDB_FILES_MAX && session->files[slot] >= 0)
        slot++;
    if (slot == GDB_FILES_MAX)
        return file_fail(session, FIO_EMFILE);
    int fd = target->ops->open_file(target->ctx, file_owner(session), (const char *)session->scratch);
    if (fd < 0)
        return file_fail(session, fio_errno_of(-fd));
    session->files[slot] = fd;
    return file_succeed(session, slot);
}

/* Parse the number of an open file. Returns NULL if it is none. */
static int *file_parse_slot(struct gdb_session *session, struct gdb_text *args)
{
    uint32_t slot;

    if (!gdb_text_u32(args, GDB_FILES_MAX - 1, &slot) || session->files[slot] < 0)
        return NULL;
    return &session->files[slot];
}

enum gdb_outcome gdb_cmd_file_close(struct gdb_session *session, struct gdb_text args)
{
    int *file = file_parse_slot(session, &args);

    if (file == NULL || !gdb_text_empty(&args))
        return file_fail(session, FIO_EBADF);
    close(*file);
    *file = -1;
    return file_succeed(session, 0);
}

enum gdb_outcome gdb_cmd_file_pread(struct gdb_session *session, struct gdb_text args)
{
    const int *file = file_parse_slot(session, &args);
    uint64_t count, offset;

    if (file == NULL)
        return file_fail(session, FIO_EBADF);
    if (!gdb_text_eat(&args, ',') || !gdb_text_u64(&args, &count) || !gdb_text_eat(&args, ',') ||
        !gdb_text_u64(&args, &offset) || !gdb_text_empty(&args) || offset > INT64_MAX)
        return file_fail(session, FIO_EINVAL);
    if (count > GDB_PACKET_SIZE / 2)
        count = GDB_PACKET_SIZE / 2;
    ssize_t got = pread(*file, session->scratch, (size_t)count, (off_t)offset);
    if (got < 0)
        return file_fail(session, fio_errno_of(errno));
    gdb_reply_printf(&session->out, "F%zx;", (size_t)got);
    gdb_reply_binary(&session->out, session->scratch, (size_t)got);
    return GDB_REPLY;
}

/* Store the low `bytes` bytes of `value` in big-endian order, and step on. */
static void stat_put_big_endian(uint8_t **to, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        *(*to)++ = (uint8_t)(value >> 8 * bytes);
}

/* Pack what the debugger needs to know about a file, and nothing about its owner on the host. */
static void stat_pack(const struct stat *st, uint8_t packed[STAT_BYTES])
{
    uint8_t *to = packed;

    stat_put_big_endian(&to, 0, 4);                            /* device */
    stat_put_big_endian(&to, 0, 4);                            /* inode */
    stat_put_big_endian(&to, FIO_S_IFREG | FIO_S_READ_ALL, 4); /* mode */
    stat_put_big_endian(&to, 1, 4);                            /* links */
    stat_put_big_endian(&to, 0, 4);                            /* owner */
    stat_put_big_endian(&to, 0, 4);                            /* group */
    stat_put_big_endian(&to, 0, 4);                            /* device of a special file */
    stat_put_big_endian(&to, (uint64_t)st->st_size, 8);
    stat_put_big_endian(&to, (uint64_t)st->st_blksize, 8);
    stat_put_big_endian(&to, (uint64_t)st->st_blocks, 8);
    stat_put_big_endian(&to, (uint64_t)st->st_atime, 4);
    stat_put_big_endian(&to, (uint64_t)st->st_mtime, 4);
    stat_put_big_endian(&to, (uint64_t)st->st_ctime, 4);
}

enum gdb_outcome gdb_cmd_file_fstat(struct gdb_session *session, struct gdb_text args)
{
    const int *file = file_parse_slot(session, &args);
    uint8_t packed[STAT_BYTES];
    struct stat st;

    if (file == NULL || !gdb_text_empty(&args))
        return file_fail(session, FIO_EBADF);
    if (fstat(*file, &st) < 0)
        return file_fail(session, fio_errno_of(errno));
    stat_pack(&st, packed);
    gdb_reply_printf(&session->out, "F%x;", STAT_BYTES);
    gdb_reply_binary(&session->out, packed, sizeof packed);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_file_refuse(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    return file_fail(session, FIO_EROFS);
}

enum gdb_outcome gdb_cmd_file_readlink(struct gdb_session *session, struct gdb_text args)
{
    /* a VM's files include no links, and readlink() of any other file fails like this */
    (void)args;
    return file_fail(session, FIO_EINVAL);
}
