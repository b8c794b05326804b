/*
 * A run as a file: everything that came from outside into one machine, with its start and its end. docs/recording.md
 * has the format. A recording replays in software, on any host whose processor has the features the guest was told of.
 */
#ifndef MH_RECORDING_H
#define MH_RECORDING_H

#include "mh/vm.h"

/* ---- recording ---- */

/* Takes all of `length` bytes: 0, or minus an errno. */
typedef int mh_record_write(void *write_ctx, const void *bytes, size_t length);

/*
 * Record a machine that has not run yet, through `write`, until it is destroyed. What was written at any moment is a
 * recording up to there. A failed write ends the recording, with a notice (mh_vm_config.notice); the machine runs on.
 * MH_OK, MH_ERR_IO when nothing can be written, or MH_ERR_HOST.
 */
enum mh_status mh_vm_record(struct mh_vm *vm, mh_record_write *write, void *write_ctx, struct mh_error *err);

/* The machine has come to its end: write it. Returns MH_OK, or MH_ERR_IO when the recording is not whole. */
enum mh_status mh_vm_record_end(struct mh_vm *vm, const struct mh_stop *stop, struct mh_error *err);

/* ---- replaying ---- */

struct mh_recording;

/* Read a recording; it may hold anything. MH_OK with *recording set; MH_ERR_IMAGE when it is none, with where and why;
 * or MH_ERR_HOST. A recording whose end is missing or damaged is good up to there. */
enum mh_status mh_recording_open(const char *path, struct mh_recording **recording, struct mh_error *err);
/* The same for bytes at hand, which are copied. */
enum mh_status mh_recording_read(const void *bytes, size_t length, struct mh_recording **recording,
                                 struct mh_error *err);
void mh_recording_close(struct mh_recording *recording);

/* What its machine is made of; all of it lives as long as the recording. */
const struct mh_image *mh_recording_image(const struct mh_recording *recording);
uint64_t mh_recording_ram_size(const struct mh_recording *recording);
uint32_t mh_recording_page_size(const struct mh_recording *recording);
const char *mh_recording_name(const struct mh_recording *recording); /* of the machine, printable */

/* Give machines the CPUID of the recording, before the first is created. The host was opened with MH_ACCEL_SOFT.
 * MH_OK, or MH_ERR_HOST when its processor lacks features. */
enum mh_status mh_recording_prepare_host(const struct mh_recording *recording, struct mh_host *host,
                                         struct mh_error *err);

/* Let a machine that has not run yet repeat the recording. MH_OK, or MH_ERR_HOST. */
enum mh_status mh_vm_replay(struct mh_vm *vm, const struct mh_recording *recording, struct mh_error *err);

/* The machine has run to `stop`: was it the run that was recorded? MH_OK, with what happened as one line in `text`; or
 * MH_ERR_RANGE with where they part in *err. */
enum mh_status mh_vm_replay_end(struct mh_vm *vm, const struct mh_stop *stop, char *text, size_t size,
                                struct mh_error *err);

#endif
