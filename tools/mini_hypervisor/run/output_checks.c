#include "run/output_checks.h"

#include "console/output.h"
#include "console/serial_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum mh_status refuse_output_over_input(const struct options *options, const char *output, struct mh_error *err)
{
    if (!output_is_one_of(output, options->guests.words, options->guests.count) &&
        !output_is_one_of(output, options->files.words, options->files.count))
        return MH_OK;
    return mh_fail(err, MH_ERR_USAGE, "%s is a guest's image or a shared file and would be overwritten; choose another",
                   output);
}

/* The same for each machine's own, with "%n" in the path. */
static enum mh_status refuse_pattern_over_input(const struct options *options, const char *pattern,
                                                struct mh_error *err)
{
    enum mh_status status = MH_OK;
    for (size_t i = 1; i <= options->guests.count && status == MH_OK; i++) {
        char *path = serial_end_path(pattern, i);
        if (path == NULL)
            return mh_fail(err, MH_ERR_HOST, "not enough memory for the path %s", pattern);
        status = refuse_output_over_input(options, path, err);
        free(path);
    }
    return status;
}

/* A directory that cannot be created is reported to the guest that writes; one that cannot exist is a mistake here. */
static enum mh_status check_files_dir(const char *path, struct mh_error *err)
{
    struct stat at;
    if (stat(path, &at) == 0 && !S_ISDIR(at.st_mode))
        return mh_fail(err, MH_ERR_USAGE, "--files-dir '%s' is not a directory; choose another", path);
    return MH_OK;
}

enum mh_status output_checks(const struct options *options, struct mh_error *err)
{
    enum mh_status status = check_files_dir(options->files_dir, err);
    if (status == MH_OK && options->trace_path != NULL)
        status = refuse_output_over_input(options, options->trace_path, err);
    if (status == MH_OK && options->record_path != NULL)
        status = refuse_pattern_over_input(options, options->record_path, err);
    if (status == MH_OK && options->coverage_path != NULL)
        status = refuse_pattern_over_input(options, options->coverage_path, err);
    if (status == MH_OK && options->profile_path != NULL)
        status = refuse_pattern_over_input(options, options->profile_path, err);
    if (status == MH_OK && options->report_path != NULL)
        status = refuse_pattern_over_input(options, options->report_path, err);
    if (status == MH_OK && options->serial_path != NULL)
        status = refuse_pattern_over_input(options, options->serial_path, err);
    return status;
}

enum mh_status output_make_core_directory(const char *path, struct mh_error *err)
{
    struct stat at = {.st_mode = S_IFDIR};
    if (path == NULL || mkdir(path, 0777) == 0)
        return MH_OK;
    int error = errno == EEXIST && stat(path, &at) == 0 && !S_ISDIR(at.st_mode) ? ENOTDIR : errno;
    if (error != EEXIST)
        return mh_fail(err, MH_ERR_IO, "no directory %s for core files: %s; choose another with --core", path,
                       strerror(error));
    if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0)
        return mh_fail(err, MH_ERR_IO, "no core files in %s: %s; choose a directory you may write to with --core", path,
                       strerror(errno));
    return MH_OK;
}
