#include "ports.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

int ports_set_up(void **state)
{
    struct ports *f = test_calloc(1, sizeof *f);
    f->files = guest_files_make();
    for (unsigned i = 0; i < 2; i++) {
        f->port[i] = calloc(1, sizeof *f->port[i]); /* not test_calloc(): its guards would hide a read behind the end */
        assert_non_null(f->port[i]);
        file_port_init(f->port[i], &f->files->config[i], &f->files->stop);
    }
    assert_int_equal(ram_create(&f->memory, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

int ports_tear_down(void **state)
{
    struct ports *f = *state;
    for (unsigned i = 0; i < 2; i++) {
        file_port_destroy(f->port[i]);
        free(f->port[i]);
    }
    ram_free(&f->memory);
    guest_files_remove(f->files);
    test_free(f);
    return 0;
}

void out(struct ports *f, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        file_port_out(f->port[0], ((const uint8_t *)bytes)[i]);
}

void out_number(struct ports *f, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        file_port_out(f->port[0], (uint8_t)(value >> 8 * i));
}

uint8_t in(struct ports *f)
{
    uint8_t byte = 0x77;
    file_port_in(f->port[0], &f->inbound, &byte);
    return byte;
}

int64_t result(struct ports *f)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)in(f) << 8 * i;
    return (int64_t)value;
}

void reads_back(struct ports *f, const char *text)
{
    for (; *text != '\0'; text++)
        assert_int_equal(in(f), *text);
}

void is_idle(struct ports *f)
{
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(in(f), 0xff);
}

static void add(struct request *request, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        request->bytes[request->length++] = (uint8_t)(value >> 8 * i);
}

struct request open_request(const char *name, uint32_t flags)
{
    struct request request = {.length = 0};
    add(&request, MH_FILE_OPEN, 1);
    add(&request, flags, 4);
    add(&request, strlen(name), 2);
    memcpy(request.bytes + request.length, name, strlen(name));
    request.length += strlen(name);
    return request;
}

struct request plain_request(uint8_t op, int32_t fd)
{
    struct request request = {.length = 0};
    add(&request, op, 1);
    add(&request, (uint32_t)fd, 4);
    return request;
}

struct request read_request(int32_t fd, uint32_t length)
{
    struct request request = plain_request(MH_FILE_READ, fd);
    add(&request, length, 4);
    return request;
}

struct request write_request(int32_t fd, const char *text)
{
    struct request request = plain_request(MH_FILE_WRITE, fd);
    add(&request, strlen(text), 4);
    memcpy(request.bytes + request.length, text, strlen(text));
    request.length += strlen(text);
    return request;
}

struct request seek_request(int32_t fd, uint32_t whence, int64_t offset)
{
    struct request request = plain_request(MH_FILE_SEEK, fd);
    add(&request, whence, 4);
    add(&request, (uint64_t)offset, 8);
    return request;
}

int64_t ask(struct ports *f, struct request request)
{
    out(f, request.bytes, request.length);
    return result(f);
}

bool on_host(const struct ports *f, const char *path, const char *text)
{
    return temp_file_is(&f->files->dir, path, text);
}
