/* Interrupts into a vCPU; contract in vcpu_irq.h. */
#include "guest/exec/vcpu_irq.h"

#include "guest/vm/vcpu_apic.h"
#include "guest/vm/vm.h"

/* The next exit by time: the local APIC's timer, or the scheduler. */
void vcpu_arm(struct vm_vcpu *v)
{
        uint64_t deadline = vlapic_deadline(&v->lapic);

        virt->set_deadline(&v->vcpu, deadline < v->look_at ? deadline : v->look_at);
}

bool vcpu_irq_waits(struct vm_vcpu *v)
{
        if (!v->vm->virtual_apic)
                return vlapic_next_irq(&v->lapic) >= 0;
        vcpu_apic_hand_over(v);
        return virt->apic->irq_waits(&v->vcpu);
}

/*
 * An offered interrupt ends before any other if none is in service: only then is it sure whose end
 * the guest has put off.
 */
bool vcpu_eoi_may_wait(const struct vm_vcpu *v)
{
        return v->offered ? vlapic_eoi_of_next_may_wait(&v->lapic, v->offered)
                          : vlapic_eoi_may_wait(&v->lapic);
}

void vcpu_accept_offer(struct vm_vcpu *v)
{
        vlapic_accept(&v->lapic, v->offered);
        v->interrupts++;
        v->offered = 0;
}

/* Where the CPU holds interrupts: the one of the highest priority, or none any more. */
static void offer(struct vm_vcpu *v, int vector)
{
        uint8_t next = vector < 0 ? 0 : (uint8_t)vector;

        if (next == v->offered)
                return;
        virt->offer_irq(&v->vcpu, next);
        v->offered = next;
}

/* Interrupts and the timer: what the local APIC has for the vCPU goes in as soon as it can. */
void vcpu_offer_interrupt(struct vm_vcpu *v)
{
        int vector;

        if (v->nmi && virt->inject_nmi(&v->vcpu))
                v->nmi = false;
        vector = vlapic_next_irq(&v->lapic);
        if (virt_caps.holds_irq) {
                offer(v, vector);
                return;
        }
        if (vector < 0)
                return;
        if (v->vm->virtual_apic) {
                vcpu_apic_hand_over(v);
                return;
        }
        if (!virt->can_take_irq(&v->vcpu)) {
                virt->want_irq_window(&v->vcpu, true);
                return;
        }
        virt->inject_irq(&v->vcpu, (uint8_t)vector);
        vlapic_accept(&v->lapic, (uint8_t)vector);
        v->interrupts++;
        virt->want_irq_window(&v->vcpu, vlapic_next_irq(&v->lapic) >= 0);
}
