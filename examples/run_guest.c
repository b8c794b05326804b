/*
 * Runs a guest with the library: prints what the guest prints, and why it stopped.
 *
 *   cc run_guest.c $(pkg-config --cflags --libs mini_hypervisor) -o run_guest
 *   ./run_guest hello/guest.img
 */
#include <mh/vm.h>

#include <stdio.h>

#define RAM_SIZE (2u << 20)
#define PAGE_SIZE (2u << 20)

static int print_bytes(void *ctx, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    return fwrite(bytes, 1, length, stdout) == length ? 0 : -1;
}

static void print_text(void *ctx, const char *text, size_t length)
{
    (void)ctx;
    fwrite(text, 1, length, stderr);
}

static enum mh_status run(struct mh_host *host, const struct mh_image *image, struct mh_stop *stop,
                          struct mh_error *err)
{
    const struct mh_vm_config config = {
        .number = 1,
        .name = "guest",
        .ram_size = RAM_SIZE,
        .page_size = PAGE_SIZE,
        .image = image,
        .serial = {.write = print_bytes},
        .files_parent = "vm-files",
        .files_name = "1-guest",
        .limits = {.open_files = 16, .bytes_written = 1u << 20},
    };
    struct mh_vm *vm;
    enum mh_status status = mh_vm_create(host, &config, &vm, err);
    if (status != MH_OK)
        return status;
    mh_vm_run(vm, stop);
    if (mh_stop_is_crash(stop))
        mh_vm_describe_stop(vm, stop, print_text, NULL);
    mh_vm_destroy(vm);
    return MH_OK;
}

int main(int argc, char **argv)
{
    struct mh_error err;
    struct mh_host *host;
    struct mh_image *image;
    struct mh_stop stop;

    if (argc != 2) {
        fprintf(stderr, "usage: run_guest IMAGE\n");
        return 2;
    }
    mh_kick_install();
    if (mh_host_open(MH_ACCEL_AUTO, &host, &err) != MH_OK) {
        fprintf(stderr, "run_guest: %s\n", err.text);
        return 1;
    }
    mh_host_prepare(host);
    enum mh_status status = mh_image_load(argv[1], RAM_SIZE, 0, &image, &err);
    if (status == MH_OK) {
        status = run(host, image, &stop, &err);
        mh_image_free(image);
    }
    mh_host_close(host);
    if (status != MH_OK) {
        fprintf(stderr, "run_guest: %s\n", err.text);
        return 1;
    }
    fflush(stdout);
    fprintf(stderr, "stopped: %s\n", mh_stop_name(stop.kind));
    return mh_stop_is_crash(&stop);
}
