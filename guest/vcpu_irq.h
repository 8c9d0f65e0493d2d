/*
 * How interrupts of a VM's models reach a vCPU that is loaded on this CPU: injected, or by the real
 * local APIC where the vCPU has it.
 */
#pragma once

#include "guest/vm.h"

/* The timer's entry of the local vector table and the vector of spurious interrupts, as the guest
 * has set them, to the real local APIC. */
void vcpu_lend_apic(struct vm_vcpu *v);

/* Set when the next run ends by time. */
void vcpu_arm(struct vm_vcpu *v);

/* Whether an interrupt is there that the vCPU's priority lets through. */
bool vcpu_irq_waits(struct vm_vcpu *v);

/* Before a run: hand in what waits, or ask for the moment when it can be. */
void vcpu_offer_interrupt(struct vm_vcpu *v);

/* After an exit, before the local APIC is looked at: the guest may have ended its interrupt in
 * memory. Inline, as each RDMSR begins with it. */
static inline void vcpu_learn_eoi(struct vm_vcpu *v)
{
        if (pv_eoi_exit(&v->pv))
                lapic_eoi(&v->lapic);
}
