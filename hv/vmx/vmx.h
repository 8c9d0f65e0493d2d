/* The VT-x backend: its vCPU and what its files share. Callers outside use only vmx_ops. */
#pragma once

#include "hv/lent_state.h"
#include "hv/tag.h"
#include "hv/virt.h"
#include "hv/vmx/vmcs.h"
#include "hv/vmx/vmx_caps.h"

extern const struct virt_ops vmx_ops;
extern const struct virt_apic_ops vmx_apic_ops; /* the entry apic of the former */

/* CR4 bits a guest may set; CPUID tells it which of them exist. SDM vol. 3 2.5. */
#define VMX_GUEST_CR4_ALLOWED 0x3707ffull
/* Those of which the guest only sees what it wrote: the CPU's machine checks stay on. */
#define VMX_GUEST_CR4_SHADOWED CR4_MCE
/* CR0 bits whose real value the guest does not decide: NE must be 1 in VMX operation (23.8), and
 * with CD the guest would switch off caches for everybody. */
#define VMX_GUEST_CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)

struct vmx_vcpu {
        hpa_t vmcs;
        struct dram *dram;
        struct tag vpid;
        const struct cpu *host_cpu; /* whose tables the VMCS names */
        bool launched;
        bool timer_stale;  /* the timer field does not tell the time left to deadline any more */
        uint32_t cpu_base; /* processor controls without the windows */
        bool window;       /* exit when the guest can take an interrupt, */
        bool nmi_window;   /* and when it can take an NMI */
        uint64_t deadline; /* TSC, UINT64_MAX: none */
        struct lent_state lent;
        bool has_apic;
        hpa_t apic;            /* page of the virtual local APIC */
        uint64_t end_exits[4]; /* vectors whose end exits */
};

/* Of this machine, as the first CPU has them: valid after its probe. */
extern struct vmx_caps vmx_caps;
extern struct vmx_msrs vmx_msrs;

static inline uint64_t vmx_read(enum vmcs_field field)
{
        uint64_t v;

        __asm__ volatile("vmread %1, %0" : "=rm"(v) : "r"((uint64_t)field) : "cc");
        return v;
}

static inline uint32_t vmx_read32(enum vmcs_field field)
{
        return (uint32_t)vmx_read(field);
}

static inline void vmx_write(enum vmcs_field field, uint64_t v)
{
        __asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "rm"(v) : "cc");
}

/* Make what all VMCSs share; once. */
void vmx_setup_bitmaps(void);

/* Fill in a new VMCS, the current one, except for the guest's registers and vmx_setup_host. */
void vmx_setup_vmcs(const struct vcpu *vcpu, hpa_t root);

/* Which MSRs exit: of the current VMCS, with or without the virtual local APIC's. */
void vmx_setup_apic_bitmap(bool on);

/* Tell the CPU the processor controls of the vCPU, of the current VMCS, with its windows. */
void vmx_write_controls(const struct vmx_vcpu *v);

/* Exit, or not, when the guest can take an NMI. */
void vmx_want_nmi_window(struct vmx_vcpu *v, bool on);

/* What of the host's state depends on the CPU. */
void vmx_setup_host(void);

/* For the NMI handler: the next entry on this CPU exits at once. */
void vmx_end_run(void);

/* The entries of vmx_ops that stand in other files. */
uint64_t vmx_get_cr4(struct vcpu *vcpu);
void vmx_get_state(struct vcpu *vcpu, struct vcpu_state *state);
void vmx_set_state(struct vcpu *vcpu, const struct vcpu_state *state);
void vmx_run(struct vcpu *vcpu, struct vm_exit *exit);
void vmx_skip(struct vcpu *vcpu);
void vmx_advance(struct vcpu *vcpu, unsigned bytes);
void vmx_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error);
void vmx_inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error);
void vmx_inject_irq(struct vcpu *vcpu, uint8_t vector);
bool vmx_inject_nmi(struct vcpu *vcpu);
bool vmx_can_take_irq(struct vcpu *vcpu);
void vmx_want_irq_window(struct vcpu *vcpu, bool on);
void vmx_set_deadline(struct vcpu *vcpu, uint64_t tsc);

/* Emulate a write of CR0 or CR4 that touched owned bits. -EINVAL: the guest may not have it. */
must_check int vmx_write_cr0(uint64_t value);
must_check int vmx_write_cr4(uint64_t value);
