#include "sandbox/close_from.h"

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Kernels before 5.9, and containers that do not know the call. */
static void close_listed(int first)
{
    DIR *list = opendir("/proc/self/fd");
    const struct dirent *entry;
    if (list == NULL)
        return;
    while ((entry = readdir(list)) != NULL) {
        const int fd = atoi(entry->d_name); /* of "." and "..", 0 */
        if (fd >= first && fd != dirfd(list))
            close(fd);
    }
    closedir(list);
}

void close_from(int first)
{
    if (close_range((unsigned)first, UINT32_MAX, 0) != 0)
        close_listed(first);
}
