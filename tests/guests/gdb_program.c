/* A program to be stepped through by lines: calls, a loop, a recursion, locals that come and go. */
static volatile long total;
static volatile int depth_reached;

static int add(int a, int b)
{
    int sum = a + b;
    total += sum;
    return sum;
}

static int factorial(int n)
{
    if (n <= 1)
        return 1;
    depth_reached = n;
    return n * factorial(n - 1);
}

static int with_local(int start)
{
    volatile int local = start;
    local += 10;
    local += 100;
    return local;
}

static int loop(int rounds)
{
    int sum = 0;
    for (int i = 0; i < rounds; i++)
        sum = add(sum, i);
    return sum;
}

int program(void)
{
    int first = add(1, 2);
    int second = loop(5);
    int third = factorial(5);
    int fourth = with_local(1);
    return first + second + third + fourth;
}

__asm__(".section .start, \"ax\"\n"
        ".globl _start\n"
        "_start: call program\n"
        "after_program: hlt\n"
        "jmp after_program\n"
        ".previous\n");
