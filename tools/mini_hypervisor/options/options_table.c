#include "options/options_table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GDB_PORT "1234"
#define TIMEOUT_MAX_SECONDS 1e7
#define WRITTEN_MAX_MB (1024ul * 1024)
#define LOAD_END (8 * MB) /* no machine has more memory */
#define OPEN_FILES_MAX 1024ul
#define INSTRUCTIONS_MAX 1000000000000000000ul /* thousands of years */

/* The value is refused; `advice` says which are accepted. */
static enum mh_status refuse_value(struct mh_error *err, const char *option, const char *value, const char *advice)
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

/* Multiplies by what `suffix` stands for: K, KB or KiB, M, MB or MiB, in either case. 0 for any other. */
static uint64_t suffix_factor(const char *suffix)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } suffixes[] = {{"k", KB}, {"kb", KB}, {"kib", KB}, {"m", MB}, {"mb", MB}, {"mib", MB}};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (strcasecmp(suffix, suffixes[i].suffix) == 0)
            return suffixes[i].factor;
    }
    return 0;
}

/* A size in bytes: a number with a suffix, such as "4K" or "2MB". 0 for anything else. */
static uint64_t size_with_suffix(const char *text)
{
    char number[8];
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits >= sizeof number)
        return 0;
    memcpy(number, text, digits);
    number[digits] = '\0';
    return strtoul(number, NULL, 10) * suffix_factor(text + digits);
}

static enum mh_status take_memory(struct options *options, const char *value, struct mh_error *err)
{
    uint64_t size = number_up_to(value, 8) * MB;
    if (size == 0)
        size = size_with_suffix(value);
    if (size != 2 * MB && size != 4 * MB && size != 8 * MB)
        return refuse_value(err, "memory", value, "give 2M, 4M or 8M (2, 4 or 8 alone means MB)");
    options->ram_size = size;
    return MH_OK;
}

static enum mh_status take_page(struct options *options, const char *value, struct mh_error *err)
{
    /* without a suffix, as this option began: 4 is in KB, 2 in MB */
    const unsigned long bare = number_up_to(value, 4);
    const uint64_t size = bare == 4 ? 4 * KB : bare == 2 ? 2 * MB : size_with_suffix(value);
    if (size != 4 * KB && size != 2 * MB)
        return refuse_value(err, "page", value, "give 4K or 2M (4 alone means 4 KB, 2 alone means 2 MB)");
    options->page_size = (uint32_t)size;
    return MH_OK;
}

static enum mh_status take_load(struct options *options, const char *value, struct mh_error *err)
{
    const bool is_hex = strncasecmp(value, "0x", 2) == 0;
    const char *digits = is_hex ? value + 2 : value;
    char *end;
    errno = 0;
    options->load_address = strtoull(digits, &end, is_hex ? 16 : 10);
    /* strtoull() takes signs, spaces and another 0x */
    const size_t length = strspn(digits, is_hex ? "0123456789abcdefABCDEF" : "0123456789");
    if (length == 0 || digits[length] != '\0' || errno != 0 || options->load_address >= LOAD_END)
        return refuse_value(err, "load", value,
                            "give the address where flat images are loaded and entered, below 0x800000 (8 MB), "
                            "such as 0x8000 or 32768");
    return MH_OK;
}

/* The index of `value` among the words, or `count` when it is none of them. */
static size_t word_index(const char *value, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(value, words[i]) != 0)
        i++;
    return i;
}

static enum mh_status take_accel(struct options *options, const char *value, struct mh_error *err)
{
    static const char *const words[] = {[MH_ACCEL_AUTO] = "auto",
                                        [MH_ACCEL_KVM] = "kvm",
                                        [MH_ACCEL_SOFT] = "soft",
                                        [MH_ACCEL_INTERPRETER] = "soft,jit=off"};
    const size_t count = sizeof words / sizeof words[0];
    const size_t i = word_index(value, words, count);
    if (i == count)
        return refuse_value(err, "accel", value,
                            "give auto, kvm, or soft (the software processor, which needs no KVM)");
    options->accel = (enum mh_accel)i;
    return MH_OK;
}

static enum mh_status word_list_append(struct word_list *list, const char *word, struct mh_error *err)
{
    const char **words = realloc(list->words, (list->count + 1) * sizeof *words);
    if (words == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the command line");
    list->words = words;
    list->words[list->count++] = word;
    return MH_OK;
}

static enum mh_status take_guest(struct options *options, const char *value, struct mh_error *err)
{
    return word_list_append(&options->guests, value, err);
}

static enum mh_status take_file(struct options *options, const char *value, struct mh_error *err)
{
    return word_list_append(&options->files, value, err);
}

static enum mh_status take_timeout(struct options *options, const char *value, struct mh_error *err)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(seconds) || seconds <= 0 || seconds > TIMEOUT_MAX_SECONDS)
        return refuse_value(err, "timeout", value,
                            "give a number of seconds greater than 0 and up to 10000000, such as 10 or 0.5");
    options->timeout_ms = (int64_t)(seconds * 1000);
    if ((double)options->timeout_ms < seconds * 1000)
        options->timeout_ms++; /* rounds up; ceil() would load libm at every start */
    return MH_OK;
}

static enum mh_status take_max_instructions(struct options *options, const char *value, struct mh_error *err)
{
    options->max_instructions = number_up_to(value, INSTRUCTIONS_MAX);
    if (options->max_instructions == 0)
        return refuse_value(err, "max-instructions", value,
                            "give a whole number from 1 to 1000000000000000000, such as 1000000");
    return MH_OK;
}

static enum mh_status take_console(struct options *options, const char *value, struct mh_error *err)
{
    options->console = number_up_to(value, 1000000);
    if (options->console == 0)
        return refuse_value(err, "console", value, "give the number of a VM, counted from 1");
    return MH_OK;
}

static enum mh_status take_label(struct options *options, const char *value, struct mh_error *err)
{
    static const char *const words[] = {[LABEL_AUTO] = "auto", [LABEL_ALWAYS] = "always", [LABEL_NEVER] = "never"};
    const size_t count = sizeof words / sizeof words[0];
    const size_t i = word_index(value, words, count);
    if (i == count)
        return refuse_value(err, "label", value, "give auto, always or never");
    options->label = (enum label_mode)i;
    return MH_OK;
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
        return refuse_value(err, "serial", value, "give stdio, file:PATH, pty or null");
    return MH_OK;
}

static enum mh_status take_files_dir(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "files-dir", value, "give a directory");
    options->files_dir = value;
    return MH_OK;
}

static enum mh_status take_core(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "core", value, "give a directory");
    options->core_dir = value;
    return MH_OK;
}

static enum mh_status take_trace(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "trace", value, "give a file");
    options->trace_path = value;
    return MH_OK;
}

static enum mh_status take_report(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "report", value, "give a file");
    options->report_path = value;
    return MH_OK;
}

static enum mh_status take_record(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "record", value, "give a file");
    options->record_path = value;
    return MH_OK;
}

static enum mh_status take_coverage(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "coverage", value, "give a file");
    options->coverage_path = value;
    return MH_OK;
}

static enum mh_status take_profile(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "profile", value, "give a file");
    options->profile_path = value;
    return MH_OK;
}

static enum mh_status take_replay(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return refuse_value(err, "replay", value, "give a file that --record wrote");
    options->replay_path = value;
    return MH_OK;
}

static enum mh_status take_stats(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->stats = true;
    return MH_OK;
}

static enum mh_status take_perf_map(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->perf_map = true;
    return MH_OK;
}

static enum mh_status take_max_open(struct options *options, const char *value, struct mh_error *err)
{
    options->limits.open_files = (unsigned)number_up_to(value, OPEN_FILES_MAX);
    if (options->limits.open_files == 0)
        return refuse_value(err, "max-open", value, "give a number from 1 to 1024");
    return MH_OK;
}

static enum mh_status take_max_written(struct options *options, const char *value, struct mh_error *err)
{
    options->limits.bytes_written = number_up_to(value, WRITTEN_MAX_MB) * MB;
    if (options->limits.bytes_written == 0)
        return refuse_value(err, "max-written", value, "give a number of MB from 1 to 1048576");
    return MH_OK;
}

static enum mh_status take_exchange(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->exchange = true;
    return MH_OK;
}

static enum mh_status take_exchange_size(struct options *options, const char *value, struct mh_error *err)
{
    options->exchange_size = (uint32_t)number_up_to(value, MH_EXCHANGE_SIZE_MAX);
    if (options->exchange_size == 0)
        return refuse_value(err, "exchange-size", value, "give a number of bytes from 1 to 1048576");
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

/* QEMU's -s: the usual port, without waiting. */
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
    const size_t count = sizeof words / sizeof words[0];
    const size_t i = word_index(value, words, count);
    if (i == count)
        return refuse_value(err, "gdb-lost", value, "give stop, continue or kill");
    options->gdb_lost = (enum mh_gdb_lost)i;
    return MH_OK;
}

#define HISTORY_MAX_MB 65536u

static enum mh_status take_history(struct options *options, const char *value, struct mh_error *err)
{
    options->history = number_up_to(value, HISTORY_MAX_MB) * MB;
    if (options->history == 0)
        return refuse_value(err, "history", value, "give a number of MB from 1 to 65536");
    return MH_OK;
}

static enum mh_status take_no_history(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->no_history = true;
    return MH_OK;
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
    {"load", 0, false, true, NULL, take_load},
    {"accel", 0, false, true, NULL, take_accel},
    {"guest", 'g', true, true, NULL, take_guest},
    {"file", 'f', true, true, NULL, take_file},
    {"timeout", 0, false, true, NULL, take_timeout},
    {"max-instructions", 0, false, true, NULL, take_max_instructions},
    {"console", 0, false, true, NULL, take_console},
    {"label", 0, false, true, NULL, take_label},
    {"serial", 0, false, true, NULL, take_serial},
    {"files-dir", 0, false, true, NULL, take_files_dir},
    {"max-open", 0, false, true, NULL, take_max_open},
    {"max-written", 0, false, true, NULL, take_max_written},
    {"exchange", 0, false, false, NULL, take_exchange},
    {"exchange-size", 0, false, true, NULL, take_exchange_size},
    {"core", 0, false, true, NULL, take_core},
    {"trace", 0, false, true, NULL, take_trace},
    {"report", 0, false, true, NULL, take_report},
    {"record", 0, false, true, NULL, take_record},
    {"replay", 0, false, true, NULL, take_replay},
    {"stats", 0, false, false, NULL, take_stats},
    {"perf-map", 0, false, false, NULL, take_perf_map},
    {"coverage", 0, false, true, NULL, take_coverage},
    {"profile", 0, false, true, NULL, take_profile},
    {"gdb", 0, false, true, GDB_PORT, take_gdb},
    {"gdb-all", 0, false, true, GDB_PORT, take_gdb_all},
    {"gdb-run", 0, false, false, NULL, take_gdb_run},
    {"gdb-hold", 0, false, false, NULL, take_gdb_hold},
    {"gdb-lost", 0, false, true, NULL, take_gdb_lost},
    {"history", 0, false, true, NULL, take_history},
    {"no-history", 0, false, false, NULL, take_no_history},
    {"s", 's', false, false, NULL, take_s},
    {"S", 'S', false, false, NULL, take_capital_s},
    {"probe", 0, false, false, NULL, take_probe},
    {"help", 'h', false, false, NULL, take_help},
    {"version", 'V', false, false, NULL, take_version},
};
