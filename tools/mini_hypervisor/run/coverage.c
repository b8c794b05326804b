#include "run/coverage.h"

#include "console/output.h"
#include "console/serial_ends.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORT "mini_hypervisor-coverage-report"
#define PYTHON "/usr/bin/python3"

void coverage_init(struct coverage *coverage, enum coverage_kind kind, const char *image)
{
    *coverage = (struct coverage){.filter = {.fd = -1, .status_fd = -1},
                                  .fd = -1,
                                  .option = kind == COVERAGE_LINES ? "--coverage" : "--profile",
                                  .image = image,
                                  .kind = kind};
}

/* ---- before the machine runs ---- */

/* The path of tools/coverage_report, which is beside this program; "" when it is not. */
static void coverage_find_report(char *path, size_t size)
{
    const ssize_t length = readlink("/proc/self/exe", path, size - sizeof REPORT);
    path[length > 0 ? length : 0] = '\0';
    char *const slash = strrchr(path, '/');
    if (slash != NULL)
        memcpy(slash + 1, REPORT, sizeof REPORT);
    if (access(path, X_OK) != 0)
        path[0] = '\0';
}

/* Files that KCachegrind finds by their names are in its format. */
static const char *coverage_format(const struct coverage *coverage, const char *path)
{
    const char *const slash = strrchr(path, '/');
    if (coverage->kind == COVERAGE_LINES)
        return "lcov";
    return fnmatch("callgrind.out*", slash != NULL ? slash + 1 : path, 0) == 0 ? "callgrind" : "folded";
}

static enum mh_status coverage_start(struct coverage *coverage, const char *report, const char *path,
                                     struct mh_error *err)
{
    const char *why = NULL;
    /* the image is named here: what a guest that took over this process writes later must not name files */
    const char *const argv[] = {report, "--format", coverage_format(coverage, path), "--image", coverage->image, NULL};
    coverage->fd = output_open(path, &why);
    if (coverage->fd < 0)
        return mh_fail(err, MH_ERR_IO, "%s %s: cannot open it: %s", coverage->option, path, why);
    const int result = filter_start(&coverage->filter, argv, coverage->fd);
    if (result < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot start the process for %s: %s", coverage->option, strerror(-result));
    return MH_OK;
}

enum mh_status coverage_open(struct coverage *coverage, const char *pattern, size_t number, struct mh_error *err)
{
    char report[4096];
    coverage_find_report(report, sizeof report);
    if (report[0] == '\0')
        return mh_fail(err, MH_ERR_HOST, "%s needs " REPORT ", which is installed beside this program",
                       coverage->option);
    if (access(PYTHON, X_OK) != 0)
        return mh_fail(err, MH_ERR_HOST, "%s needs " PYTHON ": %s", coverage->option, strerror(errno));
    char *path = serial_end_path(pattern, number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the path of %s", coverage->option);
    enum mh_status status = coverage_start(coverage, report, path, err);
    free(path);
    return status;
}

/* ---- when it has ended ---- */

/* A tracefile of lcov, whose lines are addresses; of a profile, with the tree of calls in lines that lcov does not
 * have.
 */
static void coverage_print(const struct coverage *coverage, const struct mh_counts *counts,
                           const struct mh_calls *calls, FILE *to)
{
    fprintf(to, "TN:\nSF:%s\n", coverage->image);
    for (size_t i = 0; i < counts->length; i++)
        fprintf(to, "DA:%" PRIu64 ",%" PRIu64 "\n", counts->counts[i].address, counts->counts[i].count);
    for (size_t i = 0; i < calls->length; i++)
        fprintf(to, "CALL:%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", calls->calls[i].depth,
                calls->calls[i].address, calls->calls[i].spent, calls->calls[i].calls);
    fprintf(to, "end_of_record\n");
}

/* Returns 0 or minus an errno. */
static int coverage_send(const struct coverage *coverage, const struct mh_counts *counts, const struct mh_calls *calls)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return -ENOMEM;
    coverage_print(coverage, counts, calls, stream);
    int result = fclose(stream) != 0 ? -ENOMEM : output_write(coverage->filter.fd, text, length, NULL);
    free(text);
    return result;
}

enum mh_status coverage_write(struct coverage *coverage, struct mh_vm *vm, struct mh_error *err)
{
    struct mh_counts counts;
    struct mh_calls calls = {.length = 0};
    if (coverage->filter.fd < 0)
        return MH_OK;
    enum mh_status status = mh_vm_counts(vm, &counts, err);
    if (status == MH_OK && coverage->kind == COVERAGE_CALLS)
        status = mh_vm_calls(vm, &calls, err);
    if (status != MH_OK)
        return status;
    const int sent = coverage_send(coverage, &counts, &calls);
    const int result = filter_finish(&coverage->filter);
    if (sent < 0 && sent != -EPIPE)
        return mh_fail(err, MH_ERR_IO, "%s: %s", coverage->option, strerror(-sent));
    if (result < 0)
        return mh_fail(err, MH_ERR_IO, "%s: " REPORT " was killed", coverage->option);
    if (result > 0)
        return mh_fail(err, MH_ERR_IO, "%s: " REPORT " failed with exit status %d", coverage->option, result);
    return MH_OK;
}

void coverage_close(struct coverage *coverage)
{
    filter_stop(&coverage->filter);
    if (coverage->fd >= 0)
        close(coverage->fd);
    coverage->fd = -1;
}
