#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GDB_PORT "1234"

#define MB (1024ull * 1024)
#define TIMEOUT_MAX_SECONDS 1e7
#define WRITTEN_MAX_MB (1024ul * 1024)
#define OPEN_FILES_MAX 1024ul

/* Takes one value of an option. */
typedef enum mh_status take_value(struct options *options, const char *value, struct mh_error *err);

struct option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    bool is_list;     /* takes every word up to the next option */
    bool has_value;
    const char *default_value; /* what a missing value stands for; NULL: it may not be missing */
    take_value *take;
};

static enum mh_status fail(struct mh_error *err, const char *option, const char *value, const char *advice)
{
    return mh_fail(err, MH_ERR_USAGE, "--%s %s: %s", option, value, advice);
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
        return fail(err, "timeout", value, "give a number of seconds above 0, such as 10 or 0.5");
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
        return fail(err, "files-dir", "''", "give a directory");
    options->files_dir = value;
    return MH_OK;
}

static enum mh_status take_core(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return fail(err, "core", "''", "give a directory");
    options->core_dir = value;
    return MH_OK;
}

static enum mh_status take_trace(struct options *options, const char *value, struct mh_error *err)
{
    if (*value == '\0')
        return fail(err, "trace", "''", "give a file");
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

static enum mh_status take_anywhere(struct options *options, const char *value, struct mh_error *err)
{
    (void)value, (void)err;
    options->anywhere = true;
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

static const struct option option_table[] = {
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
    {"anywhere", 0, false, false, NULL, take_anywhere},
    {"help", 'h', false, false, NULL, take_help},
    {"version", 'V', false, false, NULL, take_version},
};

#define OPTION_COUNT (sizeof option_table / sizeof option_table[0])

/* Insertions, deletions and changes that lead from `a` to `b`; words of more than 31 bytes are far from everything. */
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
    unsigned distance = 3; /* farther than two edits is no suggestion */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        unsigned d = edit_distance(name, option_table[i].name);
        if (d < distance && d < strlen(option_table[i].name)) { /* every letter is one edit away from every other */
            distance = d;
            nearest = &option_table[i];
        }
    }
    if (nearest == NULL)
        return mh_fail(err, MH_ERR_USAGE, "unknown option '%s'; --help lists them all", word);
    return mh_fail(err, MH_ERR_USAGE, "unknown option '%s': did you mean --%s?", word, nearest->name);
}

/* The option `word` names, with *value set to what follows '=' or the letter; NULL value when nothing does. */
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
        /* "-guest" is a mistake to be told, not the letter g with the value "uest" */
        bool is_letter = word[0] == '-' && option->letter != 0 && word[1] == option->letter;
        if (is_letter && (word[2] == '\0' || strcmp(word + 1, option->name) != 0)) {
            *value = word[2] != '\0' ? word + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

struct parser {
    char *const *next; /* the word to read; the list ends with NULL */
    struct options *options;
    struct mh_error *err;
    const char *first_value[OPTION_COUNT]; /* what an option that is not a list was given already */
};

static bool is_value(const char *word)
{
    return word != NULL && (word[0] != '-' || word[1] == '\0');
}

static enum mh_status take_list(struct parser *parser, const struct option *option, const char *value)
{
    if (value == NULL && !is_value(*parser->next))
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s needs at least one path", option->name);
    enum mh_status status = value == NULL ? MH_OK : option->take(parser->options, value, parser->err);
    while (status == MH_OK && is_value(*parser->next))
        status = option->take(parser->options, *parser->next++, parser->err);
    return status;
}

static enum mh_status take_single(struct parser *parser, const struct option *option, const char *value)
{
    if (value == NULL && is_value(*parser->next))
        value = *parser->next++;
    if (value == NULL)
        value = option->default_value;
    if (value == NULL)
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s needs a value", option->name);
    const char **first = &parser->first_value[option - option_table];
    if (*first != NULL && strcmp(*first, value) != 0)
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s is given twice, as %s and as %s: choose one", option->name,
                       *first, value);
    *first = value;
    return option->take(parser->options, value, parser->err);
}

static enum mh_status parse_word(struct parser *parser)
{
    const char *word = *parser->next++;
    if (is_value(word))
        return mh_fail(parser->err, MH_ERR_USAGE, "'%s' stands alone: did you mean --guest %s?", word, word);
    const char *value;
    const struct option *option = find_option(word, &value);
    if (option == NULL)
        return fail_unknown(word, parser->err);
    if (option->is_list)
        return take_list(parser, option, value);
    if (option->has_value)
        return take_single(parser, option, value);
    if (value != NULL)
        return mh_fail(parser->err, MH_ERR_USAGE, "--%s takes no value", option->name);
    return option->take(parser->options, NULL, parser->err);
}

static bool is_given(const struct parser *parser, take_value *take)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_table[i].take == take)
            return parser->first_value[i] != NULL;
    }
    return false;
}

static enum mh_status check_gdb(const struct parser *parser, struct options *options, struct mh_error *err)
{
    if (is_given(parser, take_gdb) && is_given(parser, take_gdb_all))
        return mh_fail(err, MH_ERR_USAGE, "--gdb gives each machine a place, --gdb-all one to all: choose one");
    const struct mh_gdb_endpoint *endpoint = &options->gdb_endpoint;
    size_t count = options->guests.count;
    options->gdb_waits = options->gdb_freezes || !options->gdb_runs;
    if (!options->gdb &&
        (options->gdb_runs || options->gdb_freezes || options->gdb_holds || options->gdb_lost != MH_GDB_LOST_STOP))
        return mh_fail(err, MH_ERR_USAGE, "an option for debugging, but no place for a debugger: add --gdb");
    if (!options->gdb || options->gdb_all || count == 1)
        return MH_OK;
    if (endpoint->transport == MH_GDB_STDIO)
        return mh_fail(err, MH_ERR_USAGE, "--gdb stdio has room for one machine, not for %zu", count);
    if (endpoint->transport == MH_GDB_UNIX && strstr(endpoint->path, "%n") == NULL)
        return mh_fail(err, MH_ERR_USAGE, "--gdb unix:%s: several machines need a socket each; put %%n into its name",
                       endpoint->path);
    if (endpoint->transport == MH_GDB_UNIX &&
        snprintf(NULL, 0, "%s%zu", endpoint->path, count) - 2 >= (int)MH_GDB_PATH_MAX)
        return mh_fail(err, MH_ERR_USAGE, "--gdb unix:%s: too long for a UNIX socket when %%n is %zu", endpoint->path,
                       count);
    if (endpoint->transport == MH_GDB_TCP && endpoint->port != 0 && endpoint->port + count - 1 > UINT16_MAX)
        return mh_fail(err, MH_ERR_USAGE, "--gdb %u: there are no %zu ports from there on", endpoint->port, count);
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

static enum mh_status check_together(const struct parser *parser)
{
    struct options *options = parser->options;
    struct mh_error *err = parser->err;
    if (options->guests.count == 0)
        return mh_fail(err, MH_ERR_USAGE, "no guest to run: name at least one image with --guest FILE");
    if (options->console > options->guests.count)
        return mh_fail(err, MH_ERR_USAGE, "--console %zu: there %s only %zu machine%s", options->console,
                       options->guests.count == 1 ? "is" : "are", options->guests.count,
                       options->guests.count == 1 ? "" : "s");
    if (is_given(parser, take_console) && options->serial != SERIAL_STDIO)
        return mh_fail(err, MH_ERR_USAGE, "--console chooses who reads stdin, but --serial connects nobody to it");
    if (options->serial == SERIAL_FILE && options->guests.count > 1 && strstr(options->serial_path, "%n") == NULL)
        return mh_fail(err, MH_ERR_USAGE, "--serial file:%s: several machines need a file each; put %%n into its name",
                       options->serial_path);
    if (options->anywhere && options->serial == SERIAL_PTY)
        return mh_fail(err, MH_ERR_USAGE,
                       "--serial pty: with --anywhere the pseudo-terminal would be in the emulated "
                       "machine; use stdio, file:PATH or null");
    return check_gdb(parser, options, err);
}

enum mh_status options_parse(int argc, char *const *argv, struct options *options, struct mh_error *err)
{
    *options = (struct options){
        .ram_size = 2 * MB,
        .page_size = 2 * MB,
        .console = 1,
        .files_dir = "vm-files",
        .limits = {.open_files = 16, .bytes_written = 64 * MB},
    };
    struct parser parser = {.next = argv + (argc > 0 ? 1 : 0), .options = options, .err = err};
    while (*parser.next != NULL) {
        enum mh_status status = parse_word(&parser);
        if (status != MH_OK)
            return status;
    }
    bool runs_guests = !options->help && !options->version && !options->probe;
    return runs_guests ? check_together(&parser) : MH_OK;
}

void options_free(struct options *options)
{
    free(options->guests.words);
    free(options->files.words);
}
