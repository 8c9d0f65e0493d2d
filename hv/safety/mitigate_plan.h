/*
 * Which weaknesses of CPUs concern a hypervisor, which of them this CPU has, and what is done about
 * each: decided from CPUID and IA32_ARCH_CAPABILITIES, never from a list of models; of AMD's CPUs
 * the family is asked where they have no bit. Pure; the CPU's side is in mitigate.h. SDM vol.
 * 4 2.1, Intel's and AMD's guidance for speculation controls.
 */
#pragma once

#include "hv/lib/types.h"

#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD  0x49
#define MSR_ARCH_CAPS 0x10a
#define MSR_FLUSH_CMD 0x10b
#define MSR_TSX_CTRL  0x122
#define MSR_MCU_OPT   0x123
#define MSR_BP_CFG    0xc001102e /* AMD */

#define SPEC_CTRL_IBRS      (1ull << 0)
#define SPEC_CTRL_STIBP     (1ull << 1)
#define SPEC_CTRL_BHI_DIS_S (1ull << 10)
#define PRED_CMD_IBPB       (1ull << 0)
#define FLUSH_CMD_L1D       (1ull << 0)
#define TSX_CTRL_OFF        3ull /* RTM aborts at once, and CPUID does not tell of TSX */
#define MCU_OPT_GDS_OFF     (1ull << 4)
#define MCU_OPT_GDS_LOCK    (1ull << 5)
#define BP_CFG_REDUCE       (1ull << 4)
#define EFER_AUTO_IBRS      (1ull << 21) /* AMD */

enum mitigate_what {
        MITIGATE_BRANCHES, /* branch targets trained by a guest, used by the hypervisor */
        MITIGATE_HISTORY,  /* by its branch history, although targets are kept apart: BHI */
        MITIGATE_RETBLEED, /* returns taken for branches that a guest trained */
        MITIGATE_SRSO,     /* the return stack filled by calls that are none: SRSO, "Inception" */
        MITIGATE_SWITCH,   /* branch targets trained by one VM, used by another */
        MITIGATE_THREADS,  /* by one thread of a core, used by another */
        MITIGATE_L1TF,     /* what the L1 cache holds, read by a guest past its tables */
        MITIGATE_MDS,      /* what the CPU's buffers hold, sampled by a guest */
        MITIGATE_TAA,      /* the same by a transaction that is aborted */
        MITIGATE_MMIO,     /* what devices' registers leave in the fill buffers */
        MITIGATE_RFDS,     /* what Atoms' register files hold */
        MITIGATE_GDS,      /* what gathers leave in vector registers */
        MITIGATE_TSA,      /* what AMD's stores and L1 cache hold, by the time of a load */
        MITIGATE_ITS,      /* branch targets of other code, where branches share a line: ITS */
        MITIGATE_PAGES,    /* a machine check when a page that is executed changes its size */
        MITIGATE_STORES,   /* stores bypassed speculatively */
        MITIGATE_COUNT
};

/* How it stands with one of them. */
enum mitigate_state {
        MITIGATE_NOT_NEEDED, /* the CPU says that it does not have it */
        MITIGATE_ACTIVE,
        MITIGATE_OFF,     /* mitigations=off */
        MITIGATE_MISSING, /* the CPU may have it, and has nothing against it */
};

struct mitigate_row {
        bool vulnerable; /* or the CPU does not say that it is not */
        enum mitigate_state state;
        const char *measure; /* what is done or would be */
        const char *by;      /* the bit that decided */
};

/* Of IA32_ARCH_CAPABILITIES: MSR_MCU_OPT has MCU_OPT_GDS_OFF. */
#define MITIGATE_CAPS_GDS_CTRL (1ull << 25)

/* What is read of a CPU. */
struct mitigate_cpu {
        bool amd;
        bool threads;    /* several a core */
        unsigned family; /* with the extended part */
        uint32_t l7_ebx; /* CPUID.(7,0) */
        uint32_t l7_edx;
        uint32_t l7_2_edx; /* CPUID.(7,2) */
        uint32_t x8_ebx;   /* CPUID.80000008h */
        uint32_t x21_eax;  /* CPUID.80000021h */
        uint32_t x21_ecx;
        uint64_t arch_caps; /* IA32_ARCH_CAPABILITIES, 0 without */
        uint64_t mcu_opt;   /* MSR_MCU_OPT, 0 without MITIGATE_CAPS_GDS_CTRL */
};

/* What to do, when. */
struct mitigate_plan {
        struct mitigate_row row[MITIGATE_COUNT];
        uint64_t spec_ctrl; /* for IA32_SPEC_CTRL, also while guests run; 0: left alone */
        bool auto_ibrs;     /* EFER_AUTO_IBRS is to be set */
        bool reduce;        /* BP_CFG_REDUCE is to be set */
        bool tsx_off;       /* TSX_CTRL_OFF is to be set */
        bool ibpb;          /* PRED_CMD_IBPB at the switch to another VM's vCPU */
        bool ibpb_exit;     /* PRED_CMD_IBPB after each exit, before anything is returned from */
        bool flush_l1d;     /* FLUSH_CMD_L1D before an entry */
        bool clear_buffers; /* VERW before an entry */
        bool gds_on;        /* MCU_OPT_GDS_OFF is to be cleared */
        bool gds_off;       /* or set: the microcode protects unless it is told not to */
        bool small_code;    /* guests execute from pages of 4 KiB only */
};

/* Decide; off: nothing is to be done, and the rows tell what is not. */
void mitigate_decide(const struct mitigate_cpu *cpu, bool off, struct mitigate_plan *plan);

/* In words, for people and programs: "branches"; "active". */
const char *mitigate_name(enum mitigate_what what);
const char *mitigate_state_name(enum mitigate_state state);
