/* The SVM backend: its vCPU and what its files share. Callers outside use only svm_ops. */
#pragma once

#include "hv/cpu.h"
#include "hv/svm/svm_caps.h"
#include "hv/svm/vmcb.h"
#include "hv/virt.h"

extern const struct virt_ops svm_ops;

struct svm_vcpu {
        struct vmcb *vmcb;
        struct dram *dram;
        uint64_t deadline;    /* TSC, UINT64_MAX: none */
        uint64_t skipped_rip; /* of the instruction that svm_skip stepped over last */
        unsigned unexplained; /* refusals of VMRUN without a known reason, in a row */
        bool halted;
        bool window; /* exit when the guest can take an interrupt */
};

/* Of this machine; valid after probe. */
extern struct svm_caps svm_caps;

/* What of the host's state VMRUN leaves to VMSAVE and VMLOAD (APM 15.5.2), saved once. */
extern struct vmcb svm_host_state;

static inline struct vmcb *svm_vmcb(const struct vcpu *vcpu)
{
        return ((const struct svm_vcpu *)vcpu->arch)->vmcb;
}

/* The fields behind these clean bits have changed. */
static inline void svm_dirty(struct vmcb *vmcb, uint32_t clean_bits)
{
        vmcb->clean &= ~clean_bits;
}

static inline void svm_vmsave(const struct vmcb *vmcb)
{
        __asm__ volatile("vmsave %0" : : "a"(vmcb) : "memory");
}

static inline void svm_vmload(const struct vmcb *vmcb)
{
        __asm__ volatile("vmload %0" : : "a"(vmcb) : "memory");
}

/* Have the local APIC's timer end a guest's run at its deadline. */
void svm_start_timer(void);

/* Fill in a new VMCB except for the guest's registers. */
void svm_setup_vmcb(struct vmcb *vmcb, hpa_t root, uint32_t asid);

/* The entries of svm_ops that stand in other files. */
uint64_t svm_get_cr4(struct vcpu *vcpu);
void svm_get_state(struct vcpu *vcpu, struct vcpu_state *state);
void svm_set_state(struct vcpu *vcpu, const struct vcpu_state *state);
void svm_run(struct vcpu *vcpu, struct vm_exit *exit);
void svm_halt(struct vcpu *vcpu);
void svm_skip(struct vcpu *vcpu);
void svm_advance(struct vcpu *vcpu, unsigned bytes);
void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error);
void svm_inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error);
void svm_inject_irq(struct vcpu *vcpu, uint8_t vector);
bool svm_can_take_irq(struct vcpu *vcpu);
void svm_want_irq_window(struct vcpu *vcpu, bool on);
void svm_kick(void);
void svm_set_deadline(struct vcpu *vcpu, uint64_t tsc);

/* EFER as the guest sees it: without SVME, which VMRUN demands (APM 15.5.1). */
uint64_t svm_read_efer(const struct vmcb *vmcb);
/* -EINVAL: the guest may not have that value. */
must_check int svm_write_efer(struct vmcb *vmcb, uint64_t value);
