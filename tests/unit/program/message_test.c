#include "console/message.h"

#include "collector.h"
#include "unit.h"

#include <string.h>
#include <unistd.h>

/* What is said on stderr, caught. */
struct fixture {
    struct collector *caught;
    int stderr_before;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->caught = collector_make();
    f->stderr_before = dup(STDERR_FILENO);
    *state = f;
    return dup2(f->caught->write_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dup2(f->stderr_before, STDERR_FILENO);
    close(f->stderr_before);
    collector_remove(f->caught);
    test_free(f);
    return 0;
}

static void a_message_is_a_line_with_the_programs_name(void **state)
{
    struct fixture *f = *state;
    message("%s has %d bytes", "it", 3);
    assert_string_equal(collector_text(f->caught), "mini_hypervisor: it has 3 bytes\n");
}

static void long_messages_are_not_cut(void **state)
{
    struct fixture *f = *state;
    message("%05000d", 7);
    assert_int_equal(strlen(collector_text(f->caught)), strlen("mini_hypervisor: \n") + 5000);
}

static void messages_cannot_steer_the_terminal(void **state)
{
    struct fixture *f = *state;
    message("guest image '%s'\nsecond line", "\033[2Jx\ry\x7fz");
    assert_string_equal(collector_text(f->caught), "mini_hypervisor: guest image '?[2Jx?y?z'\nsecond line\n");
}

static void printable_text_stays_and_control_bytes_become_question_marks(void **state)
{
    (void)state;
    char to[32];
    message_printable("gr\xc3\xbc\xc3\x9f e.img", to, sizeof to);
    assert_string_equal(to, "gr\xc3\xbc\xc3\x9f e.img");
    message_printable("\x01 \n\t\x1f\x7f~", to, sizeof to);
    assert_string_equal(to, "? ????~");
    message_printable("", to, sizeof to);
    assert_string_equal(to, "");
}

static void printable_text_is_cut_to_its_room(void **state)
{
    (void)state;
    for (size_t size = 1; size < 8; size++) {
        char to[16];
        memset(to, '#', sizeof to);
        message_printable("abcdefghij", to, size);
        assert_int_equal(strlen(to), size - 1);
        assert_int_equal(to[size], '#');
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_a_line_with_the_programs_name),
        TEST(long_messages_are_not_cut),
        TEST(messages_cannot_steer_the_terminal),
        TEST(printable_text_stays_and_control_bytes_become_question_marks),
        TEST(printable_text_is_cut_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
