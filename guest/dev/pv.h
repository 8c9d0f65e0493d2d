/*
 * The paravirtual features that KVM publishes beside its clock (Linux Documentation/virt/kvm/x86/
 * cpuid.rst, msr.rst, hypercalls.rst): end of interrupt without an exit, steal time with the
 * deferred TLB flush of vCPUs that do not run, and hypercalls to wake, to yield to and to interrupt
 * others.
 *
 * struct pv_vcpu belongs to the CPU that runs the vCPU. The guest's memory it points to stays where
 * it is for the VM's life; every address is checked when it is registered.
 */
#pragma once

#include "guest/mem/gmem.h"
#include "hv/lib/types.h"

#define MSR_KVM_STEAL_TIME 0x4b564d03u
#define MSR_KVM_PV_EOI_EN  0x4b564d04u

/* CPUID of the KVM interface: signature in EBX, ECX, EDX of its base leaf, features in EAX of
 * base + 1. */
#define KVM_CPUID_SIGNATURE_EBX        0x4b4d564bu /* "KVMKVMKVM\0\0\0" */
#define KVM_CPUID_SIGNATURE_ECX        0x564b4d56u
#define KVM_CPUID_SIGNATURE_EDX        0x0000004du
#define KVM_FEATURE_NOP_IO_DELAY       (1u << 1)
#define KVM_FEATURE_CLOCKSOURCE2       (1u << 3)
#define KVM_FEATURE_STEAL_TIME         (1u << 5)
#define KVM_FEATURE_PV_EOI             (1u << 6)
#define KVM_FEATURE_PV_UNHALT          (1u << 7)
#define KVM_FEATURE_PV_TLB_FLUSH       (1u << 9)
#define KVM_FEATURE_PV_SEND_IPI        (1u << 11)
#define KVM_FEATURE_PV_SCHED_YIELD     (1u << 13)
#define KVM_FEATURE_CLOCKSOURCE_STABLE (1u << 24)

#define KVM_HC_KICK_CPU    5
#define KVM_HC_SEND_IPI    10
#define KVM_HC_SCHED_YIELD 11

#define KVM_EPERM  1
#define KVM_EINVAL 22
#define KVM_ENOSYS 1000

/* The KVM_FEATURE_ bits that a VM of that many vCPUs is offered; ends_exit: the end of an interrupt
 * exits, unless by PV EOI. */
uint32_t pv_features(unsigned vcpus, bool ends_exit);

struct kvm_steal_time; /* in the guest's memory, pv.c */

/* All zero after the vCPU's reset: nothing is registered. */
struct pv_vcpu {
        uint64_t steal_msr, eoi_msr;
        struct kvm_steal_time *steal;
        uint8_t *eoi; /* bit 0 is the flag */
        uint64_t stolen_ns;
        bool eoi_offered; /* since the last entry */
};

/* Nothing is registered any more: INIT or reset of the vCPU. What was stolen stays counted. */
void pv_reset(struct pv_vcpu *pv);

static inline bool pv_owns_msr(uint32_t msr)
{
        return msr == MSR_KVM_STEAL_TIME || msr == MSR_KVM_PV_EOI_EN;
}

/*
 * RDMSR and WRMSR. -EINVAL: inject #GP - not one of the MSRs, not offered, a reserved bit is set
 * (an address that is not aligned to 64 bytes, 4 for PV EOI), or the structure is not wholly in the
 * VM's memory. A refused write changes nothing.
 */
must_check int pv_msr_read(const struct pv_vcpu *pv, uint32_t features, uint32_t msr,
                           uint64_t *value);
must_check int pv_msr_write(struct pv_vcpu *pv, uint32_t features, const struct gmem *mem,
                            uint32_t msr, uint64_t value);

/*
 * Around an entry. Before it, with whether vlapic_eoi_may_wait: the guest may then end its
 * interrupt by clearing the flag. After the exit: whether it did, so that vlapic_eoi is due.
 */
void pv_eoi_enter(struct pv_vcpu *pv, bool may_wait);
must_check bool pv_eoi_taken(struct pv_vcpu *pv); /* for pv_eoi_exit alone */

/* Inline, as each RDMSR begins with it. */
must_check static inline bool pv_eoi_exit(struct pv_vcpu *pv)
{
        return pv->eoi_offered && pv_eoi_taken(pv);
}

/* The vCPU has lost its CPU or rests in HLT: others need not wait for it, nor flush its TLB now. */
void pv_steal_begin(struct pv_vcpu *pv);

/*
 * It runs again, after it has waited stolen_ns for a CPU (not in HLT). Returns whether another vCPU
 * has asked for a flush of its TLB meanwhile, to be done before it enters.
 */
must_check bool pv_steal_end(struct pv_vcpu *pv, uint64_t stolen_ns);

enum pv_verb {
        PV_NOTHING,
        PV_KICK,  /* end the HLT of vCPU id, now or the next one */
        PV_YIELD, /* vCPU id, which may be preempted, is waited for */
        PV_IPI    /* mode (APIC_FIXED or APIC_NMI) and vector to the vCPUs of targets */
};

/* A hypercall that has been checked: what is left to do cannot fail. */
struct pv_call {
        enum pv_verb verb;
        uint32_t id; /* a vCPU's that exists */
        uint32_t first_id;
        uint64_t targets[2]; /* bit n: vCPU first_id + n, which exists */
        uint8_t mode, vector;
};

/*
 * Decode the hypercall in regs (enum vcpu_reg) of a vCPU in 64-bit mode at privilege level cpl, in
 * a VM of vcpus vCPUs with these features. Returns what RAX gets: a negative KVM_E number when it
 * is refused, then call->verb is PV_NOTHING.
 */
int64_t pv_hypercall(const uint64_t *regs, unsigned cpl, uint32_t features, unsigned vcpus,
                     struct pv_call *call);
