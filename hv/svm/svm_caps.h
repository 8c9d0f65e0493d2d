/*
 * What the hypervisor demands of SVM, and what it uses when it is there (APM vol. 2 15.4, vol. 3
 * CPUID 8000_000Ah). Values only: the one privileged step is the caller's RDMSR.
 */
#pragma once

#include "hv/lib/printk.h"
#include "hv/lib/types.h"

#define MSR_VM_CR       0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u

#define VM_CR_LOCK   (1ull << 3)
#define VM_CR_SVMDIS (1ull << 4)

#define CPUID_X1_ECX_SVM (1u << 2)

/* Raw values as read; what this CPU does not have is 0. */
struct svm_features {
        uint32_t x1_ecx, x1_edx; /* CPUID 8000_0001h */
        uint32_t asids;          /* 8000_000Ah EBX: how many there are, number 0 is the host's */
        uint32_t xa_edx;         /* 8000_000Ah EDX */
        uint64_t vm_cr;
};

/* What the backend works with once every requirement is met. */
struct svm_caps {
        uint32_t asids;
        bool page_1g;
        bool rdtscp;
        bool next_rip;       /* the CPU tells where the instruction after an exit stands */
        bool decode_assists; /* and what a MOV to or from CR8 names */
        bool flush_by_asid;
};

/*
 * Check every requirement; report gets one line for each that is missing, with the bit that says
 * so. Returns 0 with *out filled in, or -ENODEV (then *out is not touched).
 */
must_check int svm_caps_check(const struct svm_features *f, struct svm_caps *out, report_fn report,
                              void *ctx);

/*
 * Whether another CPU offers the same as the first, by which every VMCB is used; report gets a line
 * for each register that differs. How the firmware left VM_CR is each CPU's own.
 */
must_check bool svm_caps_same(const struct svm_features *first, const struct svm_features *other,
                              report_fn report, void *ctx);
