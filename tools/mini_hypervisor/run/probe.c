#include "run/probe.h"

#include "console/message.h"
#include "run/exit_code.h"

#include <stdio.h>

static void probe_write(void *stream, const char *text, size_t length)
{
    fwrite(text, 1, length, stream);
}

int probe_print(enum mh_accel accel)
{
    struct mh_host *host = NULL;
    struct mh_error err;
    enum mh_status status = mh_host_open(accel, &host, &err);
    if (status == MH_OK)
        status = mh_host_describe(host, probe_write, stdout, &err);
    mh_host_close(host);
    if (status != MH_OK)
        message("%s", err.text);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == MH_OK)
        return EXIT_CODE_IO;
    return exit_code_for_status(status);
}
