/*
 * Moves TOTAL bytes of the file "data" by calls of CHUNK bytes; METHOD says which way:
 *   READ, WRITE              one exit a call
 *   READ_BYTES, WRITE_BYTES  one exit a byte
 *   READ_STRING              the same port, `rep insb`
 * Starts at the beginning again where a file of 8 MB ends.
 */
#include "mh/guest_abi.h"

enum method { READ, WRITE, READ_BYTES, WRITE_BYTES, READ_STRING };

#define BUFFER 0x100000ul /* guest-physical; above code and data, CHUNK bytes */
#define FILE_SIZE (8u << 20)

static const char name[] = "data";

static void out8(uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "d"((uint16_t)MH_PORT_FILE) : "memory");
}

static uint8_t in8(void)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "d"((uint16_t)MH_PORT_FILE) : "memory");
    return value;
}

static int64_t call(struct mh_file_call *request)
{
    __asm__ volatile("outl %0, %1" : : "a"((uint32_t)(uintptr_t)request), "d"((uint16_t)MH_PORT_FILE) : "memory");
    return request->result;
}

static int open_data(void)
{
    struct mh_file_call request = {.op = MH_FILE_OPEN, .buffer = (uintptr_t)name, .length = sizeof name - 1};
    request.flags = METHOD == WRITE || METHOD == WRITE_BYTES ? MH_O_WRITE | MH_O_TRUNCATE : MH_O_READ;
    return (int)call(&request);
}

static void rewind_file(int fd)
{
    struct mh_file_call request = {.op = MH_FILE_SEEK, .fd = fd, .flags = MH_SEEK_SET};
    call(&request);
}

static int64_t move_in_one_exit(int fd)
{
    struct mh_file_call request = {.op = METHOD == READ ? MH_FILE_READ : MH_FILE_WRITE, .fd = fd};
    request.buffer = BUFFER;
    request.length = CHUNK;
    return call(&request);
}

static void out32(uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out8((uint8_t)(value >> (8 * i)));
}

static int64_t in_result(void)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)in8() << (8 * i);
    return (int64_t)value;
}

static void in_string(uint8_t *to, uint64_t length)
{
    __asm__ volatile("rep insb" : "+D"(to), "+c"(length) : "d"((uint16_t)MH_PORT_FILE) : "memory");
}

static int64_t move_by_bytes(int fd)
{
    uint8_t *buffer = (uint8_t *)BUFFER;
    out8(METHOD == WRITE_BYTES ? MH_FILE_WRITE : MH_FILE_READ);
    out32((uint32_t)fd);
    out32(CHUNK);
    for (int64_t i = 0; METHOD == WRITE_BYTES && i < CHUNK; i++)
        out8(buffer[i]);
    int64_t result = in_result();
    for (int64_t i = 0; METHOD == READ_BYTES && i < result; i++)
        buffer[i] = in8();
    if (METHOD == READ_STRING && result > 0)
        in_string(buffer, (uint64_t)result);
    return result;
}

/* Anything but HLT: the program that measures shall see the failure. */
static _Noreturn void fail(void)
{
    for (;;)
        __asm__ volatile("ud2");
}

void guest_main(void)
{
    int fd = open_data();
    for (uint64_t moved = 0; moved < TOTAL; moved += CHUNK) {
        if (moved % FILE_SIZE == 0)
            rewind_file(fd);
        int64_t result = METHOD == READ || METHOD == WRITE ? move_in_one_exit(fd) : move_by_bytes(fd);
        if (result != CHUNK)
            fail();
    }
}
