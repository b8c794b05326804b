/* What a connection gives, and how long it is waited for. */
#include "net/transport.h"

#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int ours, theirs;
    struct gdb_transport transport;
};

static struct pair connect_pair(void)
{
    struct pair pair;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pair.ours = fds[0];
    pair.theirs = fds[1];
    gdb_transport_init(&pair.transport, fds[0], fds[0], -1);
    return pair;
}

static void what_is_there_is_received_at_once(void **state)
{
    struct pair pair = connect_pair();
    char to[8];
    size_t length = 0;
    (void)state;
    assert_true(pair.transport.can_wait);
    assert_int_equal(write(pair.theirs, "abcd", 4), 4);
    assert_int_equal(gdb_transport_receive_soon(&pair.transport, to, 3, &length), GDB_RECEIVED);
    assert_int_equal(length, 3);
    assert_memory_equal(to, "abc", 3);
    assert_int_equal(gdb_transport_receive(&pair.transport, to, sizeof to, &length), GDB_RECEIVED);
    assert_int_equal(length, 1);
    close(pair.theirs);
    assert_int_equal(gdb_transport_receive_soon(&pair.transport, to, sizeof to, &length), GDB_RECEIVE_CLOSED);
    close(pair.ours);
}

static void a_silent_debugger_is_waited_for_a_moment_only(void **state)
{
    struct pair pair = connect_pair();
    char to[8];
    size_t length = 0;
    (void)state;
    assert_int_equal(gdb_transport_receive(&pair.transport, to, sizeof to, &length), GDB_RECEIVE_NOTHING);
    assert_int_equal(gdb_transport_receive_soon(&pair.transport, to, sizeof to, &length), GDB_RECEIVE_NOTHING);
    close(pair.ours);
    close(pair.theirs);
}

static void pipes_cannot_be_waited_for(void **state)
{
    struct gdb_transport transport;
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    gdb_transport_init(&transport, fds[0], fds[1], -1);
    assert_false(transport.can_wait);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_received_at_once),
        cmocka_unit_test(a_silent_debugger_is_waited_for_a_moment_only),
        cmocka_unit_test(pipes_cannot_be_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
