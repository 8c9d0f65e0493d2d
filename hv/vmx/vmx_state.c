/*
 * The VMCS of a vCPU: controls and host state when it is made, the guest's registers when somebody
 * asks (SDM vol. 3 24.4 to 24.8), and the emulation of CR0 and CR4 writes (25.3).
 */
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/percpu.h"
#include "hv/trap/trap.h"
#include "hv/vmx/vmx.h"

#define EPTP_WRITE_BACK     6ull
#define EPTP_WALK_4         (3ull << 3)
#define EPTP_ACCESSED_DIRTY (1ull << 6)
#define MSR_BITMAP_HALF     1024u

extern const uint8_t vmx_exit_entry[];

struct vmx_caps vmx_caps;
struct vmx_msrs vmx_msrs;

/* Every access exits but those to MSRs that belong to the guest alone while it runs. */
static uint8_t msr_bitmap[4096] __attribute__((aligned(4096)));
/* The same, and the registers of the virtual local APIC (vmx_apic.c). */
static uint8_t msr_bitmap_apic[4096] __attribute__((aligned(4096)));

static void pass_msr(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
        uint8_t *half = bitmap + (msr >= 0xc0000000 ? MSR_BITMAP_HALF : 0);
        uint32_t bit = msr & 0x1fff;

        if (read)
                half[bit / 8] &= (uint8_t) ~(1u << bit % 8);
        if (write)
                half[2 * MSR_BITMAP_HALF + bit / 8] &= (uint8_t) ~(1u << bit % 8);
}

static void setup_msr_bitmap(void)
{
        static const uint32_t own[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
                                       MSR_PAT,         MSR_EFER,         MSR_STAR,
                                       MSR_LSTAR,       MSR_CSTAR,        MSR_FMASK,
                                       MSR_FS_BASE,     MSR_GS_BASE,      MSR_KERNEL_GS_BASE};

        memset(msr_bitmap, 0xff, sizeof msr_bitmap);
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                pass_msr(msr_bitmap, own[i], true, true);
        if (vmx_caps.rdtscp)
                pass_msr(msr_bitmap, MSR_TSC_AUX, true, true);
        pass_msr(msr_bitmap, MSR_TSC, true, false);
}

struct msr_range {
        uint32_t first, last;
        bool read, write;
};

/*
 * SDM vol. 3 29.5: reads of the registers that exist, but for the timer's current count, which runs
 * on, and the writes that the CPU virtualizes.
 */
static void setup_apic_bitmap(void)
{
        static const struct msr_range own[] = {
            {0x802, 0x803, true, false}, /* ID, version */
            {0x808, 0x808, true, true},  /* TPR */
            {0x80a, 0x80a, true, false}, /* PPR */
            {0x80b, 0x80b, false, true}, /* EOI */
            {0x80d, 0x80d, true, false}, /* LDR */
            {0x80f, 0x828, true, false}, /* SVR, ISR, TMR, IRR, ESR */
            {0x830, 0x830, true, false}, /* ICR */
            {0x832, 0x838, true, false}, /* local vector table, initial count */
            {0x83e, 0x83e, true, false}, /* divider */
            {0x83f, 0x83f, false, true}, /* self IPI */
        };

        memcpy(msr_bitmap_apic, msr_bitmap, sizeof msr_bitmap);
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                for (uint32_t msr = own[i].first; msr <= own[i].last; msr++)
                        pass_msr(msr_bitmap_apic, msr, own[i].read, own[i].write);
}

void vmx_setup_bitmaps(void)
{
        setup_msr_bitmap();
        setup_apic_bitmap();
}

void vmx_setup_apic_bitmap(bool on)
{
        vmx_write(VMCS_MSR_BITMAP, (uint64_t)(on ? msr_bitmap_apic : msr_bitmap));
}

static void setup_host_state(const struct vcpu *vcpu)
{
        vmx_write(VMCS_HOST_CR0, cpu_read_cr0());
        vmx_write(VMCS_HOST_CR3, cpu_read_cr3());
        vmx_write(VMCS_HOST_CR4, cpu_read_cr4());
        vmx_write(VMCS_HOST_CS_SEL, TRAP_SELECTOR_CODE);
        vmx_write(VMCS_HOST_SS_SEL, TRAP_SELECTOR_DATA);
        vmx_write(VMCS_HOST_DS_SEL, TRAP_SELECTOR_DATA);
        vmx_write(VMCS_HOST_ES_SEL, TRAP_SELECTOR_DATA);
        vmx_write(VMCS_HOST_TR_SEL, TRAP_SELECTOR_TSS);
        vmx_write(VMCS_HOST_PAT, cpu_rdmsr(MSR_PAT));
        vmx_write(VMCS_HOST_EFER, cpu_rdmsr(MSR_EFER));
        vmx_write(VMCS_HOST_RSP, (uint64_t)&vcpu->host_rsp);
        vmx_write(VMCS_HOST_RIP, (uint64_t)vmx_exit_entry);
}

void vmx_setup_host(void)
{
        struct trap_tables t = trap_tables();

        vmx_write(VMCS_HOST_GS_BASE, (uint64_t)this_cpu());
        vmx_write(VMCS_HOST_TR_BASE, t.tss_base);
        vmx_write(VMCS_HOST_GDTR_BASE, t.gdt_base);
        vmx_write(VMCS_HOST_IDTR_BASE, t.idt_base);
}

static void setup_controls(hpa_t root)
{
        uint64_t eptp = root.v | EPTP_WRITE_BACK | EPTP_WALK_4;

        if (vmx_caps.ept_accessed_dirty)
                eptp |= EPTP_ACCESSED_DIRTY;
        vmx_write(VMCS_PIN_CONTROLS, vmx_caps.pin | PIN_PREEMPTION_TIMER);
        vmx_write(VMCS_CPU_CONTROLS, vmx_caps.cpu);
        vmx_write(VMCS_CPU_CONTROLS2, vmx_caps.cpu2);
        vmx_write(VMCS_EXIT_CONTROLS, vmx_caps.exit | (vmx_caps.save_timer ? EXIT_SAVE_TIMER : 0));
        vmx_write(VMCS_ENTRY_CONTROLS, vmx_caps.entry);
        /* A guest must not be able to hang the CPU in endless delivery of one of these. */
        vmx_write(VMCS_EXCEPTION_BITMAP, 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC);
        vmx_write(VMCS_MSR_BITMAP, (uint64_t)msr_bitmap);
        vmx_write(VMCS_EPT_POINTER, eptp);
        vmx_write(VMCS_CR0_MASK, VMX_GUEST_CR0_OWNED);
        vmx_write(VMCS_CR4_MASK, ~VMX_GUEST_CR4_ALLOWED | VMX_GUEST_CR4_SHADOWED);
}

void vmx_setup_vmcs(const struct vcpu *vcpu, hpa_t root)
{
        static const uint16_t zero[] = {
            VMCS_HOST_FS_SEL,           VMCS_HOST_GS_SEL,         VMCS_HOST_FS_BASE,
            VMCS_HOST_SYSENTER_CS,      VMCS_HOST_SYSENTER_ESP,   VMCS_HOST_SYSENTER_EIP,
            VMCS_PF_ERROR_MASK,         VMCS_PF_ERROR_MATCH,      VMCS_CR3_TARGET_COUNT,
            VMCS_EXIT_MSR_STORE_COUNT,  VMCS_EXIT_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_COUNT,
            VMCS_ENTRY_INTERRUPTION,    VMCS_GUEST_DEBUGCTL,      VMCS_GUEST_PENDING_DEBUG,
            VMCS_GUEST_SYSENTER_CS,     VMCS_GUEST_SYSENTER_ESP,  VMCS_GUEST_SYSENTER_EIP,
            VMCS_GUEST_INTERRUPTIBILITY};

        for (size_t i = 0; i < ARRAY_LEN(zero); i++)
                vmx_write((enum vmcs_field)zero[i], 0);
        setup_controls(root);
        setup_host_state(vcpu);
        vmx_write(VMCS_LINK_POINTER, UINT64_MAX);
        vmx_write(VMCS_GUEST_PAT, PAT_RESET);
        vmx_write(VMCS_GUEST_DR7, DR7_FIXED);
        vmx_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
        vmx_write(VMCS_PREEMPTION_TIMER, UINT32_MAX);
}

static enum vmcs_field segment_field(enum vmcs_field first, unsigned segment)
{
        return (enum vmcs_field)((unsigned)first + segment * VMCS_SEGMENT_STEP);
}

/* As the guest reads it. */
static uint64_t guest_cr4(void)
{
        return (vmx_read(VMCS_GUEST_CR4) & VMX_GUEST_CR4_ALLOWED & ~VMX_GUEST_CR4_SHADOWED) |
               (vmx_read(VMCS_CR4_SHADOW) & VMX_GUEST_CR4_SHADOWED);
}

static void set_guest_cr4(uint64_t value)
{
        vmx_write(VMCS_CR4_SHADOW, value);
        vmx_write(VMCS_GUEST_CR4, value | CR4_VMXE | (cpu_read_cr4() & VMX_GUEST_CR4_SHADOWED));
}

uint64_t vmx_get_cr4(struct vcpu *vcpu)
{
        (void)vcpu;
        return guest_cr4();
}

void vmx_get_state(struct vcpu *vcpu, struct vcpu_state *s)
{
        uint64_t cr0;

        (void)vcpu;
        cr0 = vmx_read(VMCS_GUEST_CR0) & ~VMX_GUEST_CR0_OWNED;
        *s = (struct vcpu_state){
            .rip = vmx_read(VMCS_GUEST_RIP),
            .rsp = vmx_read(VMCS_GUEST_RSP),
            .rflags = vmx_read(VMCS_GUEST_RFLAGS),
            .cr0 = cr0 | (vmx_read(VMCS_CR0_SHADOW) & VMX_GUEST_CR0_OWNED),
            .cr2 = cpu_read_cr2(),
            .cr3 = vmx_read(VMCS_GUEST_CR3),
            .cr4 = guest_cr4(),
            .efer = vmx_read(VMCS_GUEST_EFER),
            .gdt_base = vmx_read(VMCS_GUEST_GDTR_BASE),
            .idt_base = vmx_read(VMCS_GUEST_IDTR_BASE),
            .gdt_limit = (uint16_t)vmx_read(VMCS_GUEST_GDTR_LIMIT),
            .idt_limit = (uint16_t)vmx_read(VMCS_GUEST_IDTR_LIMIT),
            .dr7 = vmx_read(VMCS_GUEST_DR7),
            .cpl = ACCESS_DPL(vmx_read(VMCS_GUEST_SS_ACCESS)),
        };
        for (unsigned i = 0; i < SEG_COUNT; i++) {
                uint32_t access = vmx_read32(segment_field(VMCS_GUEST_ES_ACCESS, i));

                s->seg[i].selector = (uint16_t)vmx_read(segment_field(VMCS_GUEST_ES_SEL, i));
                s->seg[i].base = vmx_read(segment_field(VMCS_GUEST_ES_BASE, i));
                s->seg[i].limit = vmx_read32(segment_field(VMCS_GUEST_ES_LIMIT, i));
                s->seg[i].access = access & SEGMENT_UNUSABLE ? 0 : (uint16_t)access;
        }
}

static void set_segment(unsigned i, const struct vcpu_segment *seg)
{
        vmx_write(segment_field(VMCS_GUEST_ES_SEL, i), seg->selector);
        vmx_write(segment_field(VMCS_GUEST_ES_BASE, i), seg->base);
        vmx_write(segment_field(VMCS_GUEST_ES_LIMIT, i), seg->limit);
        vmx_write(segment_field(VMCS_GUEST_ES_ACCESS, i),
                  seg->access ? seg->access : SEGMENT_UNUSABLE);
}

static void set_entry_mode(uint64_t efer)
{
        uint32_t controls = vmx_caps.entry & ~ENTRY_GUEST_64BIT;

        vmx_write(VMCS_GUEST_EFER, efer);
        vmx_write(VMCS_ENTRY_CONTROLS, efer & EFER_LMA ? controls | ENTRY_GUEST_64BIT : controls);
}

void vmx_set_state(struct vcpu *vcpu, const struct vcpu_state *s)
{
        (void)vcpu;
        vmx_write(VMCS_GUEST_RIP, s->rip);
        vmx_write(VMCS_GUEST_RSP, s->rsp);
        vmx_write(VMCS_GUEST_RFLAGS, s->rflags | RFLAGS_FIXED);
        vmx_write(VMCS_GUEST_CR0, (s->cr0 & ~VMX_GUEST_CR0_OWNED) | CR0_NE);
        vmx_write(VMCS_CR0_SHADOW, s->cr0);
        set_guest_cr4(s->cr4 & VMX_GUEST_CR4_ALLOWED);
        vmx_write(VMCS_GUEST_CR3, s->cr3);
        cpu_write_cr2(s->cr2);
        set_entry_mode(s->efer);
        vmx_write(VMCS_GUEST_GDTR_BASE, s->gdt_base);
        vmx_write(VMCS_GUEST_GDTR_LIMIT, s->gdt_limit);
        vmx_write(VMCS_GUEST_IDTR_BASE, s->idt_base);
        vmx_write(VMCS_GUEST_IDTR_LIMIT, s->idt_limit);
        for (unsigned i = 0; i < SEG_COUNT; i++)
                set_segment(i, &s->seg[i]);
        vmx_write(VMCS_GUEST_DR7, s->dr7 | DR7_FIXED);
        vmx_write(VMCS_GUEST_PENDING_DEBUG, 0);
        vmx_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
        vmx_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
        vmx_write(VMCS_ENTRY_INTERRUPTION, 0);
}

int vmx_write_cr0(uint64_t value)
{
        uint64_t old = vmx_read(VMCS_GUEST_CR0);
        uint64_t efer = vmx_read(VMCS_GUEST_EFER);

        if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)) ||
            value >> 32)
                return -EINVAL;
        if (value & ~old & CR0_PG && efer & EFER_LME) {
                if (!(vmx_read(VMCS_GUEST_CR4) & CR4_PAE))
                        return -EINVAL;
                set_entry_mode(efer | EFER_LMA);
        }
        if (old & ~value & CR0_PG)
                set_entry_mode(efer & ~EFER_LMA);
        vmx_write(VMCS_CR0_SHADOW, value);
        vmx_write(VMCS_GUEST_CR0, (value & ~VMX_GUEST_CR0_OWNED) | CR0_NE | CR0_ET);
        return 0;
}

int vmx_write_cr4(uint64_t value)
{
        if (value & ~VMX_GUEST_CR4_ALLOWED & vmx_read(VMCS_CR4_MASK))
                return -EINVAL;
        set_guest_cr4(value);
        return 0;
}
