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

/* An option, and the file that it writes. */
struct output {
    const char *option, *path; /* NULL: it is not given */
};

/* Two options may write to one pipe or terminal. In one file, each would write over the other. */
static enum mh_status refuse_same_output(const struct output *outputs, size_t count, struct mh_error *err)
{
    struct stat at;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            const char *path = outputs[i].path;
            if (path == NULL || outputs[j].path == NULL || strcmp(path, outputs[j].path) != 0 ||
                (stat(path, &at) == 0 && !S_ISREG(at.st_mode)))
                continue;
            return mh_fail(err, MH_ERR_USAGE, "%s and %s both write %s; choose another file for one of them",
                           outputs[j].option, outputs[i].option, path);
        }
    }
    return MH_OK;
}

enum mh_status output_checks(const struct options *options, struct mh_error *err)
{
    const struct output outputs[] = {{"--trace", options->trace_path},       {"--record", options->record_path},
                                     {"--coverage", options->coverage_path}, {"--profile", options->profile_path},
                                     {"--report", options->report_path},     {"--serial", options->serial_path}};
    const size_t count = sizeof outputs / sizeof outputs[0];
    enum mh_status status = check_files_dir(options->files_dir, err);
    if (status == MH_OK && options->trace_path != NULL)
        status = refuse_output_over_input(options, options->trace_path, err);
    for (size_t i = 1; i < count && status == MH_OK; i++) {
        if (outputs[i].path != NULL)
            status = refuse_pattern_over_input(options, outputs[i].path, err);
    }
    return status == MH_OK ? refuse_same_output(outputs, count, err) : status;
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
