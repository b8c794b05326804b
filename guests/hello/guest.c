/*
 * The smallest guest that uses the SDK.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 *
 * There is no operating system below this program: it is all the software of its machine. `puts` ends up as `out`
 * instructions to port 0xe9, which make the processor leave the guest, so that the hypervisor can print the byte. When
 * main returns, the start code in sdk/crt0.S executes `hlt`, and that ends the guest.
 */
#include "console.h"

int main(void)
{
    puts("Hello, world!");
    return 0;
}
