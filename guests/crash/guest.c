/*
 * Ends badly on purpose: writes through a pointer to an address that is not mapped.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 *
 * The guest has no exception handlers, so the hypervisor's take over: it prints a report on stderr that names the page
 * fault, the address, the instruction and the registers, and exits with the status for a crashed guest. What the guest
 * printed before is not lost. The functions below call each other so that a debugger has a backtrace to show:
 *
 *     main -> hold_exam -> record_grade -> set_grade
 *
 * A null pointer would not have been noticed: address 0 is ordinary RAM, this program begins there.
 */
#include "console.h"

#include <stdint.h>

#define NOWHERE 0x40000000 /* 1 GB: far behind RAM */

struct student {
    int grade;
    const char *name;
};

static struct student ada = {0, "Ada"};

/* volatile, or the compiler could see the crash coming and rearrange the program around it. */
static struct student *volatile class[] = {&ada, (struct student *)NOWHERE};

static __attribute__((noinline)) void set_grade(struct student *student, int grade)
{
    student->grade = grade; /* page fault for the second student */
    printf("  grade %d is written down\n", student->grade);
}

static __attribute__((noinline)) void record_grade(int number, int grade)
{
    printf("student %d:\n", number);
    set_grade(class[number], grade);
    printf("student %d is done\n", number);
}

static __attribute__((noinline)) void hold_exam(void)
{
    record_grade(0, 10);
    record_grade(1, 9);
    puts("the exam is over"); /* never reached */
}

int main(void)
{
    puts("about to crash");
    hold_exam();
    return 0;
}
