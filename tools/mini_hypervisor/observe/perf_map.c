#include "observe/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum mh_status perf_map_create(int *fd, struct mh_error *err)
{
    char path[48];
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid()); /* where perf looks, whatever TMPDIR is */
    unlink(path); /* of an earlier process with the number; what others have put there cannot be removed */
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (*fd < 0)
        return mh_fail(err, MH_ERR_HOST, "--perf-map: cannot create '%s', where perf looks for it: %s", path,
                       strerror(errno));
    return MH_OK;
}
