/*
 * Serial input: says every line back, with its number.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img < input.txt
 *
 * Run it without `< input.txt` to type the lines yourself. An `in` from port 0xe9 waits until there is a byte. As on a
 * real serial line, what is typed is not shown unless the guest sends it back: that is the `true` for getline below.
 * When the input is at its end, every further `in` gives 0xff, which getline turns into EOF.
 */
#include "console.h"

#define LINE_SIZE 256

int main(void)
{
    char line[LINE_SIZE];
    long lines = 0;
    long characters = 0;
    long length;

    puts("Type lines; Ctrl-D ends the input.");
    for (;;) {
        printf("> ");
        length = getline(line, sizeof(line), true);
        if (length == EOF)
            break;
        lines++;
        characters += length;
        printf("%ld: %s\n", lines, line);
    }
    printf("\nGoodbye after %ld lines, %ld characters.\n", lines, characters);
    return 0;
}
