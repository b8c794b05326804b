#include "run/coverage.h"

#include "console/output.h"
#include "console/serial_ends.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORT "mini_hypervisor-coverage-report"
#define PYTHON "/usr/bin/python3"

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

static enum mh_status coverage_open_file(struct coverage *coverage, const char *pattern, size_t number,
                                         struct mh_error *err)
{
    const char *why = NULL;
    char *path = serial_end_path(pattern, number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the path of --coverage");
    coverage->fd = output_open(path, &why);
    enum mh_status status =
        coverage->fd < 0 ? mh_fail(err, MH_ERR_IO, "--coverage %s: cannot open it: %s", path, why) : MH_OK;
    free(path);
    return status;
}

enum mh_status coverage_open(struct coverage *coverage, const struct options *options, size_t number, const char *image,
                             struct mh_error *err)
{
    char report[4096];
    coverage->path = image;
    if (options->coverage_path == NULL)
        return MH_OK;
    coverage_find_report(report, sizeof report);
    if (report[0] == '\0')
        return mh_fail(err, MH_ERR_HOST, "--coverage needs " REPORT ", which is installed beside this program");
    if (access(PYTHON, X_OK) != 0)
        return mh_fail(err, MH_ERR_HOST, "--coverage needs " PYTHON ": %s", strerror(errno));
    enum mh_status status = coverage_open_file(coverage, options->coverage_path, number, err);
    if (status != MH_OK)
        return status;
    const char *const argv[] = {report, NULL};
    const int result = filter_start(&coverage->filter, argv, coverage->fd);
    if (result < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot start the process for --coverage: %s", strerror(-result));
    return MH_OK;
}

/* A tracefile of lcov, whose lines are addresses. */
static void coverage_print(const struct coverage *coverage, const struct mh_counts *counts, FILE *to)
{
    fprintf(to, "TN:\nSF:%s\n", coverage->path);
    for (size_t i = 0; i < counts->length; i++)
        fprintf(to, "DA:%" PRIu64 ",%" PRIu64 "\n", counts->counts[i].address, counts->counts[i].count);
    fprintf(to, "end_of_record\n");
}

/* Returns 0 or minus an errno. */
static int coverage_send(const struct coverage *coverage, const struct mh_counts *counts)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return -ENOMEM;
    coverage_print(coverage, counts, stream);
    int result = fclose(stream) != 0 ? -ENOMEM : output_write(coverage->filter.fd, text, length, NULL);
    free(text);
    return result;
}

enum mh_status coverage_write(struct coverage *coverage, struct mh_vm *vm, struct mh_error *err)
{
    struct mh_counts counts;
    if (coverage->filter.fd < 0)
        return MH_OK;
    enum mh_status status = mh_vm_counts(vm, &counts, err);
    if (status != MH_OK)
        return status;
    const int sent = coverage_send(coverage, &counts);
    const int result = filter_finish(&coverage->filter);
    if (sent < 0 && sent != -EPIPE)
        return mh_fail(err, MH_ERR_IO, "--coverage: %s", strerror(-sent));
    if (result != 0)
        return mh_fail(err, MH_ERR_IO, "--coverage: " REPORT " failed (%s %d)", result < 0 ? "killed" : "exit status",
                       result < 0 ? -result : result);
    return MH_OK;
}

void coverage_close(struct coverage *coverage)
{
    filter_stop(&coverage->filter);
    if (coverage->fd >= 0)
        close(coverage->fd);
    coverage->fd = -1;
}
