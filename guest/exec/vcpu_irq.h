/*
 * How interrupts of a VM's models reach a vCPU that is loaded on this CPU: injected, or by the
 * local APIC that the CPU virtualizes.
 */
#pragma once

#include "guest/vm/vcpu.h"

/* Set when the next run ends by time. */
void vcpu_arm(struct vm_vcpu *v);

/* Whether an interrupt is there that the vCPU's priority lets through. */
bool vcpu_irq_waits(struct vm_vcpu *v);

/* Before a run: hand in what waits, or ask for the moment when it can be. */
void vcpu_offer_interrupt(struct vm_vcpu *v);

/* Whether the guest may end an interrupt in memory during the next run. */
bool vcpu_eoi_may_wait(const struct vm_vcpu *v);

/* The offered interrupt has been taken. */
void vcpu_accept_offer(struct vm_vcpu *v);

/* After an exit, before the local APIC is looked at: the guest may have taken its interrupt, and
 * ended it in memory. Inline, as each RDMSR begins with it. */
static inline void vcpu_learn_irq(struct vm_vcpu *v)
{
        if (v->offered && !virt->offer_waits(&v->vcpu))
                vcpu_accept_offer(v);
        if (pv_eoi_exit(&v->pv))
                vlapic_eoi(&v->lapic);
}
