/* mini_hypervisor: reads the command line and does what it asks for; run/session.c runs guests. */
#include "console/message.h"
#include "options/options.h"
#include "run/exit_code.h"
#include "run/probe.h"
#include "run/session.h"

#include <fcntl.h>
#include <signal.h>

/*
 * What we open must not become stdin, stdout or stderr when those are closed: a guest would print into it. Put
 * descriptors in their places that fail as closed ones do.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return;
    }
}

static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN); /* write() returns EPIPE instead, which is reported */
    signal(SIGXFSZ, SIG_IGN); /* writes fail with EFBIG instead, which the guest receives */
    mh_kick_install();
}

static void print_version(FILE *to)
{
    fprintf(to, "mini_hypervisor %s\n", MH_VERSION);
}

static int print_and_check(void (*print)(FILE *))
{
    print(stdout);
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_CODE_OK : EXIT_CODE_IO;
}

static int run(const struct options *options)
{
    if (options->help)
        return print_and_check(options_print_help);
    if (options->version)
        return print_and_check(print_version);
    if (options->probe)
        return probe_print(options->accel);
    return session_run(options, MH_CONFINED);
}

int main(int argc, char **argv)
{
    struct options options;
    struct mh_error err;
    occupy_standard_descriptors();
    ignore_signals();
    enum mh_status status = options_parse(argc, argv, &options, &err);
    if (status != MH_OK)
        message("%s", err.text);
    int code = status == MH_OK ? run(&options) : exit_code_for_status(status);
    options_free(&options);
    return code;
}
