/*
 * What is delivered to a guest: exceptions and NMIs by EVENTINJ, interrupts by V_IRQ or EVENTINJ
 * (APM vol. 2 15.20, 15.21). What an exit interrupted is delivered again by svm_run.c.
 */
#include "hv/svm/svm.h"

#define RETRY_MIN        20000u /* ticks of the TSC */
#define NMI_RETRY_MAX    (1ull << 31)
#define SHADOW_RETRY_MAX (RETRY_MIN << 8)

void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);
        uint64_t event = EVENT_VALID | EVENT_EXCEPTION << 8 | vector;

        if (vmcb->cr0 & CR0_PE && cpu_has_error_code(vector))
                event |= EVENT_ERROR_CODE | (uint64_t)error << 32;
        if (cpu_is_fault(vector))
                vmcb->rflags |= RFLAGS_RF;
        vmcb->event = event;
}

void svm_inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error)
{
        svm_vmcb(vcpu)->cr2 = gva;
        svm_dirty(svm_vmcb(vcpu), CLEAN_CR2);
        svm_inject_exception(vcpu, VECTOR_PF, error);
}

void svm_inject_irq(struct vcpu *vcpu, uint8_t vector)
{
        svm_vmcb(vcpu)->event = EVENT_VALID | EVENT_INTR << 8 | vector;
}

bool svm_can_take_irq(struct vcpu *vcpu)
{
        const struct vmcb *vmcb = svm_vmcb(vcpu);

        return vmcb->rflags & RFLAGS_IF && !(vmcb->int_shadow & INTERRUPT_SHADOW) &&
               !(vmcb->event & EVENT_VALID);
}

/* A virtual interrupt that is there: the offered one, or one to exit for (APM 15.21.4). */
static void request_irq(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;

        vmcb->int_vector = v->offered;
        if (v->offered || v->window)
                vmcb->int_control |= INT_V_IRQ | INT_V_PRIO_MAX | INT_V_IGN_TPR;
        else
                vmcb->int_control &= ~(INT_V_IRQ | INT_V_PRIO_MAX | INT_V_IGN_TPR);
        svm_dirty(vmcb, CLEAN_INT);
}

void svm_offer_irq(struct vcpu *vcpu, uint8_t vector)
{
        struct svm_vcpu *v = vcpu->arch;

        v->offered = vector;
        request_irq(v);
}

bool svm_offer_waits(struct vcpu *vcpu)
{
        return svm_vmcb(vcpu)->int_control & INT_V_IRQ;
}

/* With it a virtual interrupt is never taken: it exits when the guest could. */
void svm_want_irq_window(struct vcpu *vcpu, bool on)
{
        struct svm_vcpu *v = vcpu->arch;

        if (v->window == on)
                return;
        v->window = on;
        if (!(v->vmcb->int_control & INT_V_IRQ))
                v->offered = 0; /* taken */
        v->vmcb->intercept ^= INTERCEPT_VINTR;
        svm_dirty(v->vmcb, CLEAN_INTERCEPTS);
        request_irq(v);
}

/*
 * Each try without success comes twice as late as the one before: where an entry and its exit take
 * longer than the time between two tries (in an emulator, in another hypervisor), the guest would
 * otherwise never get to execute the instruction that is waited for.
 */
static void retry_later(struct svm_vcpu *v, uint64_t *retry, uint64_t max)
{
        uint64_t again;

        *retry = *retry ? 2 * *retry : RETRY_MIN;
        if (*retry > max)
                *retry = max;
        again = cpu_rdtsc() + *retry;
        if (again < v->deadline)
                v->deadline = again;
}

/* The IRET loads RFLAGS, so that its trap is all that the guest has of TF. */
static void step_over_iret(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;

        v->nmi_steps = true;
        v->nmi_dr6 = vmcb->dr6 & DR6_CAUSES;
        vmcb->dr6 &= ~DR6_CAUSES;
        vmcb->rflags |= RFLAGS_TF;
        svm_dirty(vmcb, CLEAN_DR);
}

void svm_end_nmi_step(struct svm_vcpu *v)
{
        v->nmi_steps = false;
        v->vmcb->dr6 |= v->nmi_dr6;
        svm_dirty(v->vmcb, CLEAN_DR);
}

/* Bochs 2.7 tells of no cause in DR6 when #DB exits. */
bool svm_nmi_stepped(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;
        uint64_t causes = vmcb->dr6 & DR6_CAUSES;
        bool moved = vmcb->rip != v->nmi_rip || vmcb->rsp != v->nmi_rsp;

        if (!v->nmi_steps)
                return false;
        vmcb->dr6 &= ~DR6_BS;
        svm_end_nmi_step(v);
        if (!moved && !(causes & DR6_BS)) {
                vmcb->rflags &= ~RFLAGS_TF; /* a breakpoint on the IRET, which is still to come */
                return false;
        }
        v->nmi_served = v->nmi_ends = false;
        return !(causes & ~DR6_BS);
}

/*
 * Until the guest's next IRET no other NMI may come (APM 15.21.9; CPUs before V_NMI keep no mark of
 * that): the IRET exits, is stepped over if an NMI waits, and has been executed otherwise once the
 * guest is found elsewhere. What else keeps an NMI off is over after one instruction, of which no
 * exit tells: a try a little later does.
 */
bool svm_inject_nmi(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        struct vmcb *vmcb = v->vmcb;

        if (v->nmi_steps || (v->nmi_served && !v->nmi_ends))
                return false;
        if (vmcb->int_shadow & INTERRUPT_SHADOW || vmcb->event & EVENT_VALID ||
            (v->nmi_served && vmcb->rflags & RFLAGS_TF)) {
                retry_later(v, &v->nmi_retry, NMI_RETRY_MAX);
                return false;
        }
        if (v->nmi_served) {
                step_over_iret(v);
                return false;
        }
        v->nmi_retry = 0;
        vmcb->event = EVENT_VALID | EVENT_NMI << 8 | VECTOR_NMI;
        v->nmi_served = true;
        vmcb->intercept |= INTERCEPT_IRET;
        svm_dirty(vmcb, CLEAN_INTERCEPTS);
        return true;
}

/*
 * VMRUN of QEMU 7.2, which has no next-RIP, forgets the shadow (APM 15.21.5), so that an interrupt
 * would come before the instruction behind STI: if that is an idle loop's HLT, nothing ends it. So
 * V_IRQ waits until the instruction has been executed. No exit tells of that: a try a little later
 * does.
 */
void svm_begin_shadow(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;

        v->shadowed = !svm_caps.next_rip && vmcb->int_shadow & INTERRUPT_SHADOW;
        v->held = v->shadowed && vmcb->int_control & INT_V_IRQ;
        v->shadow_rip = vmcb->rip;
        if (!v->shadowed)
                v->shadow_retry = 0;
        if (!v->held)
                return;
        retry_later(v, &v->shadow_retry, SHADOW_RETRY_MAX);
        vmcb->int_control &= ~INT_V_IRQ;
        svm_dirty(vmcb, CLEAN_INT);
}

/*
 * A guest that is found where it was has not executed the instruction: the shadow, which is not
 * told of either, is there still. After the last try it is taken for one that has, in a loop.
 */
void svm_end_shadow(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;

        if (v->held) {
                vmcb->int_control |= INT_V_IRQ;
                svm_dirty(vmcb, CLEAN_INT);
        }
        if (vmcb->int_shadow & INTERRUPT_SHADOW)
                v->shadow_retry = 0; /* another one */
        else if (v->shadowed && vmcb->rip == v->shadow_rip && v->shadow_retry < SHADOW_RETRY_MAX)
                vmcb->int_shadow |= INTERRUPT_SHADOW;
}
