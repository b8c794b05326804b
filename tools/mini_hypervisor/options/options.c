#include "options/options_table.h"

#include <stdlib.h>
#include <string.h>

/* How many insertions, deletions and changes turn `a` into `b`; 32 when one of them is longer than 31 bytes. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t length = strlen(b);
    if (length >= 32 || strlen(a) >= 32)
        return 32;
    for (unsigned j = 0; j <= length; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= length; j++) {
            unsigned change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            unsigned shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[length];
}

static enum mh_status fail_unknown(const char *word, struct mh_error *err)
{
    const char *name = word + strspn(word, "-");
    const struct option *nearest = NULL;
    unsigned distance = 3; /* suggest nothing that is more than two edits away */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        unsigned d = edit_distance(name, option_table[i].name);
        if (d < distance && d < strlen(option_table[i].name)) { /* every letter is one edit away from every other */
            distance = d;
            nearest = &option_table[i];
        }
    }
    if (nearest == NULL)
        return mh_fail(err, MH_ERR_USAGE, "unknown option '%s' (see --help)", word);
    return mh_fail(err, MH_ERR_USAGE, "unknown option '%s' (did you mean --%s?)", word, nearest->name);
}

/* The option that `word` names. *value is what follows '=' or the letter, NULL when nothing does. NULL: none. */
static const struct option *find_option(const char *word, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        size_t length = strlen(option->name);
        if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, option->name, length) == 0 &&
            (word[2 + length] == '\0' || word[2 + length] == '=')) {
            *value = word[2 + length] == '=' ? word + 3 + length : NULL;
            return option;
        }
        /* "-guest" is an error, not the letter g with the value "uest" */
        bool is_letter = word[0] == '-' && option->letter != 0 && word[1] == option->letter;
        if (is_letter && (word[2] == '\0' || strcmp(word + 1, option->name) != 0)) {
            *value = word[2] != '\0' ? word + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

struct parser {
    char *const *next; /* the next word; the list ends with NULL */
    struct options *options;
    struct mh_error *err;
    const char *first_value[OPTION_COUNT]; /* of options that are not lists; NULL: not given yet */
};

static bool is_value(const char *word)
{
    return word != NULL && (word[0] != '-' || word[1] == '\0');
}

/* No value where one must be. The next word may be meant for it: "--timeout -1". */
static enum mh_status parser_fail_no_value(const struct parser *parser, const struct option *option, const char *what)
{
    if (*parser->next == NULL)
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s needs %s", option->name, what);
    return mh_fail(parser->err, MH_ERR_USAGE, "--%s needs %s, and '%s' looks like an option", option->name, what,
                   *parser->next);
}

static enum mh_status parser_take_list(struct parser *parser, const struct option *option, const char *value)
{
    if (value == NULL && !is_value(*parser->next))
        return parser_fail_no_value(parser, option, "at least one file");
    enum mh_status status = value == NULL ? MH_OK : option->take(parser->options, value, parser->err);
    while (status == MH_OK && is_value(*parser->next))
        status = option->take(parser->options, *parser->next++, parser->err);
    return status;
}

static enum mh_status parser_take_single(struct parser *parser, const struct option *option, const char *value)
{
    if (value == NULL && is_value(*parser->next))
        value = *parser->next++;
    if (value == NULL)
        value = option->default_value;
    if (value == NULL)
        return parser_fail_no_value(parser, option, "a value");
    const char **first = &parser->first_value[option - option_table];
    if (*first != NULL && strcmp(*first, value) != 0)
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s is given twice, with %s and with %s; choose one", option->name,
                       *first, value);
    *first = value;
    return option->take(parser->options, value, parser->err);
}

static enum mh_status parser_take_word(struct parser *parser)
{
    const char *word = *parser->next++;
    if (is_value(word))
        return mh_fail(parser->err, MH_ERR_USAGE, "unexpected argument '%s' (did you mean --guest %s?)", word, word);
    const char *value;
    const struct option *option = find_option(word, &value);
    if (option == NULL)
        return fail_unknown(word, parser->err);
    if (option->is_list)
        return parser_take_list(parser, option, value);
    if (option->has_value)
        return parser_take_single(parser, option, value);
    if (value != NULL)
        return mh_fail(parser->err, MH_ERR_USAGE, "%s%s takes no value", option->name[1] == '\0' ? "-" : "--",
                       option->name);
    return option->take(parser->options, NULL, parser->err);
}

static enum mh_status parser_add_guest(struct options *options, const char *path, struct mh_error *err)
{
    const char **words = calloc(1, sizeof *words);
    if (words == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the command line");
    words[0] = path;
    options->guests = (struct word_list){.words = words, .count = 1};
    return MH_OK;
}

static bool parser_has(const struct parser *parser, const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(option_table[i].name, name) == 0)
            return parser->first_value[i] != NULL;
    }
    return false;
}

/* An option that is only good together with --gdb or --gdb-all; NULL when none is given. */
static const char *stray_gdb_option(const struct parser *parser)
{
    const struct options *options = parser->options;
    if (options->gdb_runs)
        return "--gdb-run";
    if (options->gdb_freezes)
        return "-S";
    if (options->gdb_holds)
        return "--gdb-hold";
    if (options->no_history)
        return "--no-history";
    if (parser_has(parser, "history"))
        return "--history";
    return options->gdb_lost != MH_GDB_LOST_STOP ? "--gdb-lost" : NULL;
}

static enum mh_status parser_check_gdb(const struct parser *parser, struct options *options, struct mh_error *err)
{
    if (parser_has(parser, "gdb") && parser_has(parser, "gdb-all"))
        return mh_fail(err, MH_ERR_USAGE,
                       "--gdb lets gdb connect to each VM, --gdb-all to all of them at one place; choose one");
    const struct mh_gdb_endpoint *endpoint = &options->gdb_endpoint;
    size_t count = options->guests.count;
    options->gdb_waits = options->gdb_freezes || !options->gdb_runs;
    if (options->no_history && parser_has(parser, "history"))
        return mh_fail(err, MH_ERR_USAGE, "--history keeps the past, --no-history does not; choose one");
    const char *stray = stray_gdb_option(parser);
    if (!options->gdb && stray != NULL)
        return mh_fail(err, MH_ERR_USAGE, "%s has no effect without a place where gdb connects; add --gdb", stray);
    if (!options->gdb || options->gdb_all || count == 1)
        return MH_OK;
    if (endpoint->transport == MH_GDB_STDIO)
        return mh_fail(err, MH_ERR_USAGE, "--gdb stdio serves one VM, not %zu; use --gdb-all stdio or a port", count);
    if (endpoint->transport == MH_GDB_UNIX && strstr(endpoint->path, "%n") == NULL)
        return mh_fail(err, MH_ERR_USAGE,
                       "--gdb unix:%s: several VMs need a socket each; put %%n, the VM's number, into the path",
                       endpoint->path);
    if (endpoint->transport == MH_GDB_UNIX &&
        snprintf(NULL, 0, "%s%zu", endpoint->path, count) - 2 >= (int)MH_GDB_PATH_MAX)
        return mh_fail(err, MH_ERR_USAGE,
                       "--gdb unix:%s: the path is too long for a UNIX socket when %%n is %zu; choose a shorter one",
                       endpoint->path, count);
    if (endpoint->transport == MH_GDB_TCP && endpoint->port != 0 && endpoint->port + count - 1 > UINT16_MAX)
        return mh_fail(
            err, MH_ERR_USAGE,
            "--gdb %u: %zu VMs need as many ports from there on, and the last port is 65535; choose a lower one",
            endpoint->port, count);
    return MH_OK;
}

struct mh_gdb_endpoint options_gdb_endpoint(const struct options *options, size_t number)
{
    struct mh_gdb_endpoint endpoint = options->gdb_endpoint;
    const char *mark = strstr(options->gdb_endpoint.path, "%n");
    if (endpoint.transport == MH_GDB_TCP && endpoint.port != 0)
        endpoint.port = (uint16_t)(endpoint.port + number - 1);
    if (endpoint.transport == MH_GDB_UNIX && mark != NULL)
        snprintf(endpoint.path, sizeof endpoint.path, "%.*s%zu%s", (int)(mark - options->gdb_endpoint.path),
                 options->gdb_endpoint.path, number, mark + 2);
    return endpoint;
}

/* A recording brings everything its machine is made of. */
static enum mh_status parser_check_replay(const struct parser *parser, struct options *options, struct mh_error *err)
{
    static const char *const brought[] = {"memory",      "page",      "record",           "no-history", "max-open",
                                          "max-written", "files-dir", "max-instructions", "exchange"};
    if (options->guests.count > 0 || options->files.count > 0)
        return mh_fail(err, MH_ERR_USAGE, "--replay %s: the recording has its guest and files; leave out --%s",
                       options->replay_path, options->guests.count > 0 ? "guest" : "file");
    for (size_t i = 0; i < sizeof brought / sizeof brought[0]; i++) {
        if (parser_has(parser, brought[i]) || (options->exchange && strcmp(brought[i], "exchange") == 0) ||
            (options->no_history && strcmp(brought[i], "no-history") == 0))
            return mh_fail(err, MH_ERR_USAGE, "--replay cannot be combined with --%s", brought[i]);
    }
    if (options->accel == MH_ACCEL_KVM)
        return mh_fail(err, MH_ERR_USAGE, "--replay runs in software; leave out --accel kvm");
    if (options->accel != MH_ACCEL_INTERPRETER)
        options->accel = MH_ACCEL_SOFT;
    return parser_add_guest(options, options->replay_path, err);
}

/* Each machine writes a file of its own. */
static enum mh_status parser_check_pattern(const struct options *options, const char *option, const char *path,
                                           struct mh_error *err)
{
    if (options->guests.count > 1 && strstr(path, "%n") == NULL)
        return mh_fail(err, MH_ERR_USAGE, "%s%s: several VMs need a file each; put %%n, the VM's number, into the path",
                       option, path);
    return MH_OK;
}

/* Only the software processor counts, and a debugger can run instructions again or change what they do. */
static enum mh_status parser_check_max_instructions(struct options *options, struct mh_error *err)
{
    if (options->gdb)
        return mh_fail(
            err, MH_ERR_USAGE,
            "--max-instructions limits guests that run without a debugger; leave out --gdb, or use --timeout");
    if (options->accel == MH_ACCEL_KVM)
        return mh_fail(err, MH_ERR_USAGE,
                       "--max-instructions: KVM does not count instructions; leave out --accel kvm, or use --timeout");
    if (options->accel != MH_ACCEL_INTERPRETER)
        options->accel = MH_ACCEL_SOFT;
    return MH_OK;
}

/* --coverage and --profile: only the software processor counts. */
static enum mh_status parser_check_counting(struct options *options, const char *option, const char *path,
                                            struct mh_error *err)
{
    if (path == NULL)
        return MH_OK;
    if (options->accel == MH_ACCEL_KVM)
        return mh_fail(err, MH_ERR_USAGE, "%scounts instructions, which KVM cannot; leave out --accel kvm", option);
    if (options->accel == MH_ACCEL_AUTO)
        options->accel = MH_ACCEL_SOFT;
    return parser_check_pattern(options, option, path, err);
}

static enum mh_status parser_check(const struct parser *parser)
{
    struct options *options = parser->options;
    struct mh_error *err = parser->err;
    enum mh_status status = MH_OK;
    if (options->replay_path != NULL)
        status = parser_check_replay(parser, options, err);
    else if (options->record_path != NULL)
        status = parser_check_pattern(options, "--record ", options->record_path, err);
    if (status == MH_OK && options->max_instructions != 0)
        status = parser_check_max_instructions(options, err);
    if (status == MH_OK)
        status = parser_check_counting(options, "--coverage ", options->coverage_path, err);
    if (status == MH_OK)
        status = parser_check_counting(options, "--profile ", options->profile_path, err);
    if (status == MH_OK && options->report_path != NULL)
        status = parser_check_pattern(options, "--report ", options->report_path, err);
    if (status != MH_OK)
        return status;
    if (options->guests.count == 0)
        return mh_fail(err, MH_ERR_USAGE, "no guest to run; name an image with --guest FILE (see --help)");
    if (options->console > options->guests.count)
        return mh_fail(err, MH_ERR_USAGE, "--console %zu: there %s only %zu VM%s", options->console,
                       options->guests.count == 1 ? "is" : "are", options->guests.count,
                       options->guests.count == 1 ? "" : "s");
    if (parser_has(parser, "exchange-size") && !options->exchange)
        return mh_fail(err, MH_ERR_USAGE, "--exchange-size has no effect without an exchange; add --exchange");
    if (parser_has(parser, "console") && options->serial != SERIAL_STDIO)
        return mh_fail(err, MH_ERR_USAGE,
                       "--console selects the VM that reads stdin, but only --serial stdio connects one to it");
    if (options->serial == SERIAL_FILE)
        status = parser_check_pattern(options, "--serial file:", options->serial_path, err);
    return status == MH_OK ? parser_check_gdb(parser, options, err) : status;
}

enum mh_status options_parse(int argc, char *const *argv, struct options *options, struct mh_error *err)
{
    *options = (struct options){
        .ram_size = 2 * MB,
        .page_size = 2 * MB,
        .console = 1,
        .files_dir = "vm-files",
        .limits = {.open_files = 16, .bytes_written = 64 * MB},
        .history = 256 * MB,
        .exchange_size = MH_EXCHANGE_SIZE_DEFAULT,
    };
    struct parser parser = {.next = argv + (argc > 0 ? 1 : 0), .options = options, .err = err};
    while (*parser.next != NULL) {
        enum mh_status status = parser_take_word(&parser);
        if (status != MH_OK)
            return status;
    }
    bool runs_guests = !options->help && !options->version && !options->probe;
    return runs_guests ? parser_check(&parser) : MH_OK;
}

void options_free(struct options *options)
{
    free(options->guests.words);
    free(options->files.words);
}
