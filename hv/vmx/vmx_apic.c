/*
 * The local APIC that VT-x virtualizes (SDM vol. 3 29): the guest's x2APIC registers stand in a
 * page, reads of them, the task priority, ends of interrupts and IPIs to itself do not exit, and
 * the CPU delivers what is requested there by priority.
 */
#include "drivers/lapic_regs.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/vmx/vmx.h"
#include "mm/dram/dram.h"

#define RVI(status)   ((uint8_t)(status))
#define PRIORITY(reg) ((reg)&0xf0)

/* Its place in the page (table 29-1). */
static volatile uint32_t *apic_register(const struct vmx_vcpu *v, unsigned reg)
{
        return (volatile uint32_t *)(v->apic.v + reg * 16);
}

static void set_cpu_controls(struct vmx_vcpu *v, uint32_t off, uint32_t on)
{
        v->cpu_base = (v->cpu_base & ~off) | on;
        vmx_write_controls(v);
}

static void set_end_exits(struct vmx_vcpu *v, unsigned word, uint64_t vectors)
{
        v->end_exits[word] = vectors;
        vmx_write((enum vmcs_field)(VMCS_EOI_EXIT_BITMAP + 2 * word), vectors);
}

/* MOV to and from CR8 uses the page too, so it needs no exit. */
static void reset(struct vcpu *vcpu)
{
        struct vmx_vcpu *v = vcpu->arch;

        memset((void *)v->apic.v, 0, PAGE_4K);
        vmx_write(VMCS_GUEST_INTERRUPT_STATUS, 0);
        for (unsigned i = 0; i < ARRAY_LEN(v->end_exits); i++)
                set_end_exits(v, i, 0);
        set_cpu_controls(v, CPU_CR8_LOAD | CPU_CR8_STORE, CPU_TPR_SHADOW);
        vmx_write(VMCS_CPU_CONTROLS2, vmx_caps.cpu2 | CPU2_APIC);
        vmx_setup_apic_bitmap(true);
}

/* What was requested is lost, so that nothing waits any more. */
static void stop(struct vcpu *vcpu)
{
        vmx_write(VMCS_GUEST_INTERRUPT_STATUS, 0);
        vmx_write(VMCS_CPU_CONTROLS2, vmx_caps.cpu2);
        set_cpu_controls(vcpu->arch, CPU_TPR_SHADOW, CPU_CR8_LOAD | CPU_CR8_STORE);
        vmx_setup_apic_bitmap(false);
}

static int create(struct vcpu *vcpu)
{
        struct vmx_vcpu *v = vcpu->arch;
        int err = dram_alloc_zeroed(v->dram, 0, &v->apic);

        if (err)
                return err;
        v->has_apic = true;
        vmx_write(VMCS_VIRTUAL_APIC_ADDRESS, v->apic.v);
        vmx_write(VMCS_TPR_THRESHOLD, 0);
        reset(vcpu);
        return 0;
}

static void set(struct vcpu *vcpu, unsigned reg, uint64_t value)
{
        volatile uint32_t *at = apic_register(vcpu->arch, reg);

        at[0] = (uint32_t)value;
        at[1] = (uint32_t)(value >> 32);
}

/* Requested and trigger mode in the page, as the guest reads them; RVI is the highest requested. */
static void raise(struct vcpu *vcpu, uint8_t vector, bool level)
{
        struct vmx_vcpu *v = vcpu->arch;
        uint64_t status = vmx_read(VMCS_GUEST_INTERRUPT_STATUS);
        uint64_t exits = v->end_exits[vector / 64], in_exits = 1ull << vector % 64;
        volatile uint32_t *tmr = apic_register(v, APIC_REG_TMR + vector / 32u);
        uint32_t bit = 1u << vector % 32;

        *apic_register(v, APIC_REG_IRR + vector / 32u) |= bit;
        *tmr = level ? *tmr | bit : *tmr & ~bit;
        if (level != !!(exits & in_exits))
                set_end_exits(v, vector / 64, exits ^ in_exits);
        if (vector > RVI(status))
                vmx_write(VMCS_GUEST_INTERRUPT_STATUS, (status & ~0xffull) | vector);
}

/* SDM 29.2.1. */
static bool irq_waits(struct vcpu *vcpu)
{
        return PRIORITY(RVI(vmx_read(VMCS_GUEST_INTERRUPT_STATUS))) >
               PRIORITY(*apic_register(vcpu->arch, APIC_REG_PPR));
}

const struct virt_apic_ops vmx_apic_ops = {
    .create = create,
    .reset = reset,
    .stop = stop,
    .set = set,
    .raise = raise,
    .irq_waits = irq_waits,
};
