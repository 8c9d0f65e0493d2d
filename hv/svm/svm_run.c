/*
 * Running a vCPU: entry, and the translation of SVM's exits into struct vm_exit (APM vol. 2 15.5 to
 * 15.12, appendix C). Exits that concern only the machine or the CPU are settled here.
 *
 * From CLGI to STGI nothing interrupts the CPU. The machine's interrupts and NMIs end the guest's
 * run and stay pending; NMIs arrive at the host right after STGI, on the host's own tables, and
 * interrupts where the exit tells of them, so that the caller learns of each.
 */
#include "hv/instruction.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"
#include "hv/safety/mitigate.h"
#include "hv/svm/svm.h"
#include "hv/svm/svm_check.h"
#include "hv/svm/svm_decode.h"
#include "hv/trap/alarm.h"
#include "hv/trap/mce.h"
#include "hv/trap/trap.h"

#define SHORT_INSTRUCTION 3u /* bytes */
#define CR_GPR            0x0fu
#define UNEXPLAINED_MAX   100u

/* In svm_entry.asm. */
void svm_enter(struct vcpu *vcpu, const struct vmcb *vmcb);

static bool is_wide(const struct vmcb *vmcb)
{
        return vmcb->efer & EFER_LMA && vmcb->cs.attrib & ATTRIB_L;
}

static int decode_bytes(struct vcpu *vcpu, size_t want, struct svm_instruction *out)
{
        const struct vmcb *vmcb = svm_vmcb(vcpu);
        const struct instruction_place place = {
            .regs = {vmcb->cr0, vmcb->cr3, vmcb->cr4, vmcb->efer},
            .rip = vmcb->rip,
            .base = vmcb->cs.base,
            .limit = vmcb->cs.limit,
            .wide = is_wide(vmcb),
        };
        uint8_t code[INSTRUCTION_MAX];
        size_t n = instruction_fetch(&place, vcpu->fast.read_word, vcpu, code, want);

        return svm_decode(code, n, place.wide, vmcb->exit_code, out);
}

/* The instruction that caused the exit, from the guest's memory; most are short. */
static int decode_from_memory(struct vcpu *vcpu, struct svm_instruction *out)
{
        if (!decode_bytes(vcpu, SHORT_INSTRUCTION, out))
                return 0;
        return decode_bytes(vcpu, INSTRUCTION_MAX, out);
}

/*
 * How long the instruction is that caused the exit, once, before anything is done for it; 0 when it
 * is not in memory any more. Then the guest goes on where it stands, with what stands there now.
 */
static uint8_t learn_length(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        const struct vmcb *vmcb = v->vmcb;
        struct svm_instruction in;

        if (vmcb->exit_code == SVM_EXIT_IO)
                v->length = (uint8_t)(vmcb->exit_info2 - vmcb->rip);
        else if (svm_caps.next_rip && vmcb->next_rip)
                v->length = (uint8_t)(vmcb->next_rip - vmcb->rip);
        else
                v->length = decode_from_memory(vcpu, &in) ? 0 : in.length;
        return v->length;
}

/*
 * Leave the instruction: RIP, which wraps at 4 GiB outside of 64-bit code, the shadow of an STI or
 * MOV SS before it, and RFLAGS.RF, which is for one instruction only. Then comes the trap of
 * single-stepping.
 */
static void step_over(struct vmcb *vmcb, unsigned bytes)
{
        uint64_t next = vmcb->rip + bytes;

        if ((vmcb->rip ^ next) >> 32 && !is_wide(vmcb))
                next = (uint32_t)next;
        vmcb->rip = next;
        vmcb->int_shadow &= ~(uint64_t)INTERRUPT_SHADOW;
        if (bytes)
                vmcb->rflags &= ~RFLAGS_RF;
        if (vmcb->rflags & RFLAGS_TF) {
                vmcb->dr6 |= DR6_BS;
                svm_dirty(vmcb, CLEAN_DR);
                vmcb->event = EVENT_VALID | EVENT_EXCEPTION << 8 | VECTOR_DB;
        }
}

void svm_skip(struct vcpu *vcpu)
{
        const struct svm_vcpu *v = vcpu->arch;

        step_over(v->vmcb, v->length);
}

void svm_advance(struct vcpu *vcpu, unsigned bytes)
{
        step_over(svm_vmcb(vcpu), bytes);
}

/*
 * What was being delivered to the guest when the exit came must be delivered again. An interrupt or
 * exception of an instruction comes again by itself: RIP is still there (APM 15.7.2). An offered
 * interrupt is not taken, as the guest's state is the one before it: it is offered still. QEMU 7.2
 * leaves V_IRQ set then, and calls the interrupt an exception.
 */
static void redeliver(struct svm_vcpu *v)
{
        struct vmcb *vmcb = v->vmcb;
        uint64_t event = vmcb->exit_event;
        uint8_t vector = (uint8_t)event;

        if (!(event & EVENT_VALID) || EVENT_TYPE(event) == EVENT_SOFT_INT)
                return;
        if (EVENT_TYPE(event) == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
                return;
        if (v->offered && (EVENT_TYPE(event) == EVENT_INTR ||
                           (vmcb->int_control & INT_V_IRQ && vector == v->offered))) {
                vmcb->int_control |= INT_V_IRQ;
                svm_dirty(vmcb, CLEAN_INT);
                return;
        }
        vmcb->event = event;
}

static void exit_io(const struct vmcb *vmcb, struct vm_exit *exit)
{
        uint64_t info = vmcb->exit_info1;

        exit->kind = VM_EXIT_IO;
        exit->io = (struct vm_exit_io){
            .port = IO_INFO_PORT(info),
            .size = IO_INFO_SIZE(info),
            .in = info & IO_INFO_IN,
            .string = info & IO_INFO_STRING,
            .rep = info & IO_INFO_REP,
        };
}

static void exit_memory(struct svm_vcpu *v, struct vm_exit *exit)
{
        const struct vmcb *vmcb = v->vmcb;

        exit->kind = VM_EXIT_MEMORY;
        exit->memory = (struct vm_exit_memory){
            .gpa = GPA(vmcb->exit_info2),
            .write = vmcb->exit_info1 & NPF_WRITE,
            .fetch = vmcb->exit_info1 & NPF_FETCH,
            .implicit = vmcb->exit_info1 & NPF_TABLE || vmcb->exit_event & EVENT_VALID,
        };
        redeliver(v);
}

static void exit_cr8(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct svm_vcpu *v = vcpu->arch;
        const struct vmcb *vmcb = v->vmcb;
        struct svm_instruction in = {0};
        bool there = true;

        if (svm_caps.decode_assists && vmcb->exit_info1 & CR_INFO_MOV) {
                in.reg = vmcb->exit_info1 & CR_GPR;
                there = learn_length(vcpu);
        } else {
                there = !decode_from_memory(vcpu, &in);
                v->length = in.length;
        }
        exit->kind = there ? VM_EXIT_CR8 : VM_EXIT_HANDLED;
        exit->cr8 = (struct vm_exit_cr8){in.reg, vmcb->exit_code == SVM_EXIT_WRITE_CR8};
}

static void exit_exception(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);
        uint8_t vector = vmcb->exit_code & VECTOR_MAX;

        exit->kind = VM_EXIT_HANDLED;
        if (vector == VECTOR_MC) {
                mce_handle(true); /* normalise() delivers again what it interrupted */
                return;
        }
        if (vector == VECTOR_DB && svm_nmi_stepped(vcpu->arch))
                return;
        /* A fault within the delivery of another event: the CPU would raise #DF here, or shut down
         * if it was delivering one; keep that simple and end the guest. */
        if (vmcb->exit_event & EVENT_VALID)
                exit->kind = VM_EXIT_SHUTDOWN;
        else
                svm_inject_exception(vcpu, vector, (uint32_t)vmcb->exit_info1);
}

/* EFER is the backend's: its bit SVME must stay set. */
static void exit_msr(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);
        uint64_t value = vcpu->regs[REG_RDX] << 32 | (uint32_t)vcpu->regs[REG_RAX];

        exit->kind = vmcb->exit_info1 ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ;
        if (!vmcb->exit_info1 || (uint32_t)vcpu->regs[REG_RCX] != MSR_EFER)
                return;
        exit->kind = svm_write_efer(vmcb, value) ? VM_EXIT_REFUSED : VM_EXIT_HANDLED;
        if (exit->kind == VM_EXIT_HANDLED)
                svm_skip(vcpu);
}

static void entry_failed(const struct vmcb *vmcb, struct vm_exit *exit)
{
        exit->kind = VM_EXIT_ENTRY_FAILED;
        printk(LOG_ERROR, "SVM: VMRUN refused the guest's state");
        if (!svm_check_entry(vmcb, log_report, "SVM: "))
                printk(LOG_ERROR, "SVM: no check that is known here fails");
}

static void ignore_check(void *ctx, const char *line)
{
        (void)ctx;
        (void)line;
}

/*
 * SYSENTER in long mode loads a CS with L and without D (APM vol. 3); that of QEMU 7.2 has both,
 * and its VMRUN then refuses it. Returns whether it was that, and is mended.
 */
static bool mend_sysenter(struct vmcb *vmcb)
{
        if (!is_wide(vmcb) || !(vmcb->cs.attrib & ATTRIB_D))
                return false;
        vmcb->cs.attrib &= (uint16_t)~ATTRIB_D;
        svm_dirty(vmcb, CLEAN_SEGMENTS);
        return true;
}

/*
 * QEMU 7.2 gives this exit also to a guest that moves a value with reserved bits to CR3 or CR4,
 * where a CPU raises #GP. The state it leaves then is a good one; should that be refused again and
 * again, then it was not that. When QEMU refuses VMRUN itself, the host's state is saved as the
 * guest's, which is lost and must not run.
 */
static void exit_invalid(struct svm_vcpu *v, struct vm_exit *exit)
{
        bool is_host = v->vmcb->cr3 == cpu_read_cr3();

        if (!is_host && mend_sysenter(v->vmcb)) {
                exit->kind = VM_EXIT_HANDLED;
                return;
        }
        if (is_host || ++v->unexplained > UNEXPLAINED_MAX ||
            svm_check_entry(v->vmcb, ignore_check, NULL))
                entry_failed(v->vmcb, exit);
        else
                exit->kind = VM_EXIT_REFUSED;
}

/* Exits that are told by their code alone. */
static enum vm_exit_kind simple_kind(uint64_t code)
{
        static const uint8_t kinds[] = {
            [SVM_EXIT_VINTR] = VM_EXIT_IRQ_WINDOW,
            [SVM_EXIT_HLT] = VM_EXIT_HALT,
            [SVM_EXIT_INVD] = VM_EXIT_CACHE,
            [SVM_EXIT_WBINVD] = VM_EXIT_CACHE,
            [SVM_EXIT_SHUTDOWN] = VM_EXIT_SHUTDOWN,
            [SVM_EXIT_RDPMC] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_INVLPGA] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_VMRUN... SVM_EXIT_SKINIT] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_MONITOR... SVM_EXIT_MWAIT_COND] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_RDPRU] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_INVLPGB] = VM_EXIT_UNDEFINED,
            [SVM_EXIT_MCOMMIT... SVM_EXIT_TLBSYNC] = VM_EXIT_UNDEFINED,
        };

        if (code == SVM_EXIT_INTR || code == SVM_EXIT_NMI || code == SVM_EXIT_INIT ||
            code == SVM_EXIT_FERR_FREEZE) /* waits for an interrupt that no model sends */
                return VM_EXIT_HANDLED;
        return code < ARRAY_LEN(kinds) && kinds[code] ? kinds[code] : VM_EXIT_UNEXPECTED;
}

/* Whether an instruction is to be stepped over that is not there any more. */
static bool is_gone(struct vcpu *vcpu)
{
        const struct svm_vcpu *v = vcpu->arch;

        switch (v->vmcb->exit_code) {
        case SVM_EXIT_CPUID:
        case SVM_EXIT_VMMCALL:
        case SVM_EXIT_MSR:
                return !v->length; /* svm_exit_fast has looked */
        case SVM_EXIT_IO:
        case SVM_EXIT_HLT:
        case SVM_EXIT_XSETBV:
        case SVM_EXIT_INVD:
        case SVM_EXIT_WBINVD:
                return !learn_length(vcpu);
        default:
                return false;
        }
}

static void exit_iret(struct svm_vcpu *v)
{
        v->nmi_ends = true;
        v->nmi_rip = v->vmcb->rip;
        v->nmi_rsp = v->vmcb->rsp;
        v->vmcb->intercept &= ~INTERCEPT_IRET;
        svm_dirty(v->vmcb, CLEAN_INTERCEPTS);
}

/* Whether the IRET that ends an NMI has been executed, or has faulted. */
static void look_at_nmi(struct svm_vcpu *v)
{
        if (!v->nmi_ends || v->vmcb->exit_code == SVM_EXIT_EXCEPTION + VECTOR_DB ||
            (v->vmcb->rip == v->nmi_rip && v->vmcb->rsp == v->nmi_rsp))
                return;
        v->nmi_served = v->nmi_ends = false;
        if (v->nmi_steps)
                svm_end_nmi_step(v);
}

static void normalise(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);
        uint64_t code = (uint64_t)(int32_t)vmcb->exit_code;

        exit->reason = (uint32_t)code;
        exit->kind = VM_EXIT_HANDLED;
        look_at_nmi(vcpu->arch);
        if (is_gone(vcpu))
                return;
        switch (code) {
        case SVM_EXIT_IRET:
                exit_iret(vcpu->arch);
                break;
        case SVM_EXIT_IO:
                exit_io(vmcb, exit);
                break;
        case SVM_EXIT_NPF:
                exit_memory(vcpu->arch, exit);
                break;
        case SVM_EXIT_MSR:
                exit_msr(vcpu, exit);
                break;
        case SVM_EXIT_READ_CR8:
        case SVM_EXIT_WRITE_CR8:
                exit_cr8(vcpu, exit);
                break;
        case SVM_EXIT_XSETBV: /* comes before the check of the privilege level */
                exit->kind = vmcb->cpl ? VM_EXIT_REFUSED : VM_EXIT_XSETBV;
                break;
        case SVM_EXIT_VMMCALL:
                exit->kind = VM_EXIT_HYPERCALL;
                exit->cpl = vmcb->cpl;
                break;
        case SVM_EXIT_INVALID:
                exit_invalid(vcpu->arch, exit);
                return;
        default:
                if ((code & ~(uint64_t)VECTOR_MAX) == SVM_EXIT_EXCEPTION)
                        exit_exception(vcpu, exit);
                else
                        exit->kind = simple_kind(code);
                if (exit->kind == VM_EXIT_HANDLED)
                        redeliver(vcpu->arch);
                break;
        }
        ((struct svm_vcpu *)vcpu->arch)->unexplained = 0;
}

static bool read_msr_fast(struct vcpu *vcpu, const struct vmcb *vmcb)
{
        uint64_t efer;

        if (vmcb->exit_info1)
                return false;
        if ((uint32_t)vcpu->regs[REG_RCX] != MSR_EFER)
                return vcpu->fast.msr_read(vcpu);
        efer = svm_read_efer(vmcb);
        vcpu->regs[REG_RAX] = (uint32_t)efer;
        vcpu->regs[REG_RDX] = efer >> 32;
        return true;
}

/* Called by svm_entry.asm on the host's stack: the VMCB when the guest can go on at once. */
struct vmcb *svm_exit_fast(struct vcpu *vcpu);

struct vmcb *svm_exit_fast(struct vcpu *vcpu)
{
        struct vmcb *vmcb = svm_vmcb(vcpu);

        vcpu->regs[REG_RAX] = vmcb->rax;
        vmcb->event = 0;
        vmcb->tlb_control = TLB_KEEP;
        vmcb->clean = CLEAN_ALL;
        if (vmcb->exit_code != SVM_EXIT_CPUID && vmcb->exit_code != SVM_EXIT_VMMCALL &&
            vmcb->exit_code != SVM_EXIT_MSR)
                return NULL;
        if (!learn_length(vcpu))
                return NULL;
        if (vmcb->exit_code == SVM_EXIT_CPUID)
                vcpu->fast.cpuid(vcpu);
        else if (vmcb->exit_code == SVM_EXIT_VMMCALL) {
                if (!vcpu->fast.hypercall(vcpu, vmcb->cpl))
                        return NULL;
        } else if (!read_msr_fast(vcpu, vmcb))
                return NULL;
        svm_skip(vcpu);
        vmcb->rax = vcpu->regs[REG_RAX];
        return vmcb;
}

/*
 * An offered interrupt that can be taken at once is injected, as Bochs 2.7 may hold V_IRQ back
 * until IF changes. QEMU 7.2, which has no next-RIP, must not be given one so: it leaves its note
 * of the vector behind, and a request to leave its loop delivers that once more.
 */
static void inject_offered(struct vcpu *vcpu)
{
        struct svm_vcpu *v = vcpu->arch;
        struct vmcb *vmcb = v->vmcb;

        if (!svm_caps.next_rip || v->window || !(vmcb->int_control & INT_V_IRQ) ||
            !svm_can_take_irq(vcpu))
                return;
        vmcb->int_control &= ~INT_V_IRQ;
        svm_dirty(vmcb, CLEAN_INT);
        svm_inject_irq(vcpu, v->offered);
}

/* VMLOAD and VMSAVE frame the run, not each entry: fast exits need nothing of what they switch. */
static void enter(struct vcpu *vcpu, struct vmcb *vmcb)
{
        const struct svm_cpu *cpu = svm_this_cpu(); /* while the GS base is the host's */

        vmcb->rax = vcpu->regs[REG_RAX];
        inject_offered(vcpu);
        svm_keep_machine_checks(vmcb);
        svm_vmload(vmcb);
        cpu_sti(); /* to no effect here: it says that the machine's interrupts end the guest's run
                    */
        mitigate_entry();
        svm_enter(vcpu, vmcb);
        svm_vmsave(vmcb);
        svm_vmload(cpu->host_state);
}

void svm_run(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct svm_vcpu *v = vcpu->arch;
        bool due = v->deadline != UINT64_MAX && cpu_rdtsc() >= v->deadline;

        exit->kind = due ? VM_EXIT_TIMER : VM_EXIT_HANDLED;
        exit->reason = SVM_EXIT_INTR;
        if (due) {
                v->deadline = UINT64_MAX;
                return;
        }
        svm_begin_shadow(v);
        alarm_set(v->deadline);
        /* An NMI after the look at the mark is held by GIF and ends the guest's run at once. */
        __asm__ volatile("clgi" : : : "memory");
        if (!this_cpu()->kicked) {
                enter(vcpu, v->vmcb);
                cpu_cli();
                __asm__ volatile("stgi" : : : "memory");
                if (v->vmcb->exit_code == SVM_EXIT_INTR)
                        cpu_let_in();
                svm_end_shadow(v);
                normalise(vcpu, exit);
                return;
        }
        this_cpu()->kicked = false;
        __asm__ volatile("stgi" : : : "memory");
        svm_end_shadow(v);
}

void svm_set_deadline(struct vcpu *vcpu, uint64_t tsc)
{
        ((struct svm_vcpu *)vcpu->arch)->deadline = tsc;
}
