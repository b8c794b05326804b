#include "accel/accel.h"

#include "accel/auto_cpu.h"
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_host.h"
#include "kvm/kvm_probe.h"
#include "soft/host_x86_64_code.h"
#include "soft/soft.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct mh_host {
    enum mh_accel accel;
    struct host_code *code;      /* for the software processors; NULL: they only interpret */
    struct kvm_host *kvm;        /* NULL: machines run in software */
    struct mh_error kvm_problem; /* why, when KVM was tried */
    pthread_mutex_t mutex;       /* guards what follows until it is there */
    atomic_bool is_prepared;
    bool kvm_has_no_cpuid; /* with AUTO: machines run in software */
    bool is_probed;
    struct kvm_quirks quirks;
    struct x86_cpuid cpuid;
};

enum mh_status mh_host_open(enum mh_accel accel, struct mh_host **host, struct mh_error *err)
{
    struct mh_host *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory: %s", strerror(ENOMEM));
    opened->accel = accel;
    enum mh_status status = MH_OK;
    if (accel == MH_ACCEL_AUTO || accel == MH_ACCEL_KVM)
        status = kvm_host_open(&opened->kvm, &opened->kvm_problem);
    if (status != MH_OK && accel == MH_ACCEL_KVM) {
        status = mh_fail(err, MH_ERR_HOST, "%s; or use --accel soft, which needs no KVM", opened->kvm_problem.text);
        free(opened);
        return status;
    }
    if (accel != MH_ACCEL_INTERPRETER)
        opened->code = host_code_create();
    pthread_mutex_init(&opened->mutex, NULL);
    *host = opened;
    return MH_OK;
}

void mh_host_close(struct mh_host *host)
{
    if (host == NULL)
        return;
    host_code_destroy(host->code);
    kvm_host_close(host->kvm);
    pthread_mutex_destroy(&host->mutex);
    free(host);
}

void mh_host_name_code(struct mh_host *host, int fd)
{
    if (host->code != NULL)
        host_code_write_names(host->code, fd);
}

bool mh_host_has_kvm(const struct mh_host *host)
{
    return host->kvm != NULL;
}

const char *mh_host_kvm_problem(const struct mh_host *host)
{
    return host->kvm_problem.text;
}

static enum mh_status accel_fill_cpuid(struct mh_host *host, struct mh_error *err)
{
    struct x86_cpuid supported;
    x86_cpuid_init(&host->cpuid);
    if (host->kvm == NULL)
        return MH_OK;
    int result = kvm_host_cpuid(host->kvm, &supported);
    host->kvm_has_no_cpuid = result < 0;
    if (result < 0 && host->accel == MH_ACCEL_AUTO)
        return MH_OK;
    if (result < 0)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give its CPUID: %s", strerror(-result));
    x86_cpuid_intersect(&host->cpuid, &supported);
    return MH_OK;
}

enum mh_status accel_prepare(struct mh_host *host, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    if (atomic_load(&host->is_prepared)) /* hundreds of machines that start at once need not queue up for the mutex */
        return MH_OK;
    pthread_mutex_lock(&host->mutex);
    if (!atomic_load(&host->is_prepared)) {
        status = accel_fill_cpuid(host, err);
        atomic_store(&host->is_prepared, status == MH_OK);
    }
    pthread_mutex_unlock(&host->mutex);
    return status;
}

void mh_host_prepare(struct mh_host *host)
{
    accel_prepare(host, NULL); /* a failure recurs, and is reported, when a machine needs the result */
}

const struct x86_cpuid *accel_cpuid(const struct mh_host *host)
{
    return &host->cpuid;
}

/* What KVM reports to a debugger. Probed once per process, and only if there is a debugger. */
static enum mh_status accel_probe(struct mh_host *host, struct mh_error *err)
{
    enum mh_status status = accel_prepare(host, err);
    pthread_mutex_lock(&host->mutex);
    if (status == MH_OK && !host->is_probed) {
        status = kvm_probe(host->kvm, &host->cpuid, &host->quirks, err);
        host->is_probed = status == MH_OK;
    }
    pthread_mutex_unlock(&host->mutex);
    return status;
}

/* Called by auto_cpu.c before a debugger's points are armed on KVM. */
static const struct kvm_quirks *accel_quirks(void *ctx)
{
    struct mh_host *host = ctx;
    return accel_probe(host, NULL) == MH_OK ? &host->quirks : NULL;
}

static enum mh_status accel_create_soft(struct mh_host *host, struct guest_ram *ram, const struct mh_cpu_state *boot,
                                        struct cpu **cpu, struct mh_error *err)
{
    enum mh_status status = soft_cpu_create(ram, &host->cpuid, boot, cpu, err);
    if (status == MH_OK)
        soft_cpu_use_code(*cpu, host->code, SOFT_HOT);
    return status;
}

enum mh_status accel_create_cpu(struct mh_host *host, struct guest_ram *ram, const struct mh_cpu_state *boot,
                                struct cpu **cpu, struct mh_error *err)
{
    struct cpu *kvm;
    if (host->kvm == NULL || host->kvm_has_no_cpuid)
        return accel_create_soft(host, ram, boot, cpu, err);
    enum mh_status status = kvm_cpu_create(host->kvm, &host->cpuid, ram, boot, &kvm, err);
    if (status != MH_OK && host->accel == MH_ACCEL_AUTO) /* /dev/kvm can be opened, and no more */
        return accel_create_soft(host, ram, boot, cpu, err);
    if (status != MH_OK)
        return status;
    const struct auto_cpu_config config = {.kvm = kvm,
                                           .ram = ram,
                                           .cpuid = &host->cpuid,
                                           .code = host->code,
                                           .prefers_kvm = host->accel == MH_ACCEL_KVM,
                                           .quirks = accel_quirks,
                                           .quirks_ctx = host};
    return auto_cpu_create(&config, cpu, err);
}

/* Registers of CPUID, in the order of enum x86_feature_word. */
static const char *const accel_words[X86_FEATURE_WORDS] = {"1:ECX", "1:EDX",      "7:EBX",         "7:ECX",
                                                           "7:EDX", "(DH,1):EAX", "80000001H:ECX", "80000001H:EDX"};

enum mh_status accel_use_cpuid(struct mh_host *host, const struct x86_cpuid *cpuid, struct mh_error *err)
{
    struct x86_cpuid own;
    x86_cpuid_init(&own);
    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        uint32_t missing = cpuid->features[i] & ~own.features[i];
        if (missing != 0)
            return mh_fail(err, MH_ERR_HOST,
                           "this host's processor lacks what the guest was told it has: bits 0x%x of CPUID.%s; replay "
                           "the recording on a host like the one it was made on",
                           missing, accel_words[i]);
    }
    if ((cpuid->xcr0 & ~own.xcr0) != 0)
        return mh_fail(err, MH_ERR_HOST,
                       "this host's processor lacks registers the guest was told it has: bits 0x%" PRIx64 " of XCR0",
                       cpuid->xcr0 & ~own.xcr0);
    enum mh_status status = accel_prepare(host, err);
    if (status == MH_OK)
        host->cpuid = *cpuid;
    return status;
}

static void accel_on_signal(int signal)
{
    (void)signal; /* that it ended a system call is enough */
}

void accel_install_signals(void)
{
    struct sigaction action = {.sa_handler = accel_on_signal}; /* no SA_RESTART: waits are to end */
    sigemptyset(&action.sa_mask);
    sigaction(MH_KICK_SIGNAL, &action, NULL);
    sigaction(KVM_WAKE_SIGNAL, &action, NULL);
}

enum mh_status mh_host_describe(struct mh_host *host, mh_text_sink *sink, void *sink_ctx, struct mh_error *err)
{
    const struct text_output to = {.sink = sink, .ctx = sink_ctx};
    enum mh_status status = accel_prepare(host, err);
    if (status != MH_OK)
        return status;
    text_say(&to, "accel: %s\n", host->kvm != NULL ? "kvm" : "soft");
    if (host->kvm != NULL)
        text_say(&to, "kvm: usable\n");
    else if (host->kvm_problem.text[0] != '\0')
        text_say(&to, "kvm: %s\n", host->kvm_problem.text);
    text_say(&to, "xcr0: 0x%" PRIx64 "\n", host->cpuid.xcr0);
    if (host->kvm == NULL)
        return MH_OK;
    status = accel_probe(host, err);
    if (status == MH_OK)
        kvm_probe_describe(host->kvm, &host->quirks, &to);
    return status;
}
