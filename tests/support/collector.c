#include "collector.h"

#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

struct collector *collector_make(void)
{
    struct collector *collector = test_calloc(1, sizeof *collector);
    int end[2];
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    assert_int_equal(fcntl(end[0], F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(end[1], F_SETPIPE_SZ, COLLECTOR_MAX) >= (int)COLLECTOR_MAX);
    collector->read_fd = end[0];
    collector->write_fd = end[1];
    collector->text = test_calloc(1, COLLECTOR_MAX + 1);
    return collector;
}

void collector_remove(struct collector *collector)
{
    close(collector->read_fd);
    close(collector->write_fd);
    test_free(collector->text);
    test_free(collector);
}

const char *collector_text(struct collector *collector)
{
    ssize_t got;
    while ((got = read(collector->read_fd, collector->text + collector->length, COLLECTOR_MAX - collector->length)) > 0)
        collector->length += (size_t)got;
    collector->text[collector->length] = '\0';
    return collector->text;
}
