/* A vCPU's virtualized local APIC; contract in vcpu_apic.h. */
#include "guest/vm/vcpu_apic.h"

#include "guest/vm/vm.h"

#define MSR_X2APIC_SVR 0x80fu

/* Shows the guest the model's value of a register, if it has one. */
static void show(struct vm_vcpu *v, uint32_t msr)
{
        uint64_t value;

        if (!vlapic_msr_read(&v->lapic, msr, &value, 0))
                virt->apic->set(&v->vcpu, msr - MSR_X2APIC_FIRST, value);
}

/* All that the CPU does not keep itself (SDM vol. 3 table 10-6). */
static void show_all(struct vm_vcpu *v)
{
        static const uint32_t msrs[] = {0x802,          0x803, 0x80d, MSR_X2APIC_SVR, 0x828,
                                        MSR_X2APIC_ICR, 0x832, 0x833, 0x834,          0x835,
                                        0x836,          0x837, 0x838, 0x83e};

        for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
                show(v, msrs[i]);
}

int vcpu_apic_create(struct vm_vcpu *v)
{
        int err = virt->apic->create(&v->vcpu);

        if (!err)
                show_all(v);
        return err;
}

void vcpu_apic_reset(struct vm_vcpu *v)
{
        if (!v->vm->virtual_apic)
                return;
        virt->apic->reset(&v->vcpu);
        show_all(v);
}

/* Switched off by software, the APIC masks its local vector table as well. */
void vcpu_apic_written(struct vm_vcpu *v, uint32_t msr)
{
        if (!v->vm->virtual_apic || !vlapic_owns_msr(msr) || msr == MSR_TSC_DEADLINE)
                return;
        if (msr == MSR_APIC_BASE) {
                if (!(v->lapic.base & APIC_BASE_ENABLE))
                        virt->apic->stop(&v->vcpu);
        } else if (msr == MSR_X2APIC_SVR) {
                show_all(v);
        } else {
                show(v, msr);
        }
}

void vcpu_apic_hand_over(struct vm_vcpu *v)
{
        int vector;

        while ((vector = vlapic_next_irq(&v->lapic)) >= 0) {
                bool level = vlapic_hand_over(&v->lapic, (uint8_t)vector);

                virt->apic->raise(&v->vcpu, (uint8_t)vector, level);
                v->interrupts++;
        }
}
