/*
 * What is delivered to a guest at its next entry (SDM vol. 3 24.8.3, 26.6), and the exits that tell
 * when it can take what has to wait (25.2).
 */
#include "hv/cpu.h"
#include "hv/trap/trap.h"
#include "hv/vmx/vmx.h"

void vmx_write_controls(const struct vmx_vcpu *v)
{
        vmx_write(VMCS_CPU_CONTROLS, v->cpu_base | (v->window ? CPU_INTERRUPT_WINDOW : 0) |
                                         (v->nmi_window ? CPU_NMI_WINDOW : 0));
}

void vmx_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
        uint32_t info = INTR_VALID | INTR_EXCEPTION << 8 | vector;

        (void)vcpu;
        /* Real mode knows no error codes (26.2.1.3). */
        if (cpu_has_error_code(vector) && vmx_read(VMCS_GUEST_CR0) & CR0_PE) {
                info |= INTR_ERROR_CODE;
                vmx_write(VMCS_ENTRY_EXCEPTION_ERROR, error);
        }
        if (cpu_is_fault(vector))
                vmx_write(VMCS_GUEST_RFLAGS, vmx_read(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
        vmx_write(VMCS_ENTRY_INTERRUPTION, info);
}

void vmx_inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error)
{
        cpu_write_cr2(gva);
        vmx_inject_exception(vcpu, VECTOR_PF, error);
}

void vmx_inject_irq(struct vcpu *vcpu, uint8_t vector)
{
        (void)vcpu;
        vmx_write(VMCS_ENTRY_INTERRUPTION, INTR_VALID | INTR_EXTERNAL << 8 | vector);
}

/* A pending trap comes before an NMI or an interrupt, and would be lost with one (26.7.3). */
static bool is_busy(void)
{
        return vmx_read(VMCS_ENTRY_INTERRUPTION) & INTR_VALID || vmx_read(VMCS_GUEST_PENDING_DEBUG);
}

bool vmx_can_take_irq(struct vcpu *vcpu)
{
        (void)vcpu;
        return vmx_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF &&
               !(vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) &&
               !is_busy();
}

void vmx_want_irq_window(struct vcpu *vcpu, bool on)
{
        struct vmx_vcpu *v = vcpu->arch;

        if (v->window == on)
                return;
        v->window = on;
        vmx_write_controls(v);
}

void vmx_want_nmi_window(struct vmx_vcpu *v, bool on)
{
        if (v->nmi_window == on)
                return;
        v->nmi_window = on;
        vmx_write_controls(v);
}

/* The NMI window may open within the shadow of STI, the other one opens behind it, as IF is set. */
bool vmx_inject_nmi(struct vcpu *vcpu)
{
        uint64_t state = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
        bool busy = is_busy();

        if (state & BLOCKED_BY_STI && !busy) {
                vmx_want_irq_window(vcpu, true);
                return false;
        }
        vmx_want_nmi_window(vcpu->arch, state || busy);
        if (state || busy)
                return false;
        vmx_write(VMCS_ENTRY_INTERRUPTION, INTR_VALID | INTR_NMI << 8 | VECTOR_NMI);
        return true;
}
