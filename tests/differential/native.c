/*
 * The code under test and this program share a process. native_enter() loads the registers and jumps; the exception at
 * the end comes back as a signal, on an alternate stack, with everything the processor had in its frame: Linux passes
 * the vector, the error code and CR2 on to handlers. native_leave() then returns from native_enter().
 */
#include "native.h"

#include "native_frame.h"

#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

struct native_frame {
    alignas(64) uint8_t xsave[MH_XSAVE_SIZE];
    uint64_t gpr[MH_GPR_COUNT];
    uint64_t rip, rflags, fs_base, gs_base;
    uint64_t host_rsp, host_fs, host_gs;
    uint32_t mask;
    volatile uint32_t running;
    uint16_t ds, es, fs, gs;
    uint64_t fs_base_after, gs_base_after;
};

_Static_assert(offsetof(struct native_frame, gpr) == FRAME_GPR, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, rip) == FRAME_RIP, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, fs_base) == FRAME_FS, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, host_rsp) == FRAME_HOST_RSP, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, mask) == FRAME_MASK, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, running) == FRAME_RUNNING, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, gs) == FRAME_GS_SELECTOR, "native_frame.h is wrong");
_Static_assert(offsetof(struct native_frame, gs_base_after) == FRAME_GS_AFTER, "native_frame.h is wrong");

#define XSAVE_SW_RESERVED 464u /* Linux describes the frame in these bytes of the legacy region */
#define XSAVE_MAGIC 0x46505853u
#define LEGACY_SIZE 512u

/* Ticks are counted in processor time, for hosts that are busy, and in time, because Linux makes a program sleep that
 * raises #AC by split locks again and again (kernel.split_lock_mitigate). */
#define HUNG_AFTER_TICKS 3u
#define TICK_US 30000
#define SLEEPING_TICK_US 300000

struct native_frame native_frame; /* of native_entry.S */

void native_enter(void);
_Noreturn void native_leave(void);
void native_signal_entry(int number, siginfo_t *info, void *context);
void native_signal(int number, siginfo_t *info, void *context);

static struct outcome *current;
static volatile unsigned ticks;
static uint8_t *data_alias;
static alignas(64) uint8_t signal_stack[1 << 16];

/* The order of gregs is that of the kernel's struct sigcontext. */
static const int greg_of[MH_GPR_COUNT] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                          REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void copy_fpu(const uint8_t *from, uint8_t *to)
{
    uint32_t magic;
    memcpy(to, from, LEGACY_SIZE);
    memcpy(&magic, from + XSAVE_SW_RESERVED, sizeof magic);
    if (magic == XSAVE_MAGIC) {
        memcpy(to, from, MH_XSAVE_SIZE);
    } else {
        memset(to + LEGACY_SIZE, 0, MH_XSAVE_SIZE - LEGACY_SIZE);
        to[LEGACY_SIZE] = MH_XCR0_X87 | MH_XCR0_SSE;
    }
    outcome_write_out_initial(to);
}

static void describe(const ucontext_t *context)
{
    const greg_t *gregs = context->uc_mcontext.gregs;
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        current->gpr[i] = (uint64_t)gregs[greg_of[i]];
    current->rip = (uint64_t)gregs[REG_RIP];
    current->rflags = (uint64_t)gregs[REG_EFL];
    current->vector = (uint8_t)gregs[REG_TRAPNO];
    current->error_code = (uint32_t)gregs[REG_ERR];
    current->cr2 = current->vector == 14 ? (uint64_t)gregs[REG_CR2] : 0;
    uint64_t selectors = (uint64_t)gregs[REG_CSGSFS];
    current->cs = (uint16_t)selectors;
    current->ss = (uint16_t)(selectors >> 48);
    current->ds = native_frame.ds;
    current->es = native_frame.es;
    current->fs = native_frame.fs;
    current->gs = native_frame.gs;
    current->fs_base = native_frame.fs_base_after;
    current->gs_base = native_frame.gs_base_after;
    copy_fpu((const uint8_t *)context->uc_mcontext.fpregs, current->xsave);
}

/* The program itself is wrong. Say where, for addr2line, and let it happen again, which ends the process. */
static void die(int number, const ucontext_t *context)
{
    uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    dprintf(STDERR_FILENO, "signal %d at native_enter + 0x%llx\n", number,
            (unsigned long long)(rip - (uint64_t)native_enter));
    signal(number, SIG_DFL);
}

static bool is_tick(int number)
{
    return number == SIGPROF || number == SIGALRM;
}

void native_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (native_frame.running == 0) {
        if (!is_tick(number))
            die(number, context);
        return;
    }
    if (is_tick(number) && ++ticks < HUNG_AFTER_TICKS) {
        /* return to where it was, with the bases it had */
        __asm__ volatile("wrgsbase %0" : : "r"(native_frame.gs_base_after));
        __asm__ volatile("wrfsbase %0" : : "r"(native_frame.fs_base_after));
        return;
    }
    current->kind = is_tick(number) ? OUTCOME_HUNG : OUTCOME_EXCEPTION;
    describe(context);
    native_frame.running = 0;
    native_leave();
}

static bool map_areas(void)
{
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    int memory = memfd_create("areas", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, AREA_CODE_SIZE + AREA_DATA_SIZE) != 0)
        return false;
    const int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
    void *code = mmap((void *)AREA_CODE, AREA_CODE_SIZE, all, flags, memory, 0);
    void *data = mmap((void *)AREA_DATA, AREA_DATA_SIZE, PROT_READ | PROT_WRITE, flags, memory, AREA_CODE_SIZE);
    void *alias = mmap(NULL, AREA_CODE_SIZE + AREA_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    close(memory);
    if (code != (void *)AREA_CODE || data != (void *)AREA_DATA || alias == MAP_FAILED)
        return false;
    data_alias = (uint8_t *)alias + AREA_CODE_SIZE;
    if (mprotect(data, AREA_DATA_WRITABLE, PROT_READ) != 0)
        return false;
    /* read the pages once: a write to what Linux has not mapped yet would be reported as a page that is not there */
    for (unsigned offset = 0; offset < AREA_DATA_SIZE; offset += AREA_DATA_WRITABLE)
        (void)*(const volatile uint8_t *)(AREA_DATA + offset);
    return true;
}

static void install_handlers(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGPROF, SIGALRM};
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = native_signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
    const struct itimerval tick = {.it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US};
    const struct itimerval sleeping_tick = {.it_interval.tv_usec = SLEEPING_TICK_US,
                                            .it_value.tv_usec = SLEEPING_TICK_US};
    setitimer(ITIMER_PROF, &tick, NULL);
    setitimer(ITIMER_REAL, &sleeping_tick, NULL);
}

#define AT_HWCAP2_FSGSBASE 2u

bool native_init(void)
{
    if ((getauxval(AT_HWCAP2) & AT_HWCAP2_FSGSBASE) == 0) {
        printf("this kernel does not let programs use FSGSBASE\n");
        return false;
    }
    if (!map_areas()) {
        perror("cannot map the areas of the tests");
        return false;
    }
    unsigned eax = 0, ebx, ecx = 0, edx;
    __cpuid(1, eax, ebx, ecx, edx);
    bool has_avx = (ecx & bit_OSXSAVE) != 0 && (ecx & bit_AVX) != 0;
    native_frame.mask = has_avx ? MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX : MH_XCR0_X87 | MH_XCR0_SSE;
    install_handlers();
    return true;
}

uint8_t *native_code(void)
{
    return (uint8_t *)AREA_CODE;
}

uint8_t *native_data(void)
{
    return data_alias;
}

bool native_run(const struct start *start, struct outcome *outcome)
{
    memcpy(native_frame.xsave, start->xsave, sizeof native_frame.xsave);
    memcpy(native_frame.gpr, start->gpr, sizeof native_frame.gpr);
    native_frame.rip = start->rip;
    native_frame.rflags = start->rflags;
    native_frame.fs_base = start->fs_base;
    native_frame.gs_base = start->gs_base;
    current = outcome;
    ticks = 0;
    outcome->text[0] = 0;
    native_frame.running = 1;
    native_enter();
    return ticks == 0;
}

bool native_has_five_levels(void)
{
    struct start start = {.rip = AREA_CODE, .rflags = 0x202};
    struct outcome outcome;
    memcpy(native_code(), "\x8a\x00\xcc", 3); /* mov (%rax), %al */
    start.gpr[MH_RAX] = 1ull << 50;
    start.xsave[LEGACY_SIZE] = 0;
    start.xsave[25] = 0x1f; /* MXCSR */
    start.xsave[24] = 0x80;
    native_run(&start, &outcome);
    return outcome.vector == 14;
}
