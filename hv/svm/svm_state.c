/*
 * The VMCB of a vCPU: controls when it is made, the guest's registers when somebody asks (APM vol.
 * 2 15.5, 15.9 to 15.11, appendix B), and EFER, the one control register that exits.
 */
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/percpu.h"
#include "hv/svm/svm.h"

#define CR8_READ  (1u << 8)
#define CR8_WRITE (1u << 24)

#define EFER_GUEST (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define ATTRIB_PRESENT 0x80u

struct svm_caps svm_caps;

static struct svm_cpu of_cpu[CPUS_MAX];

/* Every port exits, as does every MSR but those that belong to the guest alone while it runs. */
static uint8_t io_bitmap[3 * 4096] __attribute__((aligned(4096)));
static uint8_t msr_bitmap[2 * 4096] __attribute__((aligned(4096)));

struct svm_cpu *svm_this_cpu(void)
{
        return &of_cpu[this_cpu()->index];
}

/* Two bits an MSR, read and write, in 2 KiB a range of 8192 MSRs (APM 15.11). */
static void pass_msr(uint32_t msr, bool write)
{
        uint32_t bit = (msr & 0x1fff) * 2 + (msr >= 0xc0000000 ? 2048 * 8 : 0);

        msr_bitmap[bit / 8] &= (uint8_t) ~((write ? 3u : 1u) << bit % 8);
}

void svm_setup_bitmaps(void)
{
        static const uint32_t own[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP,  MSR_SYSENTER_EIP,
                                       MSR_PAT,         MSR_STAR,          MSR_LSTAR,
                                       MSR_CSTAR,       MSR_FMASK,         MSR_FS_BASE,
                                       MSR_GS_BASE,     MSR_KERNEL_GS_BASE};

        memset(io_bitmap, 0xff, sizeof io_bitmap);
        memset(msr_bitmap, 0xff, sizeof msr_bitmap);
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                pass_msr(own[i], true);
        if (svm_caps.rdtscp)
                pass_msr(MSR_TSC_AUX, true);
        pass_msr(MSR_TSC, false);
}

void svm_setup_vmcb(struct vmcb *vmcb, hpa_t root)
{
        vmcb->intercept_cr = CR8_READ | CR8_WRITE;
        /* A guest must not be able to hang the CPU in endless delivery of one of these. */
        vmcb->intercept_exceptions = 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC;
        vmcb->intercept = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC |
                          INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA |
                          INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN;
        vmcb->intercept2 = INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL | INTERCEPT2_VMLOAD |
                           INTERCEPT2_VMSAVE | INTERCEPT2_STGI | INTERCEPT2_CLGI |
                           INTERCEPT2_SKINIT | INTERCEPT2_WBINVD | INTERCEPT2_MONITOR |
                           INTERCEPT2_MWAIT | INTERCEPT2_MWAIT_COND | INTERCEPT2_XSETBV |
                           INTERCEPT2_RDPRU;
        vmcb->intercept3 = INTERCEPT3_INVLPGB | INTERCEPT3_MCOMMIT | INTERCEPT3_TLBSYNC;
        vmcb->io_bitmap = (uint64_t)io_bitmap;
        vmcb->msr_bitmap = (uint64_t)msr_bitmap;
        vmcb->int_control = INT_V_MASKING;
        vmcb->nested_control = NESTED_PAGING;
        vmcb->nested_cr3 = root.v;
        vmcb->g_pat = PAT_RESET;
        vmcb->dr6 = DR6_RESET;
        vmcb->dr7 = DR7_FIXED;
}

uint64_t svm_get_cr4(struct vcpu *vcpu)
{
        return svm_vmcb(vcpu)->cr4;
}

/* The VMCB's, by enum vcpu_segment_name. */
static struct vmcb_segment *segment_of(struct vmcb *vmcb, unsigned name)
{
        struct vmcb_segment *const all[SEG_COUNT] = {&vmcb->es, &vmcb->cs, &vmcb->ss,   &vmcb->ds,
                                                     &vmcb->fs, &vmcb->gs, &vmcb->ldtr, &vmcb->tr};

        return all[name];
}

void svm_get_state(struct vcpu *vcpu, struct vcpu_state *s)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);

        *s = (struct vcpu_state){
            .rip = vmcb->rip,
            .rsp = vmcb->rsp,
            .rflags = vmcb->rflags,
            .cr0 = vmcb->cr0,
            .cr2 = vmcb->cr2,
            .cr3 = vmcb->cr3,
            .cr4 = vmcb->cr4,
            .efer = svm_read_efer(vmcb),
            .gdt_base = vmcb->gdtr.base,
            .idt_base = vmcb->idtr.base,
            .gdt_limit = (uint16_t)vmcb->gdtr.limit,
            .idt_limit = (uint16_t)vmcb->idtr.limit,
            .dr7 = vmcb->dr7,
            .cpl = vmcb->cpl,
        };
        for (unsigned i = 0; i < SEG_COUNT; i++) {
                const struct vmcb_segment *seg = segment_of(vmcb, i);
                uint16_t a = seg->attrib & ATTRIB_PRESENT ? seg->attrib : 0;

                s->seg[i] = (struct vcpu_segment){
                    .base = seg->base,
                    .limit = seg->limit,
                    .selector = seg->selector,
                    .access = (uint16_t)((a & 0xff) | (a & 0xf00) << 4),
                };
        }
}

void svm_set_state(struct vcpu *vcpu, const struct vcpu_state *s)
{
        struct svm_vcpu *v = vcpu->arch;
        struct vmcb *vmcb = v->vmcb;

        vmcb->rip = s->rip;
        vmcb->rsp = s->rsp;
        vmcb->rflags = s->rflags | RFLAGS_FIXED;
        vmcb->cr0 = s->cr0;
        vmcb->cr2 = s->cr2;
        vmcb->cr3 = s->cr3;
        vmcb->cr4 = s->cr4;
        vmcb->efer = s->efer | EFER_SVME;
        vmcb->gdtr = (struct vmcb_segment){.base = s->gdt_base, .limit = s->gdt_limit};
        vmcb->idtr = (struct vmcb_segment){.base = s->idt_base, .limit = s->idt_limit};
        for (unsigned i = 0; i < SEG_COUNT; i++) {
                uint16_t a = s->seg[i].access;

                *segment_of(vmcb, i) = (struct vmcb_segment){
                    .selector = s->seg[i].selector,
                    .attrib = (uint16_t)((a & 0xff) | (a >> 4 & 0xf00)),
                    .limit = s->seg[i].limit,
                    .base = s->seg[i].base,
                };
        }
        vmcb->cpl = ACCESS_DPL(s->seg[SEG_SS].access);
        vmcb->dr7 = s->dr7 | DR7_FIXED;
        vmcb->int_shadow = 0;
        vmcb->event = 0;
        v->nmi_served = v->nmi_ends = v->nmi_steps = false;
        vmcb->intercept &= ~INTERCEPT_IRET;
        svm_dirty(vmcb, CLEAN_ALL);
}

uint64_t svm_read_efer(const struct vmcb *vmcb)
{
        return vmcb->efer & ~EFER_SVME;
}

/* APM vol. 2 3.1.7: LMA follows from LME and paging, and LME is fixed while paging is on. */
int svm_write_efer(struct vmcb *vmcb, uint64_t value)
{
        uint64_t changed = value ^ vmcb->efer;

        if (value & ~EFER_GUEST || (changed & EFER_LME && vmcb->cr0 & CR0_PG))
                return -EINVAL;
        vmcb->efer = (value & ~EFER_LMA) | (vmcb->efer & EFER_LMA) | EFER_SVME;
        svm_dirty(vmcb, CLEAN_CR);
        return 0;
}
