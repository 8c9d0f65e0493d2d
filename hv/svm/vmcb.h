/*
 * The virtual machine control block and the numbers that stand in it: AMD64 Architecture
 * Programmer's Manual (APM) vol. 2, appendix B (layout) and C (exit codes).
 */
#pragma once

#include "hv/lib/types.h"

/* Intercepts, in their word: offset 8 (exceptions) has a bit a vector, these are 0Ch and 10h. */
#define INTERCEPT_INTR        (1u << 0)
#define INTERCEPT_NMI         (1u << 1)
#define INTERCEPT_INIT        (1u << 3)
#define INTERCEPT_VINTR       (1u << 4)
#define INTERCEPT_RDPMC       (1u << 15)
#define INTERCEPT_CPUID       (1u << 18)
#define INTERCEPT_IRET        (1u << 20)
#define INTERCEPT_INVD        (1u << 22)
#define INTERCEPT_HLT         (1u << 24)
#define INTERCEPT_INVLPGA     (1u << 26)
#define INTERCEPT_IO          (1u << 27)
#define INTERCEPT_MSR         (1u << 28)
#define INTERCEPT_FERR_FREEZE (1u << 30)
#define INTERCEPT_SHUTDOWN    (1u << 31)

#define INTERCEPT2_VMRUN      (1u << 0)
#define INTERCEPT2_VMMCALL    (1u << 1)
#define INTERCEPT2_VMLOAD     (1u << 2)
#define INTERCEPT2_VMSAVE     (1u << 3)
#define INTERCEPT2_STGI       (1u << 4)
#define INTERCEPT2_CLGI       (1u << 5)
#define INTERCEPT2_SKINIT     (1u << 6)
#define INTERCEPT2_WBINVD     (1u << 9)
#define INTERCEPT2_MONITOR    (1u << 10)
#define INTERCEPT2_MWAIT      (1u << 11)
#define INTERCEPT2_MWAIT_COND (1u << 12)
#define INTERCEPT2_XSETBV     (1u << 13)
#define INTERCEPT2_RDPRU      (1u << 14)

/* Word 5 (offset 14h). */
#define INTERCEPT3_INVLPGB (1u << 0)
#define INTERCEPT3_MCOMMIT (1u << 3)
#define INTERCEPT3_TLBSYNC (1u << 4)

/* int_control, APM 15.21. */
#define INT_V_IRQ        (1u << 8)
#define INT_V_PRIO_MAX   (15u << 16)
#define INT_V_IGN_TPR    (1u << 20)
#define INT_V_MASKING    (1u << 24)
#define INTERRUPT_SHADOW 1u

#define TLB_KEEP       0u
#define TLB_FLUSH_ALL  1u
#define TLB_FLUSH_ASID 3u

#define NESTED_PAGING 1ull

/* EVENTINJ and EXITINTINFO, APM 15.20 and 15.7.2. */
#define EVENT_VALID      (1ull << 31)
#define EVENT_ERROR_CODE (1ull << 11)
#define EVENT_TYPE(info) ((unsigned)((info) >> 8) & 7)
#define EVENT_INTR       0u
#define EVENT_NMI        2u
#define EVENT_EXCEPTION  3u
#define EVENT_SOFT_INT   4u

/* Clean bits, APM 15.15: set, the CPU may use what it kept of these fields. */
#define CLEAN_INTERCEPTS (1u << 0)
#define CLEAN_INT        (1u << 3)
#define CLEAN_CR         (1u << 5)
#define CLEAN_DR         (1u << 6)
#define CLEAN_SEGMENTS   (1u << 8)
#define CLEAN_CR2        (1u << 9)
#define CLEAN_ALL        0x3ffu

/* EXITINFO1 of an I/O instruction (APM 15.10.2), of a nested page fault (15.25.6), of a MOV to or
 * from a control register with decode assists (15.33.1). */
#define IO_INFO_IN      (1ull << 0)
#define IO_INFO_STRING  (1ull << 2)
#define IO_INFO_REP     (1ull << 3)
#define IO_INFO_SIZE(i) ((uint8_t)((i) >> 4 & 7))
#define IO_INFO_PORT(i) ((uint16_t)((i) >> 16))
#define NPF_WRITE       (1ull << 1)
#define NPF_FETCH       (1ull << 4)
#define NPF_TABLE       (1ull << 33) /* while the guest's tables were walked */
#define CR_INFO_MOV     (1ull << 63)

enum svm_exit_code {
        SVM_EXIT_READ_CR8 = 0x08,
        SVM_EXIT_WRITE_CR8 = 0x18,
        SVM_EXIT_EXCEPTION = 0x40, /* to 5Fh: and the vector */
        SVM_EXIT_INTR = 0x60,
        SVM_EXIT_NMI = 0x61,
        SVM_EXIT_INIT = 0x63,
        SVM_EXIT_VINTR = 0x64,
        SVM_EXIT_RDPMC = 0x6f,
        SVM_EXIT_CPUID = 0x72,
        SVM_EXIT_IRET = 0x74,
        SVM_EXIT_INVD = 0x76,
        SVM_EXIT_HLT = 0x78,
        SVM_EXIT_INVLPGA = 0x7a,
        SVM_EXIT_IO = 0x7b,
        SVM_EXIT_MSR = 0x7c,
        SVM_EXIT_FERR_FREEZE = 0x7e,
        SVM_EXIT_SHUTDOWN = 0x7f,
        SVM_EXIT_VMRUN = 0x80,
        SVM_EXIT_VMMCALL = 0x81,
        SVM_EXIT_SKINIT = 0x86,
        SVM_EXIT_WBINVD = 0x89,
        SVM_EXIT_MONITOR = 0x8a,
        SVM_EXIT_MWAIT_COND = 0x8c,
        SVM_EXIT_XSETBV = 0x8d,
        SVM_EXIT_RDPRU = 0x8e,
        SVM_EXIT_INVLPGB = 0xa0,
        SVM_EXIT_MCOMMIT = 0xa3,
        SVM_EXIT_TLBSYNC = 0xa4,
        SVM_EXIT_NPF = 0x400,
};

#define SVM_EXIT_INVALID UINT64_MAX /* VMRUN refused the guest state; QEMU stores 32 bits */

#define VECTOR_MAX 0x1fu /* of an exception: the low bits of its exit code */

#define ATTRIB_L (1u << 9)
#define ATTRIB_D (1u << 10)

/* attrib: descriptor bits 40-47 in its low byte, 52-55 in the four bits above. */
struct vmcb_segment {
        uint16_t selector, attrib;
        uint32_t limit;
        uint64_t base;
};

struct vmcb {
        uint32_t intercept_cr; /* reads in the low half, writes in the high half */
        uint32_t intercept_dr;
        uint32_t intercept_exceptions;
        uint32_t intercept, intercept2, intercept3;
        uint8_t reserved0[0x40 - 0x18];
        uint64_t io_bitmap, msr_bitmap, tsc_offset;
        uint32_t asid;
        uint8_t tlb_control, reserved1[3];
        uint32_t int_control, int_vector;
        uint64_t int_shadow;
        uint64_t exit_code, exit_info1, exit_info2, exit_event;
        uint64_t nested_control;
        uint8_t reserved2[0xa8 - 0x98];
        uint64_t event;
        uint64_t nested_cr3;
        uint64_t lbr_control;
        uint32_t clean, reserved3;
        uint64_t next_rip;
        uint8_t reserved4[0x400 - 0xd0];

        struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
        uint8_t reserved5[0x4cb - 0x4a0];
        uint8_t cpl;
        uint32_t reserved6;
        uint64_t efer;
        uint8_t reserved7[0x548 - 0x4d8];
        uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
        uint8_t reserved8[0x5d8 - 0x580];
        uint64_t rsp;
        uint8_t reserved9[0x5f8 - 0x5e0];
        uint64_t rax;
        uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
        uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
        uint64_t cr2;
        uint8_t reserved10[0x668 - 0x648];
        uint64_t g_pat;
        uint8_t reserved11[0x1000 - 0x670];
};

#define VMCB_AT(field, offset)                                                                     \
        _Static_assert(offsetof(struct vmcb, field) == (offset), "VMCB layout: " #field)
VMCB_AT(io_bitmap, 0x40);
VMCB_AT(asid, 0x58);
VMCB_AT(tlb_control, 0x5c);
VMCB_AT(int_control, 0x60);
VMCB_AT(int_shadow, 0x68);
VMCB_AT(exit_code, 0x70);
VMCB_AT(exit_event, 0x88);
VMCB_AT(nested_control, 0x90);
VMCB_AT(event, 0xa8);
VMCB_AT(nested_cr3, 0xb0);
VMCB_AT(clean, 0xc0);
VMCB_AT(next_rip, 0xc8);
VMCB_AT(es, 0x400);
VMCB_AT(gdtr, 0x460);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(dr6, 0x568);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(sysenter_eip, 0x638);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is one frame");
