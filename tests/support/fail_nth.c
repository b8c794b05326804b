/*
 * Loaded into the program with LD_PRELOAD, this makes the host refuse: of the calls of one kind, the N-th fails with an
 * errno. The environment says which:
 *
 *   FAIL_KIND    kvm, run, map, open, socket, thread, memory, file or terminal: see the functions below
 *   FAIL_NTH     counted from 1; 0: none fails, they are only counted
 *   FAIL_TIMES   how many in a row; 0: all from then on
 *   FAIL_ERRNO   the number of the error
 *   FAIL_COUNT   a file of at least 8 bytes, in which calls are counted, so that the count outlives any end
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>

/* The functions of others get no context, so what they count must be found from nowhere. */
static atomic_long *count;

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static long number(const char *variable)
{
    const char *text = getenv(variable);
    return text == NULL ? 0 : strtol(text, NULL, 10);
}

__attribute__((constructor)) static void begin_to_count(void)
{
    int (*real_open)(const char *, int, ...) = real("open");
    void *(*real_mmap)(void *, size_t, int, int, int, off_t) = real("mmap");
    const char *path = getenv("FAIL_COUNT");
    int fd = path == NULL ? -1 : real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = real_mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED)
        count = page;
}

/* Count a call of this kind; true with errno set when it is to fail. */
static bool fails(const char *kind)
{
    const char *wanted = getenv("FAIL_KIND");
    if (count == NULL || wanted == NULL || strcmp(kind, wanted) != 0)
        return false;
    long now = atomic_fetch_add(count, 1) + 1, nth = number("FAIL_NTH"), times = number("FAIL_TIMES");
    if (nth == 0 || now < nth || (times != 0 && now >= nth + times))
        return false;
    errno = (int)number("FAIL_ERRNO");
    return true;
}

/* ---- kvm, run, terminal ---- */

#define KVM_IOCTLS 0xaeu
#define RUN_IOCTL 0xae80u

/* NULL: never refused, nor counted. How many FIONREADs there are is a matter of time. */
static const char *kind_of_ioctl(unsigned long request)
{
    if (request == FIONREAD)
        return NULL;
    if ((request >> 8 & 0xff) != KVM_IOCTLS)
        return "terminal";
    return request == RUN_IOCTL ? "run" : "kvm";
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) = real("ioctl");
    va_list args;
    va_start(args, request);
    unsigned long argument = va_arg(args, unsigned long);
    va_end(args);
    const char *kind = kind_of_ioctl(request);
    return kind != NULL && fails(kind) ? -1 : next(fd, request, argument);
}

int posix_openpt(int flags)
{
    int (*next)(int) = real("posix_openpt");
    return fails("terminal") ? -1 : next(flags);
}

int grantpt(int fd)
{
    int (*next)(int) = real("grantpt");
    return fails("terminal") ? -1 : next(fd);
}

int unlockpt(int fd)
{
    int (*next)(int) = real("unlockpt");
    return fails("terminal") ? -1 : next(fd);
}

int ptsname_r(int fd, char *name, size_t size)
{
    int (*next)(int, char *, size_t) = real("ptsname_r");
    return fails("terminal") ? errno : next(fd, name, size);
}

int tcgetattr(int fd, struct termios *mode)
{
    int (*next)(int, struct termios *) = real("tcgetattr");
    return fails("terminal") ? -1 : next(fd, mode);
}

int tcsetattr(int fd, int when, const struct termios *mode)
{
    int (*next)(int, int, const struct termios *) = real("tcsetattr");
    return fails("terminal") ? -1 : next(fd, when, mode);
}

/* ---- map ---- */

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *(*next)(void *, size_t, int, int, int, off_t) = real("mmap");
    return fails("map") ? MAP_FAILED : next(at, length, protection, flags, fd, offset);
}

int madvise(void *at, size_t length, int advice)
{
    int (*next)(void *, size_t, int) = real("madvise");
    return fails("map") ? -1 : next(at, length, advice);
}

/* ---- open ---- */

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = real("open");
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails("open") ? -1 : next(path, flags, mode);
}

/* openat2() has no function of its own in the C library */
long syscall(long which, ...)
{
    long (*next)(long, ...) = real("syscall");
    long word[6];
    va_list args;
    va_start(args, which);
    for (size_t i = 0; i < 6; i++)
        word[i] = va_arg(args, long);
    va_end(args);
    if (which == SYS_openat2 && fails("open"))
        return -1;
    return next(which, word[0], word[1], word[2], word[3], word[4], word[5]);
}

int eventfd(unsigned value, int flags)
{
    int (*next)(unsigned, int) = real("eventfd");
    return fails("open") ? -1 : next(value, flags);
}

int signalfd(int fd, const sigset_t *set, int flags)
{
    int (*next)(int, const sigset_t *, int) = real("signalfd");
    return fails("open") ? -1 : next(fd, set, flags);
}

/* ---- socket ---- */

int socket(int family, int type, int protocol)
{
    int (*next)(int, int, int) = real("socket");
    return fails("socket") ? -1 : next(family, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    int (*next)(int, const struct sockaddr *, socklen_t) = real("bind");
    return fails("socket") ? -1 : next(fd, address, length);
}

int listen(int fd, int backlog)
{
    int (*next)(int, int) = real("listen");
    return fails("socket") ? -1 : next(fd, backlog);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) = real("accept4");
    return fails("socket") ? -1 : next(fd, address, length, flags);
}

/* ---- thread ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *ctx)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = real("pthread_create");
    return fails("thread") ? errno : next(thread, attributes, start, ctx);
}

/* ---- memory ---- */

/* dlsym() itself may allocate, so these are found by the names the C library has for them */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

#ifdef FAIL_MEMORY /* a sanitizer brings an allocator of its own */
void *malloc(size_t size)
{
    return fails("memory") ? NULL : __libc_malloc(size);
}

void *calloc(size_t members, size_t size)
{
    return fails("memory") ? NULL : __libc_calloc(members, size);
}

void *realloc(void *old, size_t size)
{
    return fails("memory") ? NULL : __libc_realloc(old, size);
}
#endif

/* ---- file ---- */

int fstat(int fd, struct stat *info)
{
    int (*next)(int, struct stat *) = real("fstat");
    return fails("file") ? -1 : next(fd, info);
}

int mkdir(const char *path, mode_t mode)
{
    int (*next)(const char *, mode_t) = real("mkdir");
    return fails("file") ? -1 : next(path, mode);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    int (*next)(int, const char *, mode_t) = real("mkdirat");
    return fails("file") ? -1 : next(directory, path, mode);
}

int flock(int fd, int operation)
{
    int (*next)(int, int) = real("flock");
    return fails("file") ? -1 : next(fd, operation);
}

int unlinkat(int directory, const char *path, int flags)
{
    int (*next)(int, const char *, int) = real("unlinkat");
    return fails("file") ? -1 : next(directory, path, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    int (*next)(int, const char *, int, const char *, int) = real("linkat");
    return fails("file") ? -1 : next(from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
    int (*next)(int, const char *, int, const char *) = real("renameat");
    return fails("file") ? -1 : next(from, old, to, new);
}

int ftruncate(int fd, off_t length)
{
    int (*next)(int, off_t) = real("ftruncate");
    return fails("file") ? -1 : next(fd, length);
}

ssize_t read(int fd, void *to, size_t length)
{
    ssize_t (*next)(int, void *, size_t) = real("read");
    return fails("file") ? -1 : next(fd, to, length);
}

ssize_t pread(int fd, void *to, size_t length, off_t at)
{
    ssize_t (*next)(int, void *, size_t, off_t) = real("pread");
    return fails("file") ? -1 : next(fd, to, length, at);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = real("pwrite");
    return fails("file") ? -1 : next(fd, from, length, at);
}

ssize_t copy_file_range(int from, off_t *in, int to, off_t *out, size_t length, unsigned flags)
{
    ssize_t (*next)(int, off_t *, int, off_t *, size_t, unsigned) = real("copy_file_range");
    return fails("file") ? -1 : next(from, in, to, out, length, flags);
}
