#include "sandbox/close_from.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST 40
#define FDS 100

static bool call_is_known = true;

/* In the place of the C library's. */
int close_range(unsigned int first, unsigned int last, int flags)
{
    if (call_is_known)
        return (int)syscall(SYS_close_range, first, last, flags);
    errno = ENOSYS;
    return -1;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void check(void)
{
    for (int fd = FIRST - 1; fd < FIRST + FDS; fd++)
        assert_int_equal(dup2(STDIN_FILENO, fd), fd);
    close_from(FIRST);
    for (int fd = FIRST; fd < FIRST + FDS; fd++)
        assert_false(is_open(fd));
    assert_true(is_open(FIRST - 1));
    close(FIRST - 1);
}

static void all_from_one_on_are_closed(void **state)
{
    (void)state;
    check();
}

static void kernels_that_do_not_know_the_call(void **state)
{
    (void)state;
    call_is_known = false;
    check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_from_one_on_are_closed),
        cmocka_unit_test(kernels_that_do_not_know_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
