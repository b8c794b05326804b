/*
 * Serial input: says every line back, with its number.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img < input.txt
 *
 * Run it without `< input.txt` to type the lines yourself. An `in` from port 0xe9 waits until there is a byte; when the
 * input is at its end, every further `in` gives 0xff, which getchar and getline turn into EOF.
 */
#include "console.h"

#define LINE_SIZE 256

int main(void)
{
    char line[LINE_SIZE];
    long lines = 0;
    long characters = 0;
    long length;

    puts("Type lines; end with the end of the input (Ctrl-D on a terminal).");
    while ((length = getline(line, sizeof(line), false)) != EOF) {
        lines++;
        characters += length;
        printf("%ld: %s\n", lines, line);
    }
    printf("Goodbye after %ld lines, %ld characters.\n", lines, characters);
    return 0;
}
