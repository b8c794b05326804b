/*
 * The handlers that opcode tables name. They are declared together because the tables of one file (soft_opcodes.c)
 * name handlers of many. Each does what the manual says about the mnemonic in its name.
 */
#ifndef MH_CORE_SOFT_SOFT_HANDLERS_H
#define MH_CORE_SOFT_SOFT_HANDLERS_H

#include "soft_cpu.h"

/* ---- soft_io.c ---- */
soft_handler soft_op_in, soft_op_out, soft_op_ins, soft_op_outs;

/* ---- soft_fault.c, soft_iret.c ---- */
soft_handler soft_op_ud; /* #UD */
soft_handler soft_op_int, soft_op_int3, soft_op_int1, soft_op_iret;

/* ---- soft_syscall.c ---- */
soft_handler soft_op_syscall, soft_op_sysret, soft_op_sysenter, soft_op_sysexit;

/* ---- soft_segment.c ---- */
soft_handler soft_op_mov_to_seg, soft_op_mov_from_seg; /* 8E, 8C */
soft_handler soft_op_pop_seg, soft_op_push_seg;        /* 0F A0, A1, A8, A9 */
soft_handler soft_op_lss_lfs_lgs;                      /* 0F B2, B4, B5 */
soft_handler soft_op_far_jump_call, soft_op_ret_far;   /* FF /3 /5; CA, CB */
soft_handler soft_op_lar, soft_op_lsl;
soft_handler soft_op_fsgsbase; /* F3 0F AE /0 to /3 */

/* ---- soft_system.c, soft_msr.c ---- */
soft_handler soft_op_group_0f00; /* sldt str lldt ltr verr verw */
soft_handler soft_op_group_0f01; /* sgdt sidt lgdt lidt smsw lmsw invlpg and register forms */
soft_handler soft_op_hlt, soft_op_cli, soft_op_sti, soft_op_clts, soft_op_invd, soft_op_wbinvd, soft_op_invpcid;
soft_handler soft_op_mov_from_cr, soft_op_mov_to_cr, soft_op_mov_from_dr, soft_op_mov_to_dr;
soft_handler soft_op_rdmsr, soft_op_wrmsr, soft_op_rdtsc, soft_op_rdtscp, soft_op_rdpmc, soft_op_rdpid, soft_op_cpuid;

/* ---- soft_alu.c ---- */
soft_handler soft_op_alu; /* add or adc sbb and sub xor cmp, all forms */
soft_handler soft_op_test, soft_op_inc, soft_op_dec, soft_op_not, soft_op_neg;
soft_handler soft_op_xadd, soft_op_cmpxchg, soft_op_cmpxchg_wide;
soft_handler soft_op_adcx, soft_op_adox;

/* ---- soft_muldiv.c ---- */
soft_handler soft_op_mul, soft_op_imul, soft_op_div, soft_op_idiv;
soft_handler soft_op_imul_reg, soft_op_imul_imm, soft_op_mulx;

/* ---- soft_shift.c ---- */
soft_handler soft_op_shift; /* C0, C1, D0 to D3: rol ror rcl rcr shl shr sar */
soft_handler soft_op_shld, soft_op_shrd;
soft_handler soft_op_rorx, soft_op_sarx, soft_op_shlx, soft_op_shrx;

/* ---- soft_bits.c ---- */
soft_handler soft_op_bit_test; /* bt bts btr btc */
soft_handler soft_op_bsf, soft_op_bsr, soft_op_tzcnt, soft_op_lzcnt, soft_op_popcnt, soft_op_bswap, soft_op_crc32;
soft_handler soft_op_andn, soft_op_bextr, soft_op_bls, soft_op_bzhi, soft_op_pdep, soft_op_pext;

/* ---- soft_move.c ---- */
soft_handler soft_op_mov_store, soft_op_mov_load, soft_op_mov_imm, soft_op_mov_reg_imm;
soft_handler soft_op_mov_from_moffs, soft_op_mov_to_moffs;
soft_handler soft_op_movzx, soft_op_movsx, soft_op_movsxd, soft_op_movbe_load, soft_op_movbe_store, soft_op_movnti;
soft_handler soft_op_lea, soft_op_xchg, soft_op_xchg_rax, soft_op_cmov, soft_op_setcc, soft_op_xlat;
soft_handler soft_op_cbw, soft_op_cwd;
soft_handler soft_op_lahf, soft_op_sahf, soft_op_clc, soft_op_stc, soft_op_cmc, soft_op_cld, soft_op_std;
soft_handler soft_op_nop, soft_op_clflush;

/* ---- soft_stack.c ---- */
soft_handler soft_op_push_reg, soft_op_push_imm, soft_op_push_rm, soft_op_pop_reg, soft_op_pop_rm;
soft_handler soft_op_pushf, soft_op_popf, soft_op_enter, soft_op_leave;

/* ---- soft_branch.c ---- */
soft_handler soft_op_jcc, soft_op_jmp, soft_op_jmp_rm, soft_op_call, soft_op_call_rm, soft_op_ret, soft_op_loop;

/* ---- soft_string.c ---- */
soft_handler soft_op_movs, soft_op_cmps, soft_op_stos, soft_op_lods, soft_op_scas;

#endif
