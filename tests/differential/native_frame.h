/* The layout of struct native_frame, for native_entry.S too. */
#ifndef MH_TEST_NATIVE_FRAME_H
#define MH_TEST_NATIVE_FRAME_H

#define FRAME_XSAVE 0
#define FRAME_GPR 832
#define FRAME_RIP 960
#define FRAME_RFLAGS 968
#define FRAME_FS 976
#define FRAME_GS 984
#define FRAME_HOST_RSP 992
#define FRAME_HOST_FS 1000
#define FRAME_HOST_GS 1008
#define FRAME_MASK 1016
#define FRAME_RUNNING 1020
#define FRAME_DS 1024
#define FRAME_ES 1026
#define FRAME_FS_SELECTOR 1028
#define FRAME_GS_SELECTOR 1030
#define FRAME_FS_AFTER 1032
#define FRAME_GS_AFTER 1040

#endif
