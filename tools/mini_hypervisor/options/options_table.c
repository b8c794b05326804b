#include "options/options_table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GDB_PORT "1234"
#define TIMEOUT_MAX_SECONDS 1e7
#define WRITTEN_MAX_MB (1024ul * 1024)
#define OPEN_FILES_MAX 1024ul

static enum mh_status fail(struct mh_error *err, const char *option, const char *value, const char *advice)
{
    return mh_fail(err, MH_ERR_USAGE, "--%s '%s': %s", option, value, advice);
}

/* A whole decimal number from 1 to `most`; 0 for anything else. */
static unsigned long number_up_to(const char *text, unsigned long most)
{
    if (text[0] < '0' || text[0] > '9')
        return 0;
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    return errno != 0 || *end != '\0' || value > most ? 0 : value;
}

static enum mh_status take_memory(struct options *options, const char *value, struct mh_error *err)
{
    unsigned long megabytes = number_up_to(value, 8);
    if (megabytes != 2 && megabytes != 4 && megabytes != 8)
        return fail(err, "memory", value, "a machine has 2, 4 or 8 (MB)");
    options->ram_size = megabytes * MB;
    return MH_OK;
}

static enum mh_status take_page(struct options *options, const char *value, struct mh_error *err)
{
    unsigned long size = number_up_to(value, 4);
    if (size != 2 && size != 4)
        return fail(err, "page", value, "pages are of 4 (KB) or 2 (MB)");
    options->page_size = size == 4 ? 4096 : 2 * MB;
    return MH_OK;
}

static enum mh_status append(struct word_list *list, const char *word, struct mh_error *err)
{
    const char **words = realloc(list->words, (list->count + 1) * sizeof *words);
    if (words == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the command line");
    list->words = words;
    list->words[list->count++] = word;
    return MH_OK;
}

static enum mh_status take_guest(struct options *options, const char *value, struct mh_error *err)
{
    return append(&options->guests, value, err);
}

static enum mh_status take_file(struct options *options, const char *value, struct mh_error *err)
{
    return append(&options->files, value, err);
}

static enum mh_status take_timeout(struct options *options, const char *value, struct mh_error *err)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(seconds) || seconds <= 0 || seconds > TIMEOUT_MAX_SECONDS)
        return fail(err, "timeout", value, "give a number of seconds above 0 and up to 10000000, such as 10 or 0.5");
    options->timeout_ms = (int64_t)(seconds * 1000);
    if ((double)options->timeout_ms < seconds * 1000)
        options->timeout_ms++; /* ceil() would be all that libm is loaded for, at every start */
    return MH_OK;
}

static enum mh_status take_console(struct options *options, const char *value, struct mh_error *err)
{
    options->console = number_up_to(value, 1000000);
    if (options->console == 0)
        return fail(err, "console", value, "give the number of a machine, counted from 1");
    return MH_OK;
}

static enum mh_status take_label(struct options *options, const char *value, struct mh_error *err)
{
    static const char *const modes[] = {[LABEL_AUTO] = "auto", [LABEL_ALWAYS] = "always", [LABEL_NEVER] = "never"};
    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i]) == 0) {
            options->label = (enum label_mode)i;
            return MH_OK;
        }
    }
    return fail(err, "label", value, "give auto, always or never");
}

static enum mh_status take_serial(struct options *options, const char *value, struct mh_error *err)
{
    if (strcmp(value, "stdio") == 0)
        options->serial = SERIAL_STDIO;
    else if (strcmp(value, "pty") == 0)
        options->serial = SERIAL_PTY;
    else if (strcmp(value, "null") == 0)
        options->serial = SERIAL_NULL;
    else if (strncmp(value, "file:", 5) == 0 && value[5] != '\0') {
        options->serial = SERIAL_FILE;
        options->serial_path = value + 5;
    } else
        return fail(err, "serial", value, "give stdio, file:PATH, pty or null");
    return MH_OK;
}

static enum mh_status take_files_dir(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return fail(err, "files-dir", value, "give a directory");
    options->files_dir = value;
    return MH_OK;
}

static enum mh_status take_core(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return fail(err, "core", value, "give a directory");
    options->core_dir = value;
    return MH_OK;
}

static enum mh_status take_trace(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return fail(err, "trace", value, "give a file");
    options->trace_path = value;
    return MH_OK;
}

static enum mh_status take_stats(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->stats = true;
    return MH_OK;
}

static enum mh_status take_max_open(struct options *options, const char *value, struct mh_error *err)
{
    options->limits.open_files = (unsigned)number_up_to(value, OPEN_FILES_MAX);
    if (options->limits.open_files == 0)
        return fail(err, "max-open", value, "give a number from 1 to 1024");
    return MH_OK;
}

static enum mh_status take_max_written(struct options *options, const char *value, struct mh_error *err)
{
    options->limits.bytes_written = number_up_to(value, WRITTEN_MAX_MB) * MB;
    if (options->limits.bytes_written == 0)
        return fail(err, "max-written", value, "give a number of MB from 1 to 1048576");
    return MH_OK;
}

static enum mh_status take_gdb(struct options *options, const char *value, struct mh_error *err)
{
    options->gdb = true;
    enum mh_status status = mh_gdb_parse_endpoint(value, &options->gdb_endpoint, err);
    return status == MH_OK ? MH_OK : mh_fail_in(err, "--gdb: ");
}

static enum mh_status take_gdb_all(struct options *options, const char *value, struct mh_error *err)
{
    options->gdb_all = true;
    return take_gdb(options, value, err);
}

static enum mh_status take_gdb_run(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->gdb_runs = true;
    return MH_OK;
}

/* QEMU's -s: the usual port, and no waiting. */
static enum mh_status take_s(struct options *options, const char *value, struct mh_error *err)
{
    (void)value;
    options->gdb_runs = true;
    return take_gdb(options, GDB_PORT, err);
}

/* QEMU's -S: wait. */
static enum mh_status take_capital_s(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->gdb_freezes = true;
    return MH_OK;
}

static enum mh_status take_gdb_hold(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->gdb_holds = true;
    return MH_OK;
}

static enum mh_status take_gdb_lost(struct options *options, const char *value, struct mh_error *err)
{
    static const char *const words[] = {
        [MH_GDB_LOST_STOP] = "stop", [MH_GDB_LOST_CONTINUE] = "continue", [MH_GDB_LOST_KILL] = "kill"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(value, words[i]) == 0) {
            options->gdb_lost = (enum mh_gdb_lost)i;
            return MH_OK;
        }
    }
    return fail(err, "gdb-lost", value, "give stop, continue or kill");
}

static enum mh_status take_probe(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->probe = true;
    return MH_OK;
}

static enum mh_status take_help(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->help = true;
    return MH_OK;
}

static enum mh_status take_version(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->version = true;
    return MH_OK;
}

const struct option option_table[OPTION_COUNT] = {
    {"memory", 'm', false, true, NULL, take_memory},
    {"page", 'p', false, true, NULL, take_page},
    {"guest", 'g', true, true, NULL, take_guest},
    {"file", 'f', true, true, NULL, take_file},
    {"timeout", 0, false, true, NULL, take_timeout},
    {"console", 0, false, true, NULL, take_console},
    {"label", 0, false, true, NULL, take_label},
    {"serial", 0, false, true, NULL, take_serial},
    {"files-dir", 0, false, true, NULL, take_files_dir},
    {"max-open", 0, false, true, NULL, take_max_open},
    {"max-written", 0, false, true, NULL, take_max_written},
    {"core", 0, false, true, NULL, take_core},
    {"trace", 0, false, true, NULL, take_trace},
    {"stats", 0, false, false, NULL, take_stats},
    {"gdb", 0, false, true, GDB_PORT, take_gdb},
    {"gdb-all", 0, false, true, GDB_PORT, take_gdb_all},
    {"gdb-run", 0, false, false, NULL, take_gdb_run},
    {"gdb-hold", 0, false, false, NULL, take_gdb_hold},
    {"gdb-lost", 0, false, true, NULL, take_gdb_lost},
    {"s", 's', false, false, NULL, take_s},
    {"S", 'S', false, false, NULL, take_capital_s},
    {"probe", 0, false, false, NULL, take_probe},
    {"help", 'h', false, false, NULL, take_help},
    {"version", 'V', false, false, NULL, take_version},
};
