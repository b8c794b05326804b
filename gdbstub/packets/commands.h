/*
 * The functions that answer packets, by file. Each has its packet's name beside it; the GDB manual describes them in
 * "Packets", "General Query Packets", "Host I/O Packets" and "Tracepoint Packets".
 */
#ifndef GDBSTUB_COMMANDS_H
#define GDBSTUB_COMMANDS_H

#include "packets/dispatch.h"

/* registers.c */
gdb_command_fn gdb_cmd_read_all_regs;  /* g */
gdb_command_fn gdb_cmd_write_all_regs; /* G */
gdb_command_fn gdb_cmd_read_reg;       /* p */
gdb_command_fn gdb_cmd_write_reg;      /* P */

/* memory.c */
gdb_command_fn gdb_cmd_read_memory;         /* m */
gdb_command_fn gdb_cmd_read_memory_binary;  /* x */
gdb_command_fn gdb_cmd_write_memory;        /* M */
gdb_command_fn gdb_cmd_write_memory_binary; /* X */
gdb_command_fn gdb_cmd_crc;                 /* qCRC */
gdb_command_fn gdb_cmd_search;              /* qSearch:memory */
gdb_command_fn gdb_cmd_memory_region;       /* qMemoryRegionInfo */
gdb_command_fn gdb_cmd_set_physical;        /* Qqemu.PhyMemMode */
gdb_command_fn gdb_cmd_get_physical;        /* qqemu.PhyMemMode */

/* breakpoint.c */
gdb_command_fn gdb_cmd_insert; /* Z0 to Z4 */
gdb_command_fn gdb_cmd_remove; /* z0 to z4 */

/* resume.c */
gdb_command_fn gdb_cmd_why;                /* ? */
gdb_command_fn gdb_cmd_continue;           /* c */
gdb_command_fn gdb_cmd_continue_signal;    /* C */
gdb_command_fn gdb_cmd_step;               /* s */
gdb_command_fn gdb_cmd_step_signal;        /* S */
gdb_command_fn gdb_cmd_continue_backwards; /* bc */
gdb_command_fn gdb_cmd_step_backwards;     /* bs */
gdb_command_fn gdb_cmd_vcont;              /* vCont; */
gdb_command_fn gdb_cmd_stopped;            /* vStopped */
gdb_command_fn gdb_cmd_vcont_query;        /* vCont? */
gdb_command_fn gdb_cmd_ctrl_c;             /* vCtrlC */

/* process.c */
gdb_command_fn gdb_cmd_extended; /* ! */
gdb_command_fn gdb_cmd_attach;   /* vAttach */
gdb_command_fn gdb_cmd_run;      /* vRun */
gdb_command_fn gdb_cmd_restart;  /* R */
gdb_command_fn gdb_cmd_kill;     /* vKill */
gdb_command_fn gdb_cmd_kill_all; /* k */
gdb_command_fn gdb_cmd_detach;   /* D */

/* query.c */
gdb_command_fn gdb_cmd_supported;       /* qSupported */
gdb_command_fn gdb_cmd_no_ack;          /* QStartNoAckMode */
gdb_command_fn gdb_cmd_non_stop;        /* QNonStop */
gdb_command_fn gdb_cmd_unknown;         /* vMustReplyEmpty */
gdb_command_fn gdb_cmd_pass_signals;    /* QPassSignals */
gdb_command_fn gdb_cmd_program_signals; /* QProgramSignals */
gdb_command_fn gdb_cmd_thread_events;   /* QThreadEvents */
gdb_command_fn gdb_cmd_attached;        /* qAttached */

/* thread.c */
gdb_command_fn gdb_cmd_set_thread;     /* H */
gdb_command_fn gdb_cmd_thread_alive;   /* T */
gdb_command_fn gdb_cmd_current_thread; /* qC */
gdb_command_fn gdb_cmd_first_threads;  /* qfThreadInfo */
gdb_command_fn gdb_cmd_more_threads;   /* qsThreadInfo */
gdb_command_fn gdb_cmd_thread_extra;   /* qThreadExtraInfo */

/* xfer.c */
gdb_command_fn gdb_cmd_xfer_features;   /* qXfer:features:read */
gdb_command_fn gdb_cmd_xfer_threads;    /* qXfer:threads:read */
gdb_command_fn gdb_cmd_xfer_memory_map; /* qXfer:memory-map:read */
gdb_command_fn gdb_cmd_xfer_exec_file;  /* qXfer:exec-file:read */
gdb_command_fn gdb_cmd_xfer_traceframe; /* qXfer:traceframe-info:read */

/* file.c */
gdb_command_fn gdb_cmd_file_setfs;    /* vFile:setfs */
gdb_command_fn gdb_cmd_file_open;     /* vFile:open */
gdb_command_fn gdb_cmd_file_close;    /* vFile:close */
gdb_command_fn gdb_cmd_file_pread;    /* vFile:pread */
gdb_command_fn gdb_cmd_file_fstat;    /* vFile:fstat */
gdb_command_fn gdb_cmd_file_refuse;   /* vFile:pwrite, vFile:unlink */
gdb_command_fn gdb_cmd_file_readlink; /* vFile:readlink */

/* trace_setup.c */
gdb_command_fn gdb_cmd_trace_init;         /* QTinit */
gdb_command_fn gdb_cmd_trace_define;       /* QTDP */
gdb_command_fn gdb_cmd_trace_source;       /* QTDPsrc */
gdb_command_fn gdb_cmd_trace_enable;       /* QTEnable */
gdb_command_fn gdb_cmd_trace_disable;      /* QTDisable */
gdb_command_fn gdb_cmd_trace_point_status; /* qTP */
gdb_command_fn gdb_cmd_trace_variable;     /* QTDV */
gdb_command_fn gdb_cmd_trace_readonly;     /* QTro */
gdb_command_fn gdb_cmd_trace_start;        /* QTStart */
gdb_command_fn gdb_cmd_trace_stop;         /* QTStop */
gdb_command_fn gdb_cmd_trace_disconnected; /* QTDisconnected */
gdb_command_fn gdb_cmd_trace_circular;     /* QTBuffer:circular */
gdb_command_fn gdb_cmd_trace_size;         /* QTBuffer:size */
gdb_command_fn gdb_cmd_trace_notes;        /* QTNotes */

/* trace_status.c */
gdb_command_fn gdb_cmd_trace_status;          /* qTStatus */
gdb_command_fn gdb_cmd_trace_first_points;    /* qTfP */
gdb_command_fn gdb_cmd_trace_more_points;     /* qTsP */
gdb_command_fn gdb_cmd_trace_first_variables; /* qTfV */
gdb_command_fn gdb_cmd_trace_more_variables;  /* qTsV */
gdb_command_fn gdb_cmd_trace_buffer;          /* qTBuffer */

/* trace_frame.c */
gdb_command_fn gdb_cmd_select_frame; /* QTFrame */
gdb_command_fn gdb_cmd_trace_value;  /* qTV */

/* True if a trace frame is selected; *frame is set to it then. */
bool gdb_frame_get(const struct gdb_session *session, struct gdb_traceframe *frame);

/* Append `count` registers of the selected frame to the reply, from number `first` on. */
void gdb_frame_put_regs(struct gdb_session *session, unsigned first, unsigned count);

/* As ops->read_memory(), but from the selected frame. Returns false, with *done 0, if it has nothing there. */
bool gdb_frame_read_memory(struct gdb_session *session, uint64_t address, void *to, size_t length, size_t *done);

/* Reply that a trace frame cannot be changed. Returns GDB_REPLY. */
enum gdb_outcome gdb_frame_unchangeable(struct gdb_session *session);

/* monitor.c */
gdb_command_fn gdb_cmd_monitor; /* qRcmd */

#endif
