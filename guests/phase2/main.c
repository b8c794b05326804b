/*
 * Phase 2 of the course: files. Reads poem.txt, which the hypervisor shares, writes its own report.txt, moves about in
 * it, and tries what must fail.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img --file poem.txt
 */
#include "course.h"

static void print_rest(int fd)
{
    char buffer[32];
    long count;

    while ((count = read(fd, buffer, sizeof(buffer))) > 0)
        put_bytes(buffer, (size_t)count);
}

static void read_shared(void)
{
    int fd = open("poem.txt", O_RD);

    if (fd == -1) {
        puts("no poem.txt: start me with --file poem.txt");
        return;
    }
    printf("poem.txt has %ld bytes:\n", lseek(fd, 0, SEEK_END));
    lseek(fd, 0, SEEK_SET);
    print_rest(fd);
    close(fd);
}

static void write_own(void)
{
    static const char text[] = "lines: ?\nend\n";
    int fd = open("report.txt", O_RDWR | O_CREATE);

    write(fd, text, strlen(text));
    lseek(fd, 7, SEEK_SET);
    write(fd, "2", 1);
    lseek(fd, -4, SEEK_END);
    write(fd, "END\n", 4);
    lseek(fd, 0, SEEK_SET);
    puts("report.txt:");
    print_rest(fd);
    close(fd);
}

static void make_mistakes(void)
{
    char byte;
    int fd = open("report.txt", O_RD);

    puts("mistakes:");
    printf("open, no such file       %d\n", open("missing.txt", O_RDWR));
    printf("open, not a name         %d\n", open("2nd.txt", O_RDWR | O_CREATE));
    printf("open, no access          %d\n", open("report.txt", O_CREATE));
    printf("write, open for reading  %ld\n", write(fd, "x", 1));
    printf("lseek, before the start  %ld\n", lseek(fd, -1, SEEK_SET));
    printf("lseek, whence 0          %ld\n", lseek(fd, 0, 0));
    printf("close                    %d\n", close(fd));
    printf("close again              %d\n", close(fd));
    printf("read, closed             %ld\n", read(fd, &byte, 1));
}

int main(void)
{
    read_shared();
    write_own();
    make_mistakes();
    return 0;
}
