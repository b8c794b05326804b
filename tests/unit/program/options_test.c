#include "options/options.h"

#include "options/options_table.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

/* A command line without the program's name, words separated by single spaces; none of them is empty. */
struct line {
    char text[512];
    char *argv[WORDS_MAX + 2];
    int argc;
};

static void split(struct line *line, const char *text)
{
    *line = (struct line){.argc = 1};
    line->argv[0] = line->text;
    strcpy(line->text, "mini_hypervisor");
    char *words = line->text + sizeof "mini_hypervisor";
    assert_true(strlen(text) < sizeof line->text - sizeof "mini_hypervisor");
    strcpy(words, text);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(line->argc <= WORDS_MAX);
        line->argv[line->argc++] = word;
    }
}

struct fixture {
    struct line line;
    struct options options;
};

static int set_up(void **state)
{
    *state = test_calloc(1, sizeof(struct fixture));
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    options_free(&f->options);
    test_free(f);
    return 0;
}

static const struct options *parse(struct fixture *f, const char *text)
{
    struct mh_error err = {0};
    options_free(&f->options);
    split(&f->line, text);
    if (options_parse(f->line.argc, f->line.argv, &f->options, &err) != MH_OK)
        fail_msg("'%s' is refused: %s", text, err.text);
    return &f->options;
}

static void refuse_words(struct fixture *f, int argc, char **argv, const char *words)
{
    struct mh_error err = {0};
    options_free(&f->options);
    assert_int_equal(options_parse(argc, argv, &f->options, &err), MH_ERR_USAGE);
    assert_int_equal(err.status, MH_ERR_USAGE);
    assert_text_has(err.text, words);
    assert_null(strchr(err.text, '\n'));
}

static void refused(struct fixture *f, const char *text, const char *words)
{
    split(&f->line, text);
    refuse_words(f, f->line.argc, f->line.argv, words);
}

static void are_words(const struct word_list *list, const char *const *words, size_t count)
{
    assert_int_equal(list->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list->words[i], words[i]);
}

/* ---- the two command lines everybody copies, and the defaults ---- */

static void the_first_example_is_understood(void **state)
{
    const struct options *options = parse(*state, "--memory 4 --page 2 --guest guest.img");
    static const char *const guests[] = {"guest.img"};
    assert_int_equal(options->ram_size, 4 * MB);
    assert_int_equal(options->page_size, 2 * MB);
    are_words(&options->guests, guests, 1);
    assert_int_equal(options->files.count, 0);
}

static void the_second_example_is_understood(void **state)
{
    const struct options *options = parse(*state, "-m 4 -p 2 -g guest1.img guest2.img -f ./flowers.png notes.txt");
    static const char *const guests[] = {"guest1.img", "guest2.img"};
    static const char *const files[] = {"./flowers.png", "notes.txt"};
    are_words(&options->guests, guests, 2);
    are_words(&options->files, files, 2);
}

static void images_are_loaded_where_load_says(void **state)
{
    static const char *const bad[] = {"0x", "8000h", "-1", "+1", "0x800000", "8388608", "99999999999999999999"};
    assert_int_equal(parse(*state, "-g a.img --load 0x8000")->load_address, 0x8000);
    assert_int_equal(parse(*state, "-g a.img --load=0X7fFfff")->load_address, 0x7fffff);
    assert_int_equal(parse(*state, "-g a.img --load 010")->load_address, 10);
    assert_int_equal(parse(*state, "-g a.img --load 0")->load_address, 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        char line[64];
        snprintf(line, sizeof line, "-g a.img --load=%s", bad[i]);
        refused(*state, line, "--load '");
    }
}

static void what_is_not_said_has_the_documented_values(void **state)
{
    const struct options *options = parse(*state, "-g a.img");
    assert_int_equal(options->ram_size, 2 * MB);
    assert_int_equal(options->page_size, 2 * MB);
    assert_int_equal(options->load_address, 0);
    assert_int_equal(options->timeout_ms, 0);
    assert_int_equal(options->console, 1);
    assert_int_equal(options->label, LABEL_AUTO);
    assert_int_equal(options->serial, SERIAL_STDIO);
    assert_string_equal(options->files_dir, "vm-files");
    assert_int_equal(options->limits.open_files, 16);
    assert_int_equal(options->limits.bytes_written, 64 * MB);
    assert_false(options->help || options->version);
}

/* ---- each option ---- */

static void memory_is_2_4_or_8(void **state)
{
    assert_int_equal(parse(*state, "-g a -m 2")->ram_size, 2 * MB);
    assert_int_equal(parse(*state, "-g a -m 4")->ram_size, 4 * MB);
    assert_int_equal(parse(*state, "-g a --memory 8")->ram_size, 8 * MB);
    static const char *const with_suffix[] = {"4M", "4m", "4MB", "4mb", "4MiB", "4096K", "4096kb", "04M"};
    for (size_t i = 0; i < COUNT(with_suffix); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a -m %s", with_suffix[i]);
        assert_int_equal(parse(*state, text)->ram_size, 4 * MB);
    }
    static const char *const bad[] = {"0",
                                      "1",
                                      "3",
                                      "6",
                                      "16",
                                      "x",
                                      "2x",
                                      "3M",
                                      "16MB",
                                      "4K",
                                      "4MM",
                                      "4G",
                                      "M",
                                      "+2",
                                      "2.0",
                                      "0x2",
                                      "-4M",
                                      "4.0M",
                                      "4Mb/s",
                                      "4B",
                                      "4T",
                                      "4KM",
                                      "2b",
                                      "8i",
                                      "2iB",
                                      "2048",
                                      "",
                                      "9999999M",
                                      "99999999999999999999"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --memory=%s", bad[i]);
        refused(*state, text, "give 2M, 4M or 8M (2, 4 or 8 alone means MB)");
    }
    refused(*state, "-g a -m 3", "--memory '3':");
}

static void pages_are_2_or_4(void **state)
{
    assert_int_equal(parse(*state, "-g a -p 2")->page_size, 2 * MB);
    assert_int_equal(parse(*state, "-g a --page 4")->page_size, 4096);
    static const char *const small[] = {"4K", "4k", "4KB", "4kb", "4KiB"};
    static const char *const large[] = {"2M", "2m", "2MB", "2mb", "2MiB", "2048K"};
    for (size_t i = 0; i < COUNT(small); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a -p %s", small[i]);
        assert_int_equal(parse(*state, text)->page_size, 4096);
    }
    for (size_t i = 0; i < COUNT(large); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --page=%s", large[i]);
        assert_int_equal(parse(*state, text)->page_size, 2 * MB);
    }
    static const char *const bad[] = {"0", "1", "3", "8", "4096", "4M", "2K", "1G", "K", "4KK", "x"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --page %s", bad[i]);
        refused(*state, text, "give 4K or 2M (4 alone means 4 KB, 2 alone means 2 MB)");
    }
}

static void the_processor_is_auto_kvm_or_soft(void **state)
{
    assert_int_equal(parse(*state, "-g a")->accel, MH_ACCEL_AUTO);
    assert_int_equal(parse(*state, "-g a --accel auto")->accel, MH_ACCEL_AUTO);
    assert_int_equal(parse(*state, "-g a --accel kvm")->accel, MH_ACCEL_KVM);
    assert_int_equal(parse(*state, "--accel=soft -g a")->accel, MH_ACCEL_SOFT);
    assert_int_equal(parse(*state, "--accel=soft,jit=off -g a")->accel, MH_ACCEL_INTERPRETER);
    assert_int_equal(parse(*state, "--probe --accel soft")->accel, MH_ACCEL_SOFT);
    static const char *const bad[] = {"", "tcg", "KVM", "kvm:soft", "sof", "softy"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --accel=%s", bad[i]);
        refused(*state, text, "give auto, kvm, or soft (the software processor, which needs no KVM)");
    }
    refused(*state, "-g a --accel kvm --accel soft", "--accel is given twice, with kvm and with soft; choose one");
    refused(*state, "-g a -accel kvm", "unknown option '-accel' (did you mean --accel?)");
}

static void timeouts_are_positive_seconds(void **state)
{
    assert_int_equal(parse(*state, "-g a --timeout 10")->timeout_ms, 10000);
    assert_int_equal(parse(*state, "-g a --timeout 0.5")->timeout_ms, 500);
    assert_int_equal(parse(*state, "-g a --timeout 0.0001")->timeout_ms, 1);
    assert_int_equal(parse(*state, "-g a --timeout 1e7")->timeout_ms, 10000000000);
    static const char *const bad[] = {"0", "0.0", "x", "10s", "inf", "nan", "1e8", "1e999"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --timeout %s", bad[i]);
        refused(*state, text, "give a number of seconds greater than 0");
    }
    refused(*state, "-g a --timeout=-1", "give a number of seconds greater than 0");
}

static void a_limit_of_instructions_needs_the_processor_that_counts(void **state)
{
    const struct options *options = parse(*state, "-g a --max-instructions 1000000");
    assert_int_equal(options->max_instructions, 1000000);
    assert_int_equal(options->accel, MH_ACCEL_SOFT);
    assert_int_equal(parse(*state, "-g a --max-instructions 1 --accel soft,jit=off")->accel, MH_ACCEL_INTERPRETER);
    static const char *const bad[] = {"0", "x", "1k", "1e6", "1.5", "1000000000000000001"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --max-instructions %s", bad[i]);
        refused(*state, text, "give a whole number from 1 to");
    }
    refused(*state, "-g a --max-instructions 1 --accel kvm", "KVM does not count instructions; leave out --accel kvm");
    refused(*state, "-g a --max-instructions 1 --gdb", "leave out --gdb");
    refused(*state, "--replay a --max-instructions 1", "--replay cannot be combined with --max-instructions");
}

static void the_console_is_one_of_the_machines(void **state)
{
    assert_int_equal(parse(*state, "-g a b --console 2")->console, 2);
    assert_int_equal(parse(*state, "--console 2 -g a b")->console, 2);
    refused(*state, "-g a --console 0", "give the number of a VM, counted from 1");
    refused(*state, "-g a --console x", "give the number of a VM, counted from 1");
    refused(*state, "-g a --console 2", "--console 2: there is only 1 VM");
    refused(*state, "-g a b --console 3", "--console 3: there are only 2 VMs");
}

static void trace_and_statistics_are_off_unless_given(void **state)
{
    assert_null(parse(*state, "-g a")->trace_path);
    assert_false(parse(*state, "-g a")->stats);
    assert_string_equal(parse(*state, "-g a --trace t.json")->trace_path, "t.json");
    assert_false(parse(*state, "-g a")->perf_map);
    assert_true(parse(*state, "-g a --perf-map")->perf_map);
    assert_true(parse(*state, "-g a --stats")->stats);
    refused(*state, "-g a --trace=", "--trace '': give a file");
    refused(*state, "-g a --stats=yes", "--stats takes no value");
    assert_null(parse(*state, "-g a")->report_path);
    assert_string_equal(parse(*state, "-g a --report r.html")->report_path, "r.html");
    assert_string_equal(parse(*state, "-g a b --report r%n.html")->report_path, "r%n.html");
    refused(*state, "-g a --report=", "--report '': give a file");
    refused(*state, "-g a b --report r.html", "--report r.html: several VMs need a file each; put %n, the VM's number");
}

static void labels_are_auto_always_or_never(void **state)
{
    assert_int_equal(parse(*state, "-g a --label auto")->label, LABEL_AUTO);
    assert_int_equal(parse(*state, "-g a --label always")->label, LABEL_ALWAYS);
    assert_int_equal(parse(*state, "-g a --label never")->label, LABEL_NEVER);
    refused(*state, "-g a --label sometimes", "--label 'sometimes': give auto, always or never");
    refused(*state, "-g a --label=", "give auto, always or never");
}

static void serial_ports_lead_to_four_kinds_of_places(void **state)
{
    assert_int_equal(parse(*state, "-g a --serial stdio")->serial, SERIAL_STDIO);
    assert_int_equal(parse(*state, "-g a --serial pty")->serial, SERIAL_PTY);
    assert_int_equal(parse(*state, "-g a --serial null")->serial, SERIAL_NULL);
    const struct options *options = parse(*state, "-g a --serial file:out.txt");
    assert_int_equal(options->serial, SERIAL_FILE);
    assert_string_equal(options->serial_path, "out.txt");
    static const char *const bad[] = {"file:", "file", "out.txt", "PTY", "stdio:"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --serial %s", bad[i]);
        refused(*state, text, "give stdio, file:PATH, pty or null");
    }
}

static void several_machines_need_a_serial_file_each(void **state)
{
    assert_string_equal(parse(*state, "-g a b --serial file:out-%n")->serial_path, "out-%n");
    refused(*state, "-g a b --serial file:out", "several VMs need a file each; put %n, the VM's number, into the path");
}

static void a_console_without_stdio_is_a_contradiction(void **state)
{
    refused(*state, "-g a --console 1 --serial null",
            "--console selects the VM that reads stdin, but only --serial stdio connects one");
    refused(*state, "-g a --serial pty --console 1", "--console selects the VM that reads stdin");
    parse(*state, "-g a --serial stdio --console 1");
}

static void the_directory_of_files_has_a_name(void **state)
{
    assert_string_equal(parse(*state, "-g a --files-dir some/where")->files_dir, "some/where");
    refused(*state, "-g a --files-dir=", "give a directory");
}

static void limits_of_files_are_within_bounds(void **state)
{
    assert_int_equal(parse(*state, "-g a --max-open 1")->limits.open_files, 1);
    assert_int_equal(parse(*state, "-g a --max-open 1024")->limits.open_files, 1024);
    assert_int_equal(parse(*state, "-g a --max-written 1")->limits.bytes_written, MB);
    assert_int_equal(parse(*state, "-g a --max-written 1048576")->limits.bytes_written, 1ull << 40);
    static const char *const bad[] = {"0", "1025", "x", "99999999999999999999"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "-g a --max-open %s", bad[i]);
        refused(*state, text, "give a number from 1 to 1024");
    }
    refused(*state, "-g a --max-written 0", "give a number of MB from 1 to 1048576");
    refused(*state, "-g a --max-written 1048577", "give a number of MB from 1 to 1048576");
}

static void help_and_version_need_nothing_else(void **state)
{
    assert_true(parse(*state, "--help")->help);
    assert_true(parse(*state, "-h")->help);
    assert_true(parse(*state, "--version")->version);
    assert_true(parse(*state, "--probe")->probe);
    assert_true(parse(*state, "-V")->version);
    assert_true(parse(*state, "-m 4 --help")->help);
    refused(*state, "--help=me", "--help takes no value");
    refused(*state, "-sS", "-s takes no value");
    refused(*state, "--version=1", "--version takes no value");
    refused(*state, "--help --nonsense", "unknown option '--nonsense'");
}

/* ---- how values may be written ---- */

static void values_may_follow_an_equals_sign_or_a_letter(void **state)
{
    assert_int_equal(parse(*state, "-g a --memory=4")->ram_size, 4 * MB);
    assert_int_equal(parse(*state, "-g a -m4")->ram_size, 4 * MB);
    assert_int_equal(parse(*state, "-g a -p4")->page_size, 4096);
    assert_string_equal(parse(*state, "-g a --files-dir=x=y")->files_dir, "x=y");
    refused(*state, "-g a --memory=", "--memory '': give 2M, 4M or 8M");
}

static void lists_may_be_repeated_and_written_in_every_way(void **state)
{
    static const char *const guests[] = {"a", "b", "c", "d", "e", "a"};
    static const char *const files[] = {"x", "y"};
    const struct options *options = parse(*state, "-g a b --file=x --guest=c d -ge -f y --guest a");
    are_words(&options->guests, guests, COUNT(guests));
    are_words(&options->files, files, COUNT(files));
}

static void a_lone_dash_is_a_value(void **state)
{
    static const char *const guests[] = {"-", "a"};
    are_words(&parse(*state, "-g - a")->guests, guests, 2);
}

static void missing_values_are_told(void **state)
{
    refused(*state, "-g", "--guest needs at least one file");
    refused(*state, "--guest -m 4", "--guest needs at least one file, and '-m' looks like an option");
    refused(*state, "-g a --timeout -1", "--timeout needs a value, and '-1' looks like an option");
    refused(*state, "-g a -f", "--file needs at least one file");
    static const char *const singles[] = {"memory",    "page",     "timeout",     "console", "label", "serial",
                                          "files-dir", "max-open", "max-written", "trace",   "accel", "report"};
    for (size_t i = 0; i < COUNT(singles); i++) {
        char text[64], words[64];
        snprintf(words, sizeof words, "--%s needs a value", singles[i]);
        snprintf(text, sizeof text, "-g a --%s", singles[i]);
        refused(*state, text, words);
        snprintf(text, sizeof text, "--%s -g a", singles[i]);
        refused(*state, text, words);
    }
}

static void contradictions_are_told_with_both_values(void **state)
{
    refused(*state, "-g a -m 2 --memory 4", "--memory is given twice, with 2 and with 4; choose one");
    refused(*state, "-g a --serial pty --serial=null", "--serial is given twice, with pty and with null");
    assert_int_equal(parse(*state, "-g a -m 4 --memory=4")->ram_size, 4 * MB);
}

/* ---- what is no option ---- */

static void nothing_to_run_is_told(void **state)
{
    refused(*state, "", "no guest to run; name an image with --guest FILE (see --help)");
    refused(*state, "-m 4 -f x", "no guest to run");
}

static void an_empty_argument_list_is_no_crash(void **state)
{
    char *argv[] = {NULL};
    refuse_words(*state, 0, argv, "no guest to run");
}

static void an_unexpected_argument_was_probably_a_guest(void **state)
{
    refused(*state, "guest.img", "unexpected argument 'guest.img' (did you mean --guest guest.img?)");
    refused(*state, "-m 4 guest.img", "did you mean --guest guest.img?");
    refused(*state, "-g a -m 2 extra", "unexpected argument 'extra'");
}

static void unknown_options_get_the_nearest_as_suggestion(void **state)
{
    static const char *const cases[][2] = {
        {"--memry", "memory"},        {"--guests", "guest"},
        {"--pages", "page"},          {"--files", "file"},
        {"--time-out", "timeout"},    {"--labels", "label"},
        {"--seral", "serial"},        {"--file-dir", "files-dir"},
        {"--max-opened", "max-open"}, {"--maxwritten", "max-written"},
        {"--hlep", "help"},           {"--verson", "version"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char words[128];
        snprintf(words, sizeof words, "unknown option '%s' (did you mean --%s?)", cases[i][0], cases[i][1]);
        refused(*state, cases[i][0], words);
    }
}

static void options_with_one_dash_too_few_get_a_suggestion(void **state)
{
    refused(*state, "-guest a.img", "unknown option '-guest' (did you mean --guest?)");
    refused(*state, "-g a -memory 4", "unknown option '-memory' (did you mean --memory?)");
    refused(*state, "-g a -file x", "unknown option '-file' (did you mean --file?)");
    refused(*state, "-help", "unknown option '-help' (did you mean --help?)");
}

static void options_far_from_all_get_none(void **state)
{
    refused(*state, "--turbo-mode", "unknown option '--turbo-mode' (see --help)");
    refused(*state, "-x", "unknown option '-x' (see --help)");
    refused(*state, "--", "unknown option '--' (see --help)");
    refused(*state, "--an-option-of-more-than-thirty-one-bytes", "(see --help)");
}

static void s_and_S_mean_what_they_mean_in_qemu(void **state)
{
    const struct options *options = parse(*state, "-s -g a");
    assert_true(options->gdb);
    assert_false(options->gdb_waits);
    assert_int_equal(options->gdb_endpoint.port, 1234);
    options = parse(*state, "-g a -s -S");
    assert_true(options->gdb && options->gdb_waits);
    refused(*state, "-g a -S", "-S has no effect without a place where gdb connects; add --gdb");
    refused(*state, "-g a --history 5", "--history has no effect without a place where gdb connects; add --gdb");
    refused(*state, "-g a --gdb 1x", "\"1x\" is not a port number; give [HOST:]PORT, unix:PATH or stdio");
    refused(*state, "-g a --gdb-lost kill", "--gdb-lost has no effect");
    refused(*state, "-g a --gdb-hold", "--gdb-hold has no effect");
}

static void a_prefix_is_no_option(void **state)
{
    refused(*state, "--guest-list a", "unknown option '--guest-list'");
    refused(*state, "--memoryx=4", "unknown option '--memoryx=4'");
}

static void freeing_options_of_no_words_does_nothing(void **state)
{
    (void)state;
    struct options options = {.help = true};
    options_free(&options);
}

static void the_help_names_every_option_and_every_exit_status(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    assert_non_null(to);
    options_print_help(to);
    assert_int_equal(fclose(to), 0);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        char words[64];
        if (option->name[1] == '\0')
            snprintf(words, sizeof words, "-%s", option->name);
        else if (option->letter != 0)
            snprintf(words, sizeof words, "\n  -%c, --%s ", option->letter, option->name);
        else
            snprintf(words, sizeof words, "\n      --%s ", option->name);
        assert_text_has(text, words);
    }
    static const char *const statuses[] = {"\n    0  ", "\n    2  ", "\n    3  ", "\n    4  ", "\n    5  ",
                                           "\n    6  ", "\n  124  ", "130",       "143"};
    for (size_t i = 0; i < COUNT(statuses); i++)
        assert_text_has(text, statuses[i]);
    assert_text_has(text, "mini_hypervisor -m 4 -p 2 -g guest1.img guest2.img -f ./flowers.png notes.txt");
    free(text);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_example_is_understood),
        TEST(the_second_example_is_understood),
        TEST(images_are_loaded_where_load_says),
        TEST(what_is_not_said_has_the_documented_values),
        TEST(memory_is_2_4_or_8),
        TEST(pages_are_2_or_4),
        TEST(the_processor_is_auto_kvm_or_soft),
        TEST(timeouts_are_positive_seconds),
        TEST(a_limit_of_instructions_needs_the_processor_that_counts),
        TEST(the_console_is_one_of_the_machines),
        TEST(trace_and_statistics_are_off_unless_given),
        TEST(labels_are_auto_always_or_never),
        TEST(serial_ports_lead_to_four_kinds_of_places),
        TEST(several_machines_need_a_serial_file_each),
        TEST(a_console_without_stdio_is_a_contradiction),
        TEST(the_directory_of_files_has_a_name),
        TEST(limits_of_files_are_within_bounds),
        TEST(help_and_version_need_nothing_else),
        TEST(values_may_follow_an_equals_sign_or_a_letter),
        TEST(lists_may_be_repeated_and_written_in_every_way),
        TEST(a_lone_dash_is_a_value),
        TEST(missing_values_are_told),
        TEST(contradictions_are_told_with_both_values),
        TEST(nothing_to_run_is_told),
        TEST(an_empty_argument_list_is_no_crash),
        TEST(an_unexpected_argument_was_probably_a_guest),
        TEST(unknown_options_get_the_nearest_as_suggestion),
        TEST(options_with_one_dash_too_few_get_a_suggestion),
        TEST(options_far_from_all_get_none),
        TEST(s_and_S_mean_what_they_mean_in_qemu),
        TEST(a_prefix_is_no_option),
        TEST(freeing_options_of_no_words_does_nothing),
        TEST(the_help_names_every_option_and_every_exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
