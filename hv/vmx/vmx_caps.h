/*
 * What the hypervisor demands of VT-x, what it uses when it is there, and the control words that
 * follow (SDM vol. 3 appendix A). Values only: the one privileged step is the caller's RDMSR.
 */
#pragma once

#include "hv/lib/printk.h"
#include "hv/lib/types.h"

/* The capability MSRs in their architectural order: number = MSR_VMX_BASIC + index. */
enum vmx_msr {
        VMX_BASIC,
        VMX_PIN,
        VMX_CPU,
        VMX_EXIT,
        VMX_ENTRY,
        VMX_MISC,
        VMX_CR0_FIXED0,
        VMX_CR0_FIXED1,
        VMX_CR4_FIXED0,
        VMX_CR4_FIXED1,
        VMX_VMCS_ENUM,
        VMX_CPU2,
        VMX_EPT_VPID,
        VMX_TRUE_PIN,
        VMX_TRUE_CPU,
        VMX_TRUE_EXIT,
        VMX_TRUE_ENTRY,
        VMX_MSR_COUNT
};

#define MSR_VMX_BASIC 0x480u

#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_VMX  (1ull << 2) /* VMX outside SMX operation */

/* IA32_VMX_EPT_VPID_CAP, SDM A.10. */
#define EPT_CAP_WALK_4          (1ull << 6)
#define EPT_CAP_UNCACHED        (1ull << 8)
#define EPT_CAP_WRITE_BACK      (1ull << 14)
#define EPT_CAP_2M              (1ull << 16)
#define EPT_CAP_1G              (1ull << 17)
#define EPT_CAP_INVEPT          (1ull << 20)
#define EPT_CAP_AD              (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE   (1ull << 25)
#define EPT_CAP_INVEPT_ALL      (1ull << 26)
#define VPID_CAP_INVVPID        (1ull << 32)
#define VPID_CAP_INVVPID_SINGLE (1ull << 41)
#define VPID_CAP_INVVPID_ALL    (1ull << 42)

/* Raw values as read; an MSR that this CPU does not have is 0. */
struct vmx_msrs {
        uint32_t cpuid1_ecx;   /* CPUID.1:ECX */
        uint32_t cpuid_x1_edx; /* CPUID.80000001H:EDX */
        uint8_t physical_bits; /* CPUID.80000008H:EAX[7:0] */
        uint64_t feature_control;
        uint64_t vmx[VMX_MSR_COUNT];
};

/* What the backend works with once every requirement is met. */
struct vmx_caps {
        uint32_t revision; /* first word of the VMXON region and of every VMCS */

        /* Control words to start a vCPU with. The run loop adds what changes from entry to entry:
         * CPU_INTERRUPT_WINDOW, PIN_PREEMPTION_TIMER (with EXIT_SAVE_TIMER), ENTRY_GUEST_64BIT. */
        uint32_t pin, cpu, cpu2, exit, entry;

        bool ept_1g;
        bool ept_accessed_dirty;
        bool rdtscp;
        bool invpcid;
        bool save_timer;
        bool virtual_apic; /* x2APIC mode, APIC registers and interrupt delivery (SDM 29) */
        bool invept_all, invvpid_all; /* of all contexts; else of one at a time */
        uint8_t timer_shift; /* the preemption timer counts down once in 2^timer_shift TSC ticks */
};

/*
 * Read the MSRs that exist and no other: each stage is read only when the one before says so (VMX
 * in CPUID, feature control, secondary controls, EPT or VPID, TRUE MSRs), since RDMSR of a missing
 * one faults. Sets all of *m; the numbers are the caller's CPUID results.
 */
void vmx_caps_read(struct vmx_msrs *m, uint32_t cpuid1_ecx, uint32_t cpuid_x1_edx,
                   uint8_t physical_bits, uint64_t (*rdmsr)(uint32_t msr));

/*
 * Check every requirement; report gets one line for each that is missing, with the bit that says
 * so. Returns 0 with *out filled in, or -ENODEV (then *out is not touched).
 */
must_check int vmx_caps_check(const struct vmx_msrs *m, struct vmx_caps *out, report_fn report,
                              void *ctx);

/*
 * Whether another CPU offers the same as the first, whose control words every VMCS has; report gets
 * a line for each MSR that differs. How the firmware left IA32_FEATURE_CONTROL is each CPU's own.
 */
must_check bool vmx_caps_same(const struct vmx_msrs *first, const struct vmx_msrs *other,
                              report_fn report, void *ctx);

/*
 * The MSR that rules a control word (SDM A.3 to A.5): the TRUE one where VMX_BASIC bit 55 says that
 * it exists. plain is VMX_PIN, VMX_CPU, VMX_EXIT, VMX_ENTRY or VMX_CPU2.
 */
enum vmx_msr vmx_caps_control_msr(const struct vmx_msrs *m, enum vmx_msr plain);

/* The name in the SDM, such as "IA32_VMX_BASIC". */
const char *vmx_caps_msr_name(enum vmx_msr msr);

/*
 * A control word under a capability MSR (low half: bits that must be 1, high half: bits that may be
 * 1): required bits, the optional bits that are allowed, and what the CPU insists on.
 */
static inline uint32_t vmx_caps_adjust(uint32_t required, uint32_t optional, uint64_t msr)
{
        return required | (optional & (uint32_t)(msr >> 32)) | (uint32_t)msr;
}
