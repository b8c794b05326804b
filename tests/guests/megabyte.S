/* Prints a megabyte byte by byte: byte i is the low byte of i + (i >> 8), so that a lost or doubled one shows. */
#include "guest.h"
    guest_start
    xor %ecx, %ecx
1:  mov %cl, %al
    add %ch, %al
    out %al, $SERIAL
    inc %ecx
    cmp $0x100000, %ecx
    jne 1b
    end_well
