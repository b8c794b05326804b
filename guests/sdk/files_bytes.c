#include "files_bytes.h"

#include "string.h"
#include "x86.h"

static void send_byte(uint8_t byte)
{
    outb(MH_PORT_FILE, byte);
}

/* Send a number of `size` bytes, the lowest byte first. */
static void send_number(uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        send_byte((uint8_t)(number >> (8 * i)));
}

static void send_bytes(const void *data, size_t length)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < length; i++)
        send_byte(bytes[i]);
}

/* Every answer begins with the result: 8 bytes, the lowest first. */
static int64_t receive_result(void)
{
    uint64_t result = 0;

    for (int i = 0; i < 8; i++)
        result |= (uint64_t)inb(MH_PORT_FILE) << (8 * i);
    return (int64_t)result;
}

static void receive_bytes(void *buffer, size_t length)
{
    uint8_t *bytes = buffer;

    for (size_t i = 0; i < length; i++)
        bytes[i] = inb(MH_PORT_FILE);
}

/* More than MH_FILE_STREAM_MAX bytes would come out short anyway; asking for no more keeps the request as long as we
 * say. */
static size_t shorten(size_t length)
{
    return length < MH_FILE_STREAM_MAX ? length : MH_FILE_STREAM_MAX;
}

int open_bytes(const char *name, uint32_t flags)
{
    size_t length = strlen(name);

    if (length > MH_FILE_NAME_MAX) /* two bytes may not hold it */
        return -MH_ENAMETOOLONG;
    send_byte(MH_FILE_OPEN);
    send_number(flags, 4);
    send_number(length, 2);
    send_bytes(name, length);
    return (int)receive_result();
}

int close_bytes(int fd)
{
    send_byte(MH_FILE_CLOSE);
    send_number((uint32_t)fd, 4);
    return (int)receive_result();
}

long read_bytes(int fd, void *buffer, size_t length)
{
    int64_t result;

    send_byte(MH_FILE_READ);
    send_number((uint32_t)fd, 4);
    send_number(shorten(length), 4);
    result = receive_result();
    if (result > 0)
        receive_bytes(buffer, (size_t)result);
    return result;
}

long write_bytes(int fd, const void *data, size_t length)
{
    size_t count = shorten(length);

    send_byte(MH_FILE_WRITE);
    send_number((uint32_t)fd, 4);
    send_number(count, 4);
    send_bytes(data, count);
    return receive_result();
}

int64_t lseek_bytes(int fd, int64_t offset, uint32_t whence)
{
    send_byte(MH_FILE_SEEK);
    send_number((uint32_t)fd, 4);
    send_number(whence, 4);
    send_number((uint64_t)offset, 8);
    return receive_result();
}

int64_t fsize_bytes(int fd)
{
    send_byte(MH_FILE_SIZE);
    send_number((uint32_t)fd, 4);
    return receive_result();
}
