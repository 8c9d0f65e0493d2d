/* Interrupts into a vCPU; contract in vcpu_irq.h. */
#include "guest/vcpu_irq.h"

#include "drivers/lapic.h"
#include "guest/vcpu_apic.h"

#define LVT_MASKED          (1u << 16)
#define RESET_SPURIOUS      0xff /* SDM 10.9 */
#define FIRST_USABLE_VECTOR 32   /* below stand the exceptions */

/*
 * A vCPU that has the real local APIC gets the models' interrupts through it. Vectors of exceptions
 * are not sent: pending at the VM's end they would be the host's.
 */
static void forward_interrupts(struct vm_vcpu *v)
{
        int vector;

        while ((vector = lapic_next_irq(&v->lapic)) >= 0) {
                (void)lapic_hand_over(&v->lapic, (uint8_t)vector);
                if (vector >= FIRST_USABLE_VECTOR)
                        host_lapic_send_self((uint8_t)vector);
                v->interrupts++;
        }
}

/* The timer's entry is the only one of the local vector table that is lent. */
void vcpu_lend_apic(struct vm_vcpu *v)
{
        uint32_t lvt = v->lapic.lvt[LAPIC_LVT_TIMER];
        uint8_t spurious = (uint8_t)v->lapic.svr;

        host_lapic_lend((lvt & 0xff) < FIRST_USABLE_VECTOR ? lvt | LVT_MASKED : lvt,
                        spurious < FIRST_USABLE_VECTOR ? RESET_SPURIOUS : spurious);
}

/* The next exit by time: the local APIC's timer, or the scheduler. */
void vcpu_arm(struct vm_vcpu *v)
{
        uint64_t deadline = v->vm->direct ? UINT64_MAX : lapic_deadline(&v->lapic);

        virt->set_deadline(&v->vcpu, deadline < v->look_at ? deadline : v->look_at);
}

/* An NMI that the guest cannot take yet has it exit again at once. */
static void offer_nmi(struct vm_vcpu *v)
{
        if (virt->inject_nmi(&v->vcpu))
                v->nmi = false;
        else
                virt->set_deadline(&v->vcpu, 0);
}

bool vcpu_irq_waits(struct vm_vcpu *v)
{
        if (!v->vm->virtual_apic)
                return lapic_next_irq(&v->lapic) >= 0;
        vcpu_apic_hand_over(v);
        return virt->apic->irq_waits(&v->vcpu);
}

/* Interrupts and the timer: what the local APIC has for the vCPU goes in as soon as it can. */
void vcpu_offer_interrupt(struct vm_vcpu *v)
{
        int vector;

        if (v->nmi)
                offer_nmi(v);
        vector = lapic_next_irq(&v->lapic);
        if (vector < 0)
                return;
        if (v->vm->direct) {
                forward_interrupts(v);
                return;
        }
        if (v->vm->virtual_apic) {
                vcpu_apic_hand_over(v);
                return;
        }
        if (!virt->can_take_irq(&v->vcpu)) {
                virt->want_irq_window(&v->vcpu, true);
                return;
        }
        virt->inject_irq(&v->vcpu, (uint8_t)vector);
        lapic_accept(&v->lapic, (uint8_t)vector);
        v->interrupts++;
        virt->want_irq_window(&v->vcpu, lapic_next_irq(&v->lapic) >= 0);
}
