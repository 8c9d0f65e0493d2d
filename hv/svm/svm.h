/* The SVM backend: its vCPU and what its files share. Callers outside use only svm_ops. */
#pragma once

#include "hv/cpu.h"
#include "hv/lent_state.h"
#include "hv/svm/svm_caps.h"
#include "hv/svm/vmcb.h"
#include "hv/tag.h"
#include "hv/virt.h"

#define DR6_BS     (1ull << 14)
#define DR6_CAUSES 0xe00full /* of a #DB: B0 to B3, BD, BS, BT */

extern const struct virt_ops svm_ops;

struct svm_vcpu {
        struct vmcb *vmcb;
        struct dram *dram;
        struct tag asid;
        uint64_t deadline;    /* TSC, UINT64_MAX: none */
        unsigned unexplained; /* refusals of VMRUN without a known reason, in a row */
        bool window;          /* exit when the guest can take an interrupt */
        bool nmi_served;      /* the guest's IRET from its NMI has not come yet, */
        bool nmi_ends;        /* or is the instruction at nmi_rip, with the stack at nmi_rsp */
        bool nmi_steps;       /* over that instruction, by RFLAGS.TF, */
        uint64_t nmi_dr6;     /* with these bits taken from the guest's DR6 */
        uint64_t nmi_rip, nmi_rsp;
        uint64_t nmi_retry;  /* ticks until the next try of an NMI that waits; 0: none has waited */
        bool shadowed;       /* by STI or MOV SS, when the run began, */
        bool held;           /* so that V_IRQ waits outside; */
        uint64_t shadow_rip; /* where it began */
        uint64_t shadow_retry; /* ticks until the next try; 0: none was held */
        uint8_t length;        /* of the instruction that caused the last exit, bytes */
        uint8_t offered;       /* the interrupt that V_IRQ stands for; 0: none */
        struct lent_state lent;
};

/* Of a physical CPU. */
struct svm_cpu {
        struct vmcb
            *host_state; /* what VMRUN leaves to VMSAVE and VMLOAD (APM 15.5.2), saved once */
        struct tag_pool asids;
};

/* Of this machine; valid after probe. */
extern struct svm_caps svm_caps;

/* Of the CPU this runs on. */
struct svm_cpu *svm_this_cpu(void);

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

/*
 * The CPU's machine checks must not become a shutdown because a guest has switched its own off: the
 * guest sees CR4.MCE set again after its next exit.
 */
static inline void svm_keep_machine_checks(struct vmcb *vmcb)
{
        if (vmcb->cr4 & CR4_MCE)
                return;
        vmcb->cr4 |= cpu_read_cr4() & CR4_MCE;
        svm_dirty(vmcb, CLEAN_CR);
}

/* Make what all VMCBs share; once. */
void svm_setup_bitmaps(void);

/* Fill in a new VMCB except for the guest's registers and its ASID. */
void svm_setup_vmcb(struct vmcb *vmcb, hpa_t root);

/* The entries of svm_ops that stand in other files. */
uint64_t svm_get_cr4(struct vcpu *vcpu);
void svm_get_state(struct vcpu *vcpu, struct vcpu_state *state);
void svm_set_state(struct vcpu *vcpu, const struct vcpu_state *state);
void svm_run(struct vcpu *vcpu, struct vm_exit *exit);
void svm_skip(struct vcpu *vcpu);
void svm_advance(struct vcpu *vcpu, unsigned bytes);
void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error);
void svm_inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error);
void svm_inject_irq(struct vcpu *vcpu, uint8_t vector);
bool svm_inject_nmi(struct vcpu *vcpu);
/* A step that svm_inject_nmi() began is over, by a trap or without one. */
void svm_end_nmi_step(struct svm_vcpu *v);
/* A #DB: whether it is the trap of that step and nothing of the guest's own. */
bool svm_nmi_stepped(struct svm_vcpu *v);
bool svm_can_take_irq(struct vcpu *vcpu);
void svm_want_irq_window(struct vcpu *vcpu, bool on);
void svm_offer_irq(struct vcpu *vcpu, uint8_t vector);
bool svm_offer_waits(struct vcpu *vcpu);

/* Frame a run, where the CPU's VMRUN does not know of the shadow that STI and MOV SS leave. */
void svm_begin_shadow(struct svm_vcpu *v);
void svm_end_shadow(struct svm_vcpu *v);
void svm_set_deadline(struct vcpu *vcpu, uint64_t tsc);

/* EFER as the guest sees it: without SVME, which VMRUN demands (APM 15.5.1). */
uint64_t svm_read_efer(const struct vmcb *vmcb);
/* -EINVAL: the guest may not have that value. */
must_check int svm_write_efer(struct vmcb *vmcb, uint64_t value);
