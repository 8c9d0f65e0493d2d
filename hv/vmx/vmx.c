/*
 * VT-x: finding it, switching it on (SDM vol. 3 23.6, 23.7) and the life of a vCPU's VMCS (24.11).
 * What runs and how it exits is in vmx_run.c, guest registers in vmx_state.c.
 */
#include "hv/vmx/vmx.h"

#include "hv/cpu.h"
#include "hv/lent_state.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/percpu.h"
#include "hv/trap/trap.h"
#include "mm/dram/dram.h"
#include "mm/paging/paging.h"

_Static_assert(sizeof(struct vmx_vcpu) <= PAGE_4K, "a VMCS begins behind it");

static struct {
        hpa_t vmxon_region;
        struct tag_pool vpids;
} of_cpu[CPUS_MAX];

/* An invalidation descriptor, SDM vol. 3 30.3 (INVEPT, INVVPID). */
struct invalidation {
        uint64_t context;
        uint64_t address;
};

#define VCPU_ORDER 1u /* of a vCPU: a frame for its struct vmx_vcpu, one for its VMCS */

#define INVALIDATE_SINGLE 1ull
#define INVALIDATE_ALL    2ull

static bool vmx_present(void)
{
        return cpu_cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
}

#define CPUID_0_EBX_INTEL        0x756e6547u /* "Genu" */
#define MISC_ENABLE_FAST_STRINGS (1u << 0)

/* Only Intel's CPUs are known to have the MSR. */
static bool strings_are_fast(void)
{
        return cpu_cpuid(0, 0).ebx != CPUID_0_EBX_INTEL ||
               cpu_rdmsr(MSR_MISC_ENABLE) & MISC_ENABLE_FAST_STRINGS;
}

static int vmx_probe(bool first, struct virt_caps *caps)
{
        uint8_t bits = (uint8_t)cpu_cpuid(0x80000008, 0).eax;
        struct vmx_msrs msrs;
        struct vmx_caps found;
        int err;

        vmx_caps_read(&msrs, cpu_cpuid(1, 0).ecx, cpu_cpuid(0x80000001, 0).edx, bits, cpu_rdmsr);
        err = vmx_caps_check(&msrs, &found, log_report, "");
        if (!err && !first && !vmx_caps_same(&vmx_msrs, &msrs, log_report, ""))
                err = -ENODEV;
        if (err)
                return err;
        vmx_msrs = msrs;
        vmx_caps = found;
        *caps = (struct virt_caps){
            .page_max = vmx_caps.ept_1g ? PAGE_1G : PAGE_2M,
            .rdtscp = vmx_caps.rdtscp,
            .invpcid = vmx_caps.invpcid,
            .fast_strings = strings_are_fast(),
            .kick_by_nmi = true,
            .virtual_apic = vmx_caps.virtual_apic,
        };
        return 0;
}

static void set_fixed_bits(void)
{
        cpu_write_cr0((cpu_read_cr0() | vmx_msrs.vmx[VMX_CR0_FIXED0]) &
                      vmx_msrs.vmx[VMX_CR0_FIXED1]);
        cpu_write_cr4((cpu_read_cr4() | vmx_msrs.vmx[VMX_CR4_FIXED0]) &
                      vmx_msrs.vmx[VMX_CR4_FIXED1]);
}

static void set_revision(hpa_t region)
{
        *(uint32_t *)region.v = vmx_caps.revision;
}

/* The firmware may have left it open, on each CPU for itself. */
static void open_feature_control(void)
{
        uint64_t value = cpu_rdmsr(MSR_FEATURE_CONTROL);

        if (!(value & FEATURE_CONTROL_LOCK))
                cpu_wrmsr(MSR_FEATURE_CONTROL, value | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
}

static int vmx_cpu_enable(struct dram *dram)
{
        hpa_t *region = &of_cpu[this_cpu()->index].vmxon_region;
        uint8_t failed;
        int err = dram_alloc_zeroed(dram, 0, region);

        if (err)
                return err;
        set_revision(*region);
        if (this_cpu()->index == 0)
                vmx_setup_bitmaps();
        err = lent_state_enable();
        if (err)
                return err;
        open_feature_control();
        set_fixed_bits();
        __asm__ volatile("vmxon %1; setna %0" : "=qm"(failed) : "m"(region->v) : "cc", "memory");
        if (failed) {
                printk(LOG_ERROR,
                       "VT-x: VMXON failed: CR0 0x%lx CR4 0x%lx IA32_FEATURE_CONTROL 0x%lx",
                       cpu_read_cr0(), cpu_read_cr4(), cpu_rdmsr(MSR_FEATURE_CONTROL));
                return -EIO;
        }
        trap_set_end_run(vmx_end_run);
        return 0;
}

static void clear_vmcs(hpa_t vmcs)
{
        __asm__ volatile("vmclear %0" : : "m"(vmcs.v) : "cc", "memory");
}

/* All contexts where the CPU can do that, else the one that a field of the current VMCS names. */
static struct invalidation context_of(bool all, enum vmcs_field field, uint64_t *type)
{
        *type = all ? INVALIDATE_ALL : INVALIDATE_SINGLE;
        return (struct invalidation){.context = all ? 0 : vmx_read(field)};
}

static void invalidate_all(void)
{
        uint64_t type;
        struct invalidation d = context_of(vmx_caps.invept_all, VMCS_EPT_POINTER, &type);

        __asm__ volatile("invept %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
        d = context_of(vmx_caps.invvpid_all, VMCS_VPID, &type);
        __asm__ volatile("invvpid %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
}

static void vmx_flush_tlb(struct vcpu *vcpu)
{
        (void)vcpu;
        invalidate_all();
}

static void vmx_unload(struct vcpu *vcpu)
{
        struct vmx_vcpu *v = vcpu->arch;

        lent_state_save(&v->lent);
        lent_msrs_save(&v->lent);
        clear_vmcs(v->vmcs);
        v->launched = false;
        vcpu->cpu->loaded = NULL;
        vcpu->cpu = NULL;
}

/* EPT translations carry no VPID: a vCPU that was elsewhere may have had its tables changed. */
static void take_cpu(struct vmx_vcpu *v, struct cpu *cpu)
{
        bool new_round = tag_take(&v->vpid, &of_cpu[cpu->index].vpids, UINT16_MAX);

        vmx_write(VMCS_VPID, v->vpid.tag);
        if (v->host_cpu != cpu || new_round) {
                vmx_setup_host();
                invalidate_all();
        }
        v->host_cpu = cpu;
        v->timer_stale = true;
}

static void make_current(struct vcpu *vcpu)
{
        struct vmx_vcpu *v = vcpu->arch;
        struct cpu *cpu = this_cpu();

        if (cpu->loaded)
                vmx_unload(cpu->loaded);
        __asm__ volatile("vmptrld %0" : : "m"(v->vmcs.v) : "cc", "memory");
        cpu->loaded = vcpu;
        vcpu->cpu = cpu;
}

static void bring_in(struct vmx_vcpu *v)
{
        take_cpu(v, this_cpu());
        lent_state_load(&v->lent);
        lent_msrs_load(&v->lent);
}

static void vmx_load(struct vcpu *vcpu)
{
        make_current(vcpu);
        bring_in(vcpu->arch);
}

static int vmx_vcpu_create(struct vcpu *vcpu, hpa_t root, struct dram *dram)
{
        struct vmx_vcpu *v;
        hpa_t frame, vmcs;
        int err = dram_alloc_zeroed(dram, VCPU_ORDER, &frame);

        if (err)
                return err;
        vmcs = HPA(frame.v + PAGE_4K);
        set_revision(vmcs);
        v = (struct vmx_vcpu *)frame.v;
        *v = (struct vmx_vcpu){.vmcs = vmcs, .dram = dram, .deadline = UINT64_MAX};
        v->timer_stale = true;
        v->cpu_base = vmx_caps.cpu;
        vcpu->arch = v;
        lent_state_reset(&v->lent);
        clear_vmcs(vmcs);
        make_current(vcpu);
        vmx_setup_vmcs(vcpu, root);
        bring_in(v);
        return 0;
}

static void vmx_vcpu_destroy(struct vcpu *vcpu)
{
        struct vmx_vcpu *v = vcpu->arch;
        struct dram *dram = v->dram;

        if (vcpu->cpu)
                vmx_unload(vcpu);
        if ((v->has_apic && dram_free(dram, v->apic, 0)) ||
            dram_free(dram, HPA((uint64_t)v), VCPU_ORDER))
                panic("VT-x: the frames of a vCPU cannot be freed");
        vcpu->arch = NULL;
}

const struct virt_ops vmx_ops = {
    .name = "VT-x with EPT",
    .second_level = &paging_ept,
    .present = vmx_present,
    .probe = vmx_probe,
    .cpu_enable = vmx_cpu_enable,
    .vcpu_create = vmx_vcpu_create,
    .vcpu_destroy = vmx_vcpu_destroy,
    .load = vmx_load,
    .unload = vmx_unload,
    .get_cr4 = vmx_get_cr4,
    .get_state = vmx_get_state,
    .set_state = vmx_set_state,
    .set_xcr0 = lent_set_xcr0,
    .run = vmx_run,
    .skip = vmx_skip,
    .advance = vmx_advance,
    .inject_exception = vmx_inject_exception,
    .inject_page_fault = vmx_inject_page_fault,
    .inject_irq = vmx_inject_irq,
    .inject_nmi = vmx_inject_nmi,
    .can_take_irq = vmx_can_take_irq,
    .want_irq_window = vmx_want_irq_window,
    .set_deadline = vmx_set_deadline,
    .flush_tlb = vmx_flush_tlb,
    .apic = &vmx_apic_ops,
};
