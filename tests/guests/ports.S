/* Reads and writes every port at every width, and says so. The serial port's byte-wide IN meets the end of the input. */
#include "guest.h"
    guest_start
    xor %edx, %edx
1:  xor %eax, %eax
    in %dx, %al
    in %dx, %ax
    in %dx, %eax
    cmp $SERIAL, %dx
    je 2f
    xor %eax, %eax
    out %al, %dx
2:  out %ax, %dx
    mov $-1, %eax /* at the file port: the address of no call */
    out %eax, %dx
    inc %dx
    jnz 1b
    say "all ports\n"
    end_well
