/* Two guests' file ports; the first one's is used byte by byte. */
#ifndef MH_TEST_PORTS_H
#define MH_TEST_PORTS_H

#include "guest_files.h"

#include "devices/file.h"

/* Two guests with a port each. The tests of the calls in memory use the second's RAM. */
struct ports {
    struct guest_files *files;
    struct file_port *port[2];
    struct input_log inbound;
    struct guest_ram memory;
};

int ports_set_up(void **state);
int ports_tear_down(void **state);

/* Bytes out, a number least byte first, and bytes in. */
void out(struct ports *f, const void *bytes, size_t length);
void out_number(struct ports *f, uint64_t value, unsigned bytes);
uint8_t in(struct ports *f);

/* The result of what was asked; it has to be read before what follows it. */
int64_t result(struct ports *f);

/* What comes in is this text, or nothing. */
void reads_back(struct ports *f, const char *text);
void is_idle(struct ports *f);

/* Requests as bytes. */
struct request {
    uint8_t bytes[64];
    size_t length;
};

struct request open_request(const char *name, uint32_t flags);
/* CLOSE, SIZE, or the head of another. */
struct request plain_request(uint8_t op, int32_t fd);
struct request read_request(int32_t fd, uint32_t length);
struct request write_request(int32_t fd, const char *text);
struct request seek_request(int32_t fd, uint32_t whence, int64_t offset);

/* Send a request. Returns its result. */
int64_t ask(struct ports *f, struct request request);

/* A file of the host holds exactly this; the path is one from the tests' directory. */
bool on_host(const struct ports *f, const char *path, const char *text);

#endif
