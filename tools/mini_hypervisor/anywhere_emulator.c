#include "anywhere_emulator.h"

#include "anywhere_archive.h"
#include "anywhere_confine.h"
#include "anywhere_start.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

/*
 * It says little, ends with its first failure, and spares what a machine that lives for seconds does not need. The
 * board has no clock to measure the time stamp counter with, so its frequency is told; and without idle=halt the kernel
 * takes the processor for one whose timer stops when it is idle.
 */
#define KERNEL_PARAMETERS                                                                                              \
    "console=ttyS0 quiet panic=-1 mitigations=off audit=0 cryptomgr.notests lsm=landlock idle=halt tsc=reliable"

/* What the machine's kernel and the program take, and what each of its own machines does. */
#define MEMORY_MB 256u
#define MEMORY_PER_GUEST_MB 12u

#define EMULATOR "qemu-system-x86_64"
#define FILES "local,id=files,path=/,security_model=none,multidevs=remap"
#define SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
#define EXIT_NOT_FOUND 127
#define MEASURED_NS 2000000u

/* What the machine's kernel needs, in the order in which one needs the other. */
static const char *const modules[] = {
    "virtio_ring", "virtio", "virtio_mmio", "virtio_console", "netfs", "fscache", "9pnet", "9pnet_virtio", "9p",
    "irqbypass",   "kvm",    "ccp",         "kvm-amd"};

/* --- what there is --- */

/* Look for `name` at two places: beside the program, and where installing it puts such things. */
static bool find_beside(const char *name, const char *installed, char path[PATH_MAX])
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length < 0 ? 0 : length] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    const char *const places[] = {name, installed};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (snprintf(path, PATH_MAX, "%s/%s", program, places[i]) < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static enum mh_status add_module(FILE *archive, const char *directory, size_t number, struct mh_error *err)
{
    char path[PATH_MAX + 64], name[32];
    snprintf(path, sizeof path, "%s/modules/%s.ko", directory, modules[number]);
    snprintf(name, sizeof name, START_MODULES "/%zu", number);
    return archive_add_file(archive, name, path, err);
}

static enum mh_status fill_archive(FILE *archive, const char *directory, const char *start, size_t length,
                                   struct mh_error *err)
{
    char init[PATH_MAX];
    if (!find_beside("anywhere_init", "../libexec/mini_hypervisor/anywhere_init", init))
        return mh_fail(err, MH_ERR_HOST, "--anywhere: anywhere_init is not where it was built or installed with me");
    enum mh_status status = archive_add_file(archive, "init", init, err);
    archive_add_directory(archive, START_MODULES);
    for (size_t i = 0; status == MH_OK && i < sizeof modules / sizeof modules[0]; i++)
        status = add_module(archive, directory, i, err);
    archive_add(archive, START_FILE, start, length);
    archive_finish(archive);
    return status;
}

/* The machine's first file system, as a descriptor that lasts over exec. */
static enum mh_status make_archive(const char *directory, const char *start, size_t length, int *fd,
                                   struct mh_error *err)
{
    *fd = memfd_create("anywhere", 0);
    int copy = *fd < 0 ? -1 : dup(*fd);
    FILE *archive = copy < 0 ? NULL : fdopen(copy, "w");
    if (archive == NULL)
        return mh_fail(err, MH_ERR_HOST, "--anywhere: no memory for the machine's files: %s", strerror(errno));
    enum mh_status status = fill_archive(archive, directory, start, length, err);
    if (fclose(archive) != 0 && status == MH_OK)
        status = mh_fail(err, MH_ERR_HOST, "--anywhere: no memory for the machine's files: %s", strerror(errno));
    return status;
}

/* --- the process --- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* How many thousand times a second the host's time stamp counter, which is also the machine's, counts. */
static unsigned counter_khz(void)
{
    uint64_t first_ns = now_ns(), first = __rdtsc(), last_ns;
    do {
        last_ns = now_ns();
    } while (last_ns - first_ns < MEASURED_NS);
    return (unsigned)((__rdtsc() - first) * 1000000 / (last_ns - first_ns));
}

/*
 * A processor that has everything the emulator knows, among it SVM, which KVM inside needs. The "microvm" is the board
 * that starts fastest; the kernel waits for a clock (rtc) that it does not have by itself. The host's files come
 * through 9p with the rights of whoever started us.
 */
static _Noreturn void become_emulator(const char *directory, unsigned memory_mb, int archive_fd, int channel,
                                      int log_fd)
{
    char kernel[PATH_MAX + 16], initrd[64], memory[16], port[64], root[64];
    char parameters[sizeof KERNEL_PARAMETERS + 64];
    snprintf(parameters, sizeof parameters, KERNEL_PARAMETERS " tsc_early_khz=%u", counter_khz());
    snprintf(kernel, sizeof kernel, "%s/vmlinux", directory);
    snprintf(initrd, sizeof initrd, "/proc/self/fd/%d", archive_fd);
    snprintf(root, sizeof root, "virtio-9p-device,fsdev=files,mount_tag=%s", START_ROOT_TAG);
    snprintf(memory, sizeof memory, "%u", memory_mb);
    snprintf(port, sizeof port, "socket,id=channel,fd=%d", channel);
    /* options stand with their values: */
    /* clang-format off */
    char *const arguments[] = {
        EMULATOR, "-M", "microvm,rtc=on", "-accel", "tcg", "-cpu", "max,+svm,la57=off", "-smp", "1", "-m", memory,
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
        "-sandbox", SANDBOX,
        "-kernel", kernel, "-initrd", initrd, "-append", parameters,
        "-device", "virtio-serial-device", "-chardev", port, "-device", "virtserialport,chardev=channel",
        "-fsdev", FILES, "-device", root, NULL};
    /* clang-format on */
    dup2(log_fd, STDIN_FILENO); /* nobody writes there, and it is at its end */
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execvp(EMULATOR, arguments);
    _exit(EXIT_NOT_FOUND);
}

/* In a session of its own no key reaches it; and it does not outlive us, however we end. */
static void detach(pid_t parent)
{
    sigset_t none;
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void confine(const struct options *options, const char *directory)
{
    int error = anywhere_confine(options, EMULATOR, directory);
    if (error != 0)
        message("warning: Landlock could not be put in force: %s; guests run with one wall less", strerror(error));
}

static enum mh_status start_emulator(struct emulator *emulator, const char *directory, int archive_fd,
                                     const struct options *options, struct mh_error *err)
{
    int ends[2];
    pid_t self = getpid();
    emulator->log_fd = memfd_create("log", MFD_CLOEXEC);
    if (emulator->log_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return mh_fail(err, MH_ERR_HOST, "--anywhere: no descriptors: %s", strerror(errno));
    emulator->channel = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    emulator->pid = fork();
    if (emulator->pid == 0) {
        detach(self);
        confine(options, directory);
        become_emulator(directory, MEMORY_MB + MEMORY_PER_GUEST_MB * (unsigned)options->guests.count, archive_fd,
                        dup(ends[1]), emulator->log_fd);
    }
    close(ends[1]);
    if (emulator->pid < 0)
        return mh_fail(err, MH_ERR_HOST, "--anywhere: no process for " EMULATOR ": %s", strerror(errno));
    return MH_OK;
}

enum mh_status emulator_begin(struct emulator *emulator, const struct options *options, const char *start,
                              size_t length, struct mh_error *err)
{
    char kernel[PATH_MAX];
    int archive_fd;
    *emulator = (struct emulator){.channel = -1, .log_fd = -1};
    if (!find_beside("anywhere/vmlinux", "../share/mini_hypervisor/anywhere/vmlinux", kernel))
        return mh_fail(err, MH_ERR_HOST, "--anywhere needs a kernel that is not there yet: run tools/anywhere once");
    *strrchr(kernel, '/') = '\0';
    enum mh_status status = make_archive(kernel, start, length, &archive_fd, err);
    if (status == MH_OK)
        status = start_emulator(emulator, kernel, archive_fd, options, err);
    if (archive_fd >= 0)
        close(archive_fd);
    return status;
}

void emulator_end(struct emulator *emulator)
{
    if (emulator->pid > 0) {
        kill(emulator->pid, SIGKILL);
        waitpid(emulator->pid, NULL, 0);
    }
    emulator->pid = 0;
    if (emulator->channel >= 0)
        close(emulator->channel);
    if (emulator->log_fd >= 0)
        close(emulator->log_fd);
    emulator->channel = emulator->log_fd = -1;
}

/* The last line of what was printed; what is blank at the end is left out. */
static void last_line(int fd, char *text, size_t size)
{
    off_t length = lseek(fd, 0, SEEK_END);
    off_t from = length > (off_t)size - 1 ? length - ((off_t)size - 1) : 0;
    ssize_t got = pread(fd, text, size - 1, from);
    while (got > 0 && (unsigned char)text[got - 1] <= ' ')
        got--;
    text[got > 0 ? got : 0] = '\0';
    char *newline = strrchr(text, '\n');
    if (newline != NULL)
        memmove(text, newline + 1, strlen(newline));
}

enum mh_status emulator_explain(struct emulator *emulator, const char *what, struct mh_error *err)
{
    char text[256];
    int status = 0;
    kill(emulator->pid, SIGKILL);
    waitpid(emulator->pid, &status, 0);
    emulator->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_FOUND)
        return mh_fail(err, MH_ERR_HOST, "--anywhere needs " EMULATOR ": apt-get install qemu-system-x86");
    last_line(emulator->log_fd, text, sizeof text);
    return mh_fail(err, MH_ERR_HOST, "--anywhere: the emulated machine %s%s%s", what,
                   text[0] != '\0' ? "; its last words: " : "", text);
}
