#include "mh/gdbstub.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void endpoints_are_read(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"1234", "", 1234},
        {"0", "", 0},
        {"65535", "", 65535},
        {":1234", "", 1234},
        {"localhost:1", "localhost", 1},
        {"[::1]:2", "::1", 2},
        {"0.0.0.0:3", "0.0.0.0", 3},
    };
    struct mh_gdb_endpoint endpoint;
    struct mh_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(mh_gdb_parse_endpoint(good[i].text, &endpoint, &err), MH_OK);
        assert_int_equal(endpoint.transport, MH_GDB_TCP);
        assert_string_equal(endpoint.host, good[i].host);
        assert_int_equal(endpoint.port, good[i].port);
    }
    assert_int_equal(mh_gdb_parse_endpoint("unix:/run/x", &endpoint, &err), MH_OK);
    assert_int_equal(endpoint.transport, MH_GDB_UNIX);
    assert_string_equal(endpoint.path, "/run/x");
    assert_int_equal(mh_gdb_parse_endpoint("stdio", &endpoint, &err), MH_OK);
    assert_int_equal(endpoint.transport, MH_GDB_STDIO);
}

static void nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "65536", "-1", "+1", "12a", "host:", "::1:2", "host:99999", "unix:", "123456", " 1"};
    struct mh_gdb_endpoint endpoint;
    char long_text[600];
    struct mh_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mh_gdb_parse_endpoint(bad[i], &endpoint, &err), MH_ERR_USAGE);
    memset(long_text, 'a', sizeof long_text);
    memcpy(long_text + 300, ":1", 3);
    assert_int_equal(mh_gdb_parse_endpoint(long_text, &endpoint, &err), MH_ERR_USAGE);
    memcpy(long_text, "unix:", 5);
    assert_int_equal(mh_gdb_parse_endpoint(long_text, &endpoint, &err), MH_ERR_USAGE);
}

static void a_free_port_is_taken_and_told(void **state)
{
    struct mh_gdb_endpoint endpoint = {.transport = MH_GDB_TCP};
    struct mh_gdb_listener first, second;
    char text[MH_GDB_CONNECT_MAX], expected[32];
    struct mh_error err;

    (void)state;
    assert_int_equal(mh_gdb_listen(&endpoint, &first, &err), MH_OK);
    assert_int_not_equal(first.endpoint.port, 0);
    assert_false(first.beyond_host);
    assert_true(fcntl(first.fd, F_GETFD) & FD_CLOEXEC);
    mh_gdb_connect_text(&first, text);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", first.endpoint.port);
    assert_string_equal(text, expected);
    assert_int_equal(mh_gdb_listen(&first.endpoint, &second, &err), MH_ERR_HOST);
    assert_int_equal(second.fd, -1);
    assert_non_null(strstr(err.text, "port 0 selects a free one"));
    mh_gdb_close(&first);
    mh_gdb_close(&first);
}

static void listening_to_all_is_noticed(void **state)
{
    struct mh_gdb_endpoint endpoint = {.transport = MH_GDB_TCP, .host = "0.0.0.0"};
    struct mh_gdb_listener listener;
    char text[MH_GDB_CONNECT_MAX];
    struct mh_error err;

    (void)state;
    assert_int_equal(mh_gdb_listen(&endpoint, &listener, &err), MH_OK);
    assert_true(listener.beyond_host);
    mh_gdb_connect_text(&listener, text);
    assert_int_equal(text[0], '1');
    mh_gdb_close(&listener);
}

static void unix_sockets_are_private_and_replaced_when_left_behind(void **state)
{
    struct mh_gdb_endpoint endpoint = {.transport = MH_GDB_UNIX};
    struct mh_gdb_listener listener, other;
    char directory[] = "/tmp/gdb_endpoint_XXXXXX";
    struct mh_error err;
    struct stat info;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(endpoint.path, sizeof endpoint.path, "%s/gdb", directory);
    assert_int_equal(mh_gdb_listen(&endpoint, &listener, &err), MH_OK);
    assert_int_equal(stat(endpoint.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(mh_gdb_listen(&endpoint, &other, &err), MH_ERR_HOST);
    close(listener.fd); /* as a program that ends without cleaning up */
    assert_int_equal(mh_gdb_listen(&endpoint, &listener, &err), MH_OK);
    mh_gdb_close(&listener);
    assert_int_equal(access(endpoint.path, F_OK), -1);
    assert_int_equal(rmdir(directory), 0);
}

/* A slip on the command line must not cost a file. */
static void what_is_no_socket_is_not_replaced(void **state)
{
    struct mh_gdb_endpoint endpoint = {.transport = MH_GDB_UNIX, .path = "/tmp/gdb_endpoint_XXXXXX"};
    struct mh_gdb_listener listener;
    struct mh_error err;
    int fd = mkstemp(endpoint.path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(mh_gdb_listen(&endpoint, &listener, &err), MH_ERR_HOST);
    assert_non_null(strstr(err.text, "is not a socket"));
    assert_int_equal(listener.fd, -1);
    assert_int_equal(unlink(endpoint.path), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(a_free_port_is_taken_and_told),
        cmocka_unit_test(listening_to_all_is_noticed),
        cmocka_unit_test(unix_sockets_are_private_and_replaced_when_left_behind),
        cmocka_unit_test(what_is_no_socket_is_not_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
