/* The start file as /init takes it apart. */
#include "anywhere_inside.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST "A=b"
#define TEXT "77\0tps\0004\0002\0/here\0/program\0002\0program\0-g\0001\0" LAST

#define FAILED 42

/* Ends the machine; here, a process made for that. */
void inside_fail(const char *what, int error)
{
    (void)what;
    (void)error;
    _exit(FAILED);
}

/* Take apart the first `length` bytes of it, in memory that ends with them, as far as a sanitizer can tell. */
static void read_start(const char *bytes, size_t length, struct start *start, char **text)
{
    *text = test_calloc(1, length + 1);
    memcpy(*text, bytes, length);
    memset(start, 0, sizeof *start);
    inside_read_start(*text, length, start);
}

static void every_part_is_found(void **state)
{
    (void)state;
    struct start start;
    char *text;
    read_start(TEXT, sizeof TEXT, &start, &text);
    assert_int_equal(start.umask, 077);
    assert_string_equal(start.ends, "tps");
    assert_int_equal(start.end_key, 4);
    assert_int_equal(start.listener_count, 2);
    assert_string_equal(start.directory, "/here");
    assert_string_equal(start.program, "/program");
    assert_string_equal(start.arguments[1], "-g");
    assert_null(start.arguments[2]);
    assert_string_equal(start.environment[0], LAST);
    assert_null(start.environment[1]);
    free(start.arguments);
    free(start.environment);
    test_free(text);
}

static bool is_refused(const char *bytes, size_t length)
{
    struct start start;
    char *text;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        read_start(bytes, length, &start, &text);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == FAILED;
}

static void one_that_is_cut_off_is_an_error(void **state)
{
    (void)state;
    for (size_t length = 0; length <= sizeof TEXT - sizeof LAST; length++)
        assert_true(is_refused(TEXT, length));
    assert_false(is_refused(TEXT, sizeof TEXT));
}

static void more_listeners_than_descriptors_are_an_error(void **state)
{
    (void)state;
    const char text[] = "0\0ccc\0004\000257\0/\0/program\0000\0000";
    assert_true(is_refused(text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_found),
        cmocka_unit_test(one_that_is_cut_off_is_an_error),
        cmocka_unit_test(more_listeners_than_descriptors_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
