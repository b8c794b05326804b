/*
 * A longer computation: the Mandelbrot set, drawn with letters.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 *
 * Numbers are integers that count 4096ths ("fixed point"): some hosts cannot run floating point instructions in ring 0.
 * The checksum at the end makes it easy to see that every run gives the same picture.
 */
#include "console.h"

#include <stdint.h>

#define FRACTION_BITS 12
#define FIXED(number) ((int32_t)((number) * (1 << FRACTION_BITS)))

#define COLUMNS 72
#define ROWS 24
#define LEFT FIXED(-2.2)
#define TOP FIXED(-1.2)
#define COLUMN_STEP (FIXED(3.2) / COLUMNS)
#define ROW_STEP (FIXED(2.4) / ROWS)
#define MAX_ROUNDS 36

static int32_t multiply(int32_t a, int32_t b)
{
    return (int32_t)((int64_t)a * b >> FRACTION_BITS);
}

/* How many rounds of z = z * z + c it takes until z is further than 2 from zero; at most MAX_ROUNDS. */
static int count_rounds(int32_t c_real, int32_t c_imaginary)
{
    int32_t real = 0;
    int32_t imaginary = 0;

    for (int round = 0; round < MAX_ROUNDS; round++) {
        int32_t real_squared = multiply(real, real);
        int32_t imaginary_squared = multiply(imaginary, imaginary);

        if (real_squared + imaginary_squared > FIXED(4))
            return round;
        imaginary = 2 * multiply(real, imaginary) + c_imaginary;
        real = real_squared - imaginary_squared + c_real;
    }
    return MAX_ROUNDS;
}

static char shade(int rounds)
{
    static const char shades[] = ".,:;+*oxO#";

    return shades[rounds * (int)(sizeof(shades) - 2) / MAX_ROUNDS];
}

/* Fletcher's checksum: two sums, the second of which depends on the order of the bytes. */
struct checksum {
    uint32_t sum;
    uint32_t sum_of_sums;
};

static void add_to_checksum(struct checksum *checksum, uint8_t byte)
{
    checksum->sum = (checksum->sum + byte) % 65535;
    checksum->sum_of_sums = (checksum->sum_of_sums + checksum->sum) % 65535;
}

static void draw_row(int row, struct checksum *checksum)
{
    for (int column = 0; column < COLUMNS; column++) {
        int rounds = count_rounds(LEFT + column * COLUMN_STEP, TOP + row * ROW_STEP);

        add_to_checksum(checksum, (uint8_t)rounds);
        putchar(shade(rounds));
    }
    putchar('\n');
}

int main(void)
{
    struct checksum checksum = {0, 0};

    for (int row = 0; row < ROWS; row++)
        draw_row(row, &checksum);
    printf("checksum %04x%04x\n", checksum.sum_of_sums, checksum.sum);
    return 0;
}
