#include "run/output_checks.h"

#include "console/output.h"
#include "console/serial_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
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

struct output {
    const char *option;
    const char *path;
    bool is_pattern; /* "%n" in it stands for the machine's number */
};

/* Devices, pipes and terminals can be written by several. */
static bool is_or_becomes_file(const char *path)
{
    struct stat at;
    return stat(path, &at) != 0 || S_ISREG(at.st_mode);
}

static enum mh_status refuse_same_file(const struct output *one, const struct output *other, struct mh_error *err)
{
    if ((strcmp(one->path, other->path) != 0 && !output_is_one_of(one->path, &other->path, 1)) ||
        !is_or_becomes_file(one->path))
        return MH_OK;
    return mh_fail(err, MH_ERR_USAGE, "%s and %s would both write to %s; choose another file for one of them",
                   one->option, other->option, other->path);
}

enum mh_status output_checks(const struct options *options, struct mh_error *err)
{
    const struct output outputs[] = {
        {"--trace", options->trace_path, false},      {"--record", options->record_path, true},
        {"--coverage", options->coverage_path, true}, {"--profile", options->profile_path, true},
        {"--report", options->report_path, true},     {"--serial", options->serial_path, true},
    };
    enum mh_status status = check_files_dir(options->files_dir, err);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0] && status == MH_OK; i++) {
        const struct output *output = &outputs[i];
        if (output->path == NULL)
            continue;
        status = output->is_pattern ? refuse_pattern_over_input(options, output->path, err)
                                    : refuse_output_over_input(options, output->path, err);
        for (size_t j = 0; j < i && status == MH_OK; j++)
            status = outputs[j].path != NULL ? refuse_same_file(&outputs[j], output, err) : MH_OK;
    }
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
