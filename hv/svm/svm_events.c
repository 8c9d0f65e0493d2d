/*
 * What is delivered to a guest: exceptions and NMIs by EVENTINJ, interrupts by V_IRQ or EVENTINJ
 * (APM vol. 2 15.20, 15.21). What an exit interrupted is delivered again by svm_run.c.
 */
#include "hv/svm/svm.h"

#define NMI_RETRY_TICKS 20000u

void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
        /* APM vol. 2 table 8-1; there are no error codes in real mode. */
        static const uint32_t with_error = 1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21 | 3u << 29;
        struct vmcb *vmcb = svm_vmcb(vcpu);
        uint64_t event = EVENT_VALID | EVENT_EXCEPTION << 8 | vector;

        if (vmcb->cr0 & CR0_PE && with_error >> (vector & VECTOR_MAX) & 1)
                event |= EVENT_ERROR_CODE | (uint64_t)error << 32;
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
 * Until the guest's next IRET no other NMI may come (APM 15.21.9; CPUs before V_NMI keep no mark of
 * that): the IRET exits, and has been executed once the guest is found elsewhere. What else keeps
 * an NMI off is over after one instruction, of which no exit tells: a try a little later does.
 */
bool svm_inject_nmi(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        struct vmcb *vmcb = v->vmcb;
        uint64_t again = cpu_rdtsc() + NMI_RETRY_TICKS;

        if (v->nmi_served && !v->nmi_ends)
                return false;
        if (v->nmi_served || vmcb->int_shadow & INTERRUPT_SHADOW || vmcb->event & EVENT_VALID) {
                if (again < v->deadline)
                        v->deadline = again;
                return false;
        }
        vmcb->event = EVENT_VALID | EVENT_NMI << 8 | VECTOR_NMI;
        v->nmi_served = true;
        vmcb->intercept |= INTERCEPT_IRET;
        svm_dirty(vmcb, CLEAN_INTERCEPTS);
        return true;
}
