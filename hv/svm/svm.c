/*
 * SVM: finding it, switching it on (APM vol. 2 15.4, 15.30) and the life of a vCPU's VMCB. What
 * runs and how it exits is in svm_run.c, guest registers in svm_state.c.
 */
#include "hv/svm/svm.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"
#include "mm/dram/dram.h"
#include "mm/paging/paging.h"

#define VCPU_ORDER 1u /* of a vCPU: a frame for its struct svm_vcpu, one for its VMCB */

#define CPUID_SVM           0x8000000au
#define CPUID_7_EBX_INVPCID (1u << 10)

#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_HYPERVISOR       0x40000000u
#define KVM_EBX                0x4b4d564bu /* "KVMKVMKVM" */
#define KVM_ECX                0x564b4d56u
#define KVM_EDX                0x4du

_Static_assert(sizeof(struct svm_vcpu) <= PAGE_4K, "a VMCB begins behind it");

static struct svm_features read_features(void)
{
        struct cpuid_regs x1 = cpu_leaf(0x80000001), xa = cpu_leaf(CPUID_SVM);
        struct svm_features f = {.x1_ecx = x1.ecx, .x1_edx = x1.edx};

        if (f.x1_ecx & CPUID_X1_ECX_SVM && xa.eax) {
                f.asids = xa.ebx;
                f.xa_edx = xa.edx;
                f.vm_cr = cpu_rdmsr(MSR_VM_CR);
        }
        return f;
}

static bool svm_present(void)
{
        return read_features().x1_ecx & CPUID_X1_ECX_SVM;
}

/*
 * Where KVM itself runs on QEMU 7.2, an interrupt by V_IRQ whose delivery needs a page that KVM has
 * still to map is taken by KVM for an exception, as QEMU says, and our whole machine ends. So below
 * us KVM gets interrupts that are injected.
 */
static bool kvm_is_below(void)
{
        struct cpuid_regs r;

        if (!(cpu_cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
                return false;
        r = cpu_cpuid(CPUID_HYPERVISOR, 0);
        return r.ebx == KVM_EBX && r.ecx == KVM_ECX && r.edx == KVM_EDX;
}

static int svm_probe(bool first, struct virt_caps *caps)
{
        static struct svm_features of_first;
        struct svm_features f = read_features();
        struct svm_caps found;
        int err = svm_caps_check(&f, &found, log_report, "");

        if (!err && !first && !svm_caps_same(&of_first, &f, log_report, ""))
                err = -ENODEV;
        if (err)
                return err;
        of_first = f;
        svm_caps = found;
        *caps = (struct virt_caps){
            .holds_irq = !kvm_is_below(),
            .page_max = svm_caps.page_1g ? PAGE_1G : PAGE_2M,
            .rdtscp = svm_caps.rdtscp,
            .invpcid = cpu_leaf(7).ebx & CPUID_7_EBX_INVPCID,
            .fast_strings = true,
        };
        return 0;
}

static int svm_cpu_enable(struct dram *dram)
{
        struct svm_cpu *cpu = svm_this_cpu();
        hpa_t host_state, host_save; /* where VMRUN keeps the rest, in a layout of its own */
        int err = dram_alloc_zeroed(dram, 0, &host_state);

        if (!err)
                err = dram_alloc_zeroed(dram, 0, &host_save);
        if (err)
                return err;
        if (this_cpu()->index == 0)
                svm_setup_bitmaps();
        err = lent_state_enable();
        if (err)
                return err;
        if (cpu_rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) /* not locked: svm_caps_check */
                cpu_wrmsr(MSR_VM_CR, cpu_rdmsr(MSR_VM_CR) & ~VM_CR_SVMDIS);
        cpu_wrmsr(MSR_EFER, cpu_rdmsr(MSR_EFER) | EFER_SVME);
        cpu_wrmsr(MSR_VM_HSAVE_PA, host_save.v);
        cpu->host_state = (struct vmcb *)host_state.v;
        svm_vmsave(cpu->host_state);
        return 0;
}

/* Before the next entry; the flush stands in the VMCB until svm_run has entered once. */
static void svm_flush_tlb(struct vcpu *vcpu)
{
        svm_vmcb(vcpu)->tlb_control = svm_caps.flush_by_asid ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
}

static void svm_unload(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;

        lent_state_save(&v->lent);
        vcpu->cpu->loaded = NULL;
        vcpu->cpu = NULL;
}

/* No clean bit survives a change of CPUs (APM 15.15.2); a new tag has no translations. */
static void svm_load(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        struct cpu *cpu = this_cpu();

        if (cpu->loaded)
                svm_unload(cpu->loaded);
        cpu->loaded = vcpu;
        vcpu->cpu = cpu;
        if (tag_take(&v->asid, &svm_this_cpu()->asids, svm_caps.asids - 1))
                v->vmcb->tlb_control = TLB_FLUSH_ALL;
        v->vmcb->asid = v->asid.tag;
        v->vmcb->clean = 0;
        lent_state_load(&v->lent);
}

static int svm_vcpu_create(struct vcpu *vcpu, hpa_t root, struct dram *dram)
{
        struct svm_vcpu *v;
        hpa_t frame;
        int err = dram_alloc_zeroed(dram, VCPU_ORDER, &frame);

        if (err)
                return err;
        v = (struct svm_vcpu *)frame.v;
        *v = (struct svm_vcpu){
            .vmcb = (struct vmcb *)(frame.v + PAGE_4K), .dram = dram, .deadline = UINT64_MAX};
        vcpu->arch = v;
        lent_state_reset(&v->lent);
        svm_setup_vmcb(v->vmcb, root);
        svm_load(vcpu);
        return 0;
}

static void svm_vcpu_destroy(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        struct dram *dram = v->dram;

        if (vcpu->cpu)
                svm_unload(vcpu);
        if (dram_free(dram, HPA((uint64_t)v), VCPU_ORDER))
                panic("SVM: the frames of a vCPU cannot be freed");
        vcpu->arch = NULL;
}

const struct virt_ops svm_ops = {
    .name = "SVM with NPT",
    .second_level = &paging_npt,
    .present = svm_present,
    .probe = svm_probe,
    .cpu_enable = svm_cpu_enable,
    .vcpu_create = svm_vcpu_create,
    .vcpu_destroy = svm_vcpu_destroy,
    .load = svm_load,
    .unload = svm_unload,
    .get_cr4 = svm_get_cr4,
    .get_state = svm_get_state,
    .set_state = svm_set_state,
    .set_xcr0 = lent_set_xcr0,
    .run = svm_run,
    .skip = svm_skip,
    .advance = svm_advance,
    .inject_exception = svm_inject_exception,
    .inject_page_fault = svm_inject_page_fault,
    .inject_irq = svm_inject_irq,
    .inject_nmi = svm_inject_nmi,
    .can_take_irq = svm_can_take_irq,
    .want_irq_window = svm_want_irq_window,
    .offer_irq = svm_offer_irq,
    .offer_waits = svm_offer_waits,
    .set_deadline = svm_set_deadline,
    .flush_tlb = svm_flush_tlb,
};
