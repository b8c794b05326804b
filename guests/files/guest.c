/*
 * Files: reads one that all machines share, gets a copy of its own by writing to it, makes a new one, and tries what is
 * not allowed.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img --file notes.txt
 *
 * The guest sees the shared files of --file by their last name, and the files it makes itself. notes.txt on the host
 * stays as it is; the guest's copy and report.txt are in its own directory afterwards, vm-files/1-guest.
 */
#include "console.h"
#include "files.h"
#include "files_bytes.h"
#include "string.h"

/* Print what is left of an open file. */
static void print_rest(int fd)
{
    char buffer[64];
    long count;

    while ((count = read(fd, buffer, sizeof(buffer))) > 0)
        put_bytes(buffer, (size_t)count);
    if (count < 0)
        printf("read: %s\n", file_error(count));
}

static void write_text(int fd, const char *text)
{
    long written = write(fd, text, strlen(text));

    if (written != (long)strlen(text))
        printf("write: %s\n", file_error(written));
}

/* Writing to the shared file gives this machine a copy; earlier readers still read the original. */
static void change_shared_file(void)
{
    int reader = open("notes.txt", MH_O_READ);
    int writer;

    if (reader < 0) {
        printf("notes.txt: %s (start me with --file notes.txt)\n", file_error(reader));
        return;
    }
    printf("notes.txt has %ld bytes:\n", fsize(reader));
    print_rest(reader);

    writer = open("notes.txt", MH_O_READ | MH_O_WRITE | MH_O_APPEND);
    write_text(writer, "This line is only in my copy.\n");
    lseek(writer, 0, MH_SEEK_SET);
    printf("\nmy copy has %ld bytes, the original still %ld:\n", fsize(writer), fsize(reader));
    print_rest(writer);

    close(writer);
    close(reader);
}

/* A file of our own, and moving about in it. */
static void make_report(void)
{
    int fd = open("report.txt", MH_O_READ | MH_O_WRITE | MH_O_CREATE | MH_O_TRUNCATE);

    write_text(fd, "temperature: ?? degrees\n");
    lseek(fd, (long)strlen("temperature: "), MH_SEEK_SET);
    write_text(fd, "21");
    lseek(fd, 0, MH_SEEK_END);
    write_text(fd, "end of report\n");
    printf("\nreport.txt has %ld bytes\n", fsize(fd));
    close(fd);
}

/* The same file, read with nothing but one-byte outs and ins. */
static void read_report_by_bytes(void)
{
    char buffer[64];
    int fd = open_bytes("report.txt", MH_O_READ);
    long count = read_bytes(fd, buffer, sizeof(buffer));

    printf("read byte by byte, %ld of %ld:\n", count, fsize_bytes(fd));
    if (count > 0)
        put_bytes(buffer, (size_t)count);
    close_bytes(fd);
}

static void try_to_open(const char *name, uint32_t flags)
{
    int fd = open(name, flags);

    if (fd < 0) {
        printf("%-22s error %3d: %s\n", name, fd, file_error(fd));
    } else {
        printf("%-22s opened\n", name);
        close(fd);
    }
}

static void make_mistakes(void)
{
    char byte;
    int fd = open("report.txt", MH_O_WRITE);

    puts("\nwhat does not work:");
    try_to_open("missing.txt", MH_O_READ);
    try_to_open("../etc/passwd", MH_O_READ);
    try_to_open("/etc/passwd", MH_O_READ);
    try_to_open("report.txt", 0);
    printf("%-22s %s\n", "read, open to write", file_error(read(fd, &byte, 1)));
    printf("%-22s %s\n", "write from beyond RAM", file_error(write(fd, (void *)0x40000000, 1)));
    close(fd);
    printf("%-22s %s\n", "closed twice", file_error(close(fd)));
}

int main(void)
{
    change_shared_file();
    make_report();
    read_report_by_bytes();
    make_mistakes();
    return 0;
}
