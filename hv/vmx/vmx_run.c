/*
 * Running a vCPU: entry, and the translation of VT-x's exits into struct vm_exit (SDM vol. 3 25 to
 * 27). Exits that concern only the machine or the CPU are settled here.
 */
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"
#include "hv/safety/mitigate.h"
#include "hv/trap/mce.h"
#include "hv/trap/trap.h"
#include "hv/vmx/vmx.h"
#include "hv/vmx/vmx_check.h"

#define DR6_WRITE_MASK   0xe00full
#define DR7_GD           (1ull << 13)
#define PENDING_DEBUG_BS (1ull << 14)

/* Exit qualification of an I/O instruction, SDM table 27-5. */
#define IO_SIZE(q) ((uint8_t)(((q)&7) + 1))
#define IO_IN      (1u << 3)
#define IO_STRING  (1u << 4)
#define IO_REP     (1u << 5)
#define IO_PORT(q) ((uint16_t)((q) >> 16))

/* Of a control-register access, table 27-3. */
#define CR_NUMBER(q) ((q)&15)
#define CR_ACCESS(q) ((q) >> 4 & 3)
#define CR_REG(q)    ((uint8_t)((q) >> 8 & 15))
#define CR_MOV_TO    0u
#define CR_LMSW      3u

/*
 * An interrupt ends a guest's run whether or not the guest lets interrupts in (25.2); Bochs 2.7
 * keeps it waiting while the guest does not. So a run is ended after so many ticks at most, and
 * after so many exits that were settled at once, in which the guest hardly spends any.
 */
#define RUN_TICKS_MAX  (1ull << 25)
#define FAST_EXITS_MAX 4096u

#define EPT_WRITE      (1u << 1)
#define EPT_FETCH      (1u << 2)
#define EPT_LINEAR     (1u << 7) /* there is a linear address */
#define EPT_TRANSLATED (1u << 8) /* and the access was to what it translates to */

#define NMI_UNBLOCKED                                                                              \
        (1u << 12) /* by IRET: of this qualification and of an exception's information */

/* In vmx_entry.asm: 0 after an exit, 1 when the instruction itself failed. */
unsigned vmx_enter(struct vcpu *vcpu, unsigned launched);

/* Of the current VMCS: the privilege level is that of SS (SDM 24.4.1). */
static inline uint8_t guest_cpl(void)
{
        return ACCESS_DPL(vmx_read(VMCS_GUEST_SS_ACCESS));
}

static bool is_wide(void)
{
        return vmx_read(VMCS_GUEST_EFER) & EFER_LMA && vmx_read(VMCS_GUEST_CS_ACCESS) & ACCESS_L;
}

/*
 * Leave the instruction: RIP, which wraps at 4 GiB outside of 64-bit code, and the shadow of an STI
 * or MOV SS before it.
 */
static inline void leave_instruction(unsigned bytes)
{
        uint64_t state = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
        uint64_t next = vmx_read(VMCS_GUEST_RIP) + bytes;

        if ((uint32_t)next < bytes && !is_wide())
                next = (uint32_t)next;
        vmx_write(VMCS_GUEST_RIP, next);
        if (state & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))
                vmx_write(VMCS_GUEST_INTERRUPTIBILITY,
                          state & ~(uint64_t)(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
}

/* RFLAGS.RF is for one instruction only. */
static void end_resume(unsigned bytes, uint64_t rflags)
{
        if (rflags & RFLAGS_RF && bytes)
                vmx_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
}

static void pend_single_step(void)
{
        vmx_write(VMCS_GUEST_PENDING_DEBUG, vmx_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* Behind the instruction comes the trap of single-stepping. */
static inline void step_over(unsigned bytes)
{
        uint64_t rflags = vmx_read(VMCS_GUEST_RFLAGS);

        leave_instruction(bytes);
        if (!(rflags & (RFLAGS_RF | RFLAGS_TF)))
                return;
        end_resume(bytes, rflags);
        if (rflags & RFLAGS_TF)
                pend_single_step();
}

static uint64_t read_for_check(void *ctx, enum vmcs_field field)
{
        (void)ctx;
        return vmx_read(field);
}

static void report_entry_failure(void)
{
        struct vmx_check check = {.read = read_for_check,
                                  .msrs = &vmx_msrs,
                                  .report = log_report,
                                  .report_ctx = "VT-x: "};

        if (!vmx_check_entry(&check))
                printk(LOG_ERROR, "VT-x: no check that is known here fails");
}

static void enter_refused(struct vm_exit *exit)
{
        uint32_t error = vmx_read32(VMCS_INSTRUCTION_ERROR);

        exit->kind = VM_EXIT_ENTRY_FAILED;
        exit->reason = error;
        printk(LOG_ERROR, "VT-x: entry refused: error %u: %s", error,
               vmx_check_instruction_error(error));
        report_entry_failure();
}

static void entry_failed(struct vm_exit *exit)
{
        printk(LOG_ERROR, "VT-x: entry failed: reason %u: %s", exit->reason & 0xffff,
               vmx_check_qualification(vmx_read(VMCS_EXIT_QUALIFICATION)));
        exit->kind = VM_EXIT_ENTRY_FAILED;
        report_entry_failure();
}

/* The field counts down while the guest runs; rewrite it only when time passed otherwise. */
static void arm_timer(struct vmx_vcpu *v)
{
        uint64_t now = cpu_rdtsc(), ticks = v->deadline > now ? v->deadline - now : 0;

        if (ticks > RUN_TICKS_MAX)
                ticks = RUN_TICKS_MAX;
        vmx_write(VMCS_PREEMPTION_TIMER, ticks >> vmx_caps.timer_shift);
        v->timer_stale = !vmx_caps.save_timer;
}

/*
 * What was being delivered to the guest when the exit came must be delivered again (27.2.4), an NMI
 * as if it had not begun to block others (26.3.1.5).
 */
static void redeliver(void)
{
        uint32_t info = vmx_read32(VMCS_IDT_VECTORING);

        if (!(info & INTR_VALID))
                return;
        vmx_write(VMCS_ENTRY_INTERRUPTION, info & ~(1u << 12));
        if (info & INTR_ERROR_CODE)
                vmx_write(VMCS_ENTRY_EXCEPTION_ERROR, vmx_read(VMCS_IDT_VECTORING_ERROR));
        if (INTR_TYPE(info) >= INTR_SOFT_INT)
                vmx_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vmx_read(VMCS_EXIT_INSTRUCTION_LENGTH));
        if (INTR_TYPE(info) == INTR_NMI)
                vmx_write(VMCS_GUEST_INTERRUPTIBILITY,
                          vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)BLOCKED_BY_NMI);
}

/* An IRET that has faulted has not ended what blocks NMIs, though the CPU says so (27.2.3). */
static void block_nmi_again(uint64_t unblocking_iret)
{
        if (unblocking_iret && !(vmx_read32(VMCS_IDT_VECTORING) & INTR_VALID))
                vmx_write(VMCS_GUEST_INTERRUPTIBILITY,
                          vmx_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

static void exit_io(struct vm_exit *exit)
{
        uint64_t q = vmx_read(VMCS_EXIT_QUALIFICATION);

        exit->kind = VM_EXIT_IO;
        exit->io = (struct vm_exit_io){
            .port = IO_PORT(q),
            .size = IO_SIZE(q),
            .in = q & IO_IN,
            .string = q & IO_STRING,
            .rep = q & IO_REP,
        };
}

static void exit_memory(struct vm_exit *exit)
{
        uint64_t q = vmx_read(VMCS_EXIT_QUALIFICATION);

        exit->kind = VM_EXIT_MEMORY;
        exit->memory = (struct vm_exit_memory){
            .gpa = GPA(vmx_read(VMCS_GUEST_PHYSICAL_ADDRESS)),
            .write = q & EPT_WRITE,
            .fetch = q & EPT_FETCH,
            .implicit = !(q & EPT_LINEAR) || !(q & EPT_TRANSLATED) ||
                        vmx_read32(VMCS_IDT_VECTORING) & INTR_VALID,
        };
        block_nmi_again(q & NMI_UNBLOCKED);
        redeliver();
}

static uint64_t register_value(const struct vcpu *vcpu, uint8_t reg)
{
        return reg == REG_RSP ? vmx_read(VMCS_GUEST_RSP) : vcpu->regs[reg];
}

static void exit_control_register(struct vcpu *vcpu, struct vm_exit *exit)
{
        uint64_t q = vmx_read(VMCS_EXIT_QUALIFICATION);
        uint64_t value = register_value(vcpu, CR_REG(q));
        int err = -EINVAL;

        if (CR_NUMBER(q) == 8) {
                exit->kind = VM_EXIT_CR8;
                exit->cr8 = (struct vm_exit_cr8){CR_REG(q), CR_ACCESS(q) == CR_MOV_TO};
                return;
        }
        if (CR_NUMBER(q) == 0 && CR_ACCESS(q) == CR_MOV_TO)
                err = vmx_write_cr0(value);
        if (CR_NUMBER(q) == 0 && CR_ACCESS(q) == CR_LMSW)
                err = vmx_write_cr0((vmx_read(VMCS_GUEST_CR0) & ~15ull) | (q >> 16 & 15));
        if (CR_NUMBER(q) == 4 && CR_ACCESS(q) == CR_MOV_TO)
                err = vmx_write_cr4(value);
        if (err)
                exit->kind = VM_EXIT_REFUSED;
        else
                vmx_skip(vcpu);
}

static void write_dr6(uint64_t clear, uint64_t set)
{
        uint64_t dr6;

        __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
        dr6 = (dr6 & ~clear) | set;
        __asm__ volatile("mov %0, %%dr6" : : "r"(dr6));
}

/*
 * ICEBP exits on the instruction, whose trap comes behind it. Otherwise the registers are to show
 * the exception; the shadow of STI or MOV SS with single-stepping wants its trap pending, which the
 * exception then takes along (26.3.1.5).
 */
static void reflect_debug_exception(uint32_t info)
{
        uint64_t rflags = vmx_read(VMCS_GUEST_RFLAGS);

        if (INTR_TYPE(info) == INTR_PRIV_SOFT) {
                write_dr6(0xf, 0);
                leave_instruction(vmx_read32(VMCS_EXIT_INSTRUCTION_LENGTH));
                end_resume(1, rflags);
                return;
        }
        write_dr6(0xf, vmx_read(VMCS_EXIT_QUALIFICATION) & DR6_WRITE_MASK);
        vmx_write(VMCS_GUEST_DR7, vmx_read(VMCS_GUEST_DR7) & ~DR7_GD);
        if (rflags & RFLAGS_TF &&
            vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))
                pend_single_step();
}

static void exit_exception(struct vcpu *vcpu, struct vm_exit *exit)
{
        uint32_t info = vmx_read32(VMCS_EXIT_INTERRUPTION);
        uint8_t vector = (uint8_t)info;

        if (INTR_TYPE(info) == INTR_NMI) {
                /* Through the IDT, for its IRET: until then no further NMI comes (27.5.5). */
                __asm__ volatile("int %0" : : "i"(VECTOR_NMI));
                redeliver();
        } else if (vector == VECTOR_MC) {
                mce_handle(true);
                redeliver();
        } else if (vmx_read32(VMCS_IDT_VECTORING) & INTR_VALID) {
                /* A fault within the delivery of another event: the CPU would raise #DF here, or
                 * shut down if it was delivering one; keep that simple and end the guest. */
                exit->kind = VM_EXIT_SHUTDOWN;
        } else {
                block_nmi_again(info & NMI_UNBLOCKED);
                if (vector == VECTOR_DB)
                        reflect_debug_exception(info);
                vmx_inject_exception(vcpu, vector, vmx_read32(VMCS_EXIT_INTERRUPTION_ERROR));
        }
}

static void exit_timer(struct vmx_vcpu *v, struct vm_exit *exit)
{
        this_cpu()->kicked = false;
        cpu_let_in();
        if (v->deadline == UINT64_MAX || cpu_rdtsc() < v->deadline)
                return;
        exit->kind = VM_EXIT_TIMER;
        v->deadline = UINT64_MAX;
}

/* Exits that are told by their reason alone. */
static enum vm_exit_kind simple_kind(uint32_t reason)
{
        static const uint8_t kinds[] = {
            [REASON_HLT] = VM_EXIT_HALT,
            [REASON_RDMSR] = VM_EXIT_MSR_READ,
            [REASON_WRMSR] = VM_EXIT_MSR_WRITE,
            [REASON_INTERRUPT_WINDOW] = VM_EXIT_IRQ_WINDOW,
            [REASON_XSETBV] = VM_EXIT_XSETBV,
            [REASON_INVD] = VM_EXIT_CACHE,
            [REASON_WBINVD] = VM_EXIT_CACHE,
            [REASON_TRIPLE_FAULT] = VM_EXIT_SHUTDOWN,
            [REASON_TASK_SWITCH] = VM_EXIT_TASK,
            [REASON_APIC_WRITE] = VM_EXIT_APIC_SELF,
            [REASON_GETSEC] = VM_EXIT_UNDEFINED,
            [REASON_RDPMC] = VM_EXIT_UNDEFINED,
            [REASON_VMCLEAR... REASON_VMXON] = VM_EXIT_UNDEFINED,
            [REASON_MWAIT] = VM_EXIT_UNDEFINED,
            [REASON_MONITOR] = VM_EXIT_UNDEFINED,
            [REASON_INVEPT] = VM_EXIT_UNDEFINED,
            [REASON_INVVPID] = VM_EXIT_UNDEFINED,
        };

        return reason < ARRAY_LEN(kinds) && kinds[reason] ? kinds[reason] : VM_EXIT_UNEXPECTED;
}

static void normalise(struct vcpu *vcpu, struct vmx_vcpu *v, struct vm_exit *exit)
{
        v->timer_stale = true;
        exit->kind = VM_EXIT_HANDLED; /* unless told otherwise below */
        switch (exit->reason) {
        case REASON_EXCEPTION_OR_NMI:
                exit_exception(vcpu, exit);
                break;
        case REASON_EXTERNAL_INTERRUPT:
                trap_dispatch_irq((uint8_t)vmx_read(VMCS_EXIT_INTERRUPTION));
                break;
        case REASON_CR_ACCESS:
                exit_control_register(vcpu, exit);
                break;
        case REASON_IO:
                exit_io(exit);
                break;
        case REASON_EPT_VIOLATION:
                exit_memory(exit);
                break;
        case REASON_PREEMPTION_TIMER:
                exit_timer(v, exit);
                break;
        case REASON_NMI_WINDOW:
                vmx_want_nmi_window(v, false);
                break;
        case EXIT_REASON_ENTRY_FAILURE | REASON_MACHINE_CHECK_ENTRY:
                /* Nothing of the guest's was saved or lost: it can be entered again (26.8, 26.9) */
                mce_handle(true);
                break;
        case REASON_VMCALL:
                exit->kind = VM_EXIT_HYPERCALL;
                exit->cpl = guest_cpl();
                break;
        case REASON_VIRTUALIZED_EOI:
                exit->kind = VM_EXIT_APIC_END;
                exit->vector = (uint8_t)vmx_read(VMCS_EXIT_QUALIFICATION);
                break;
        default:
                if (exit->reason & EXIT_REASON_ENTRY_FAILURE)
                        entry_failed(exit);
                else
                        exit->kind = simple_kind(exit->reason);
                break;
        }
}

/* Called by vmx_entry.asm on the host's stack: nonzero when the guest can go on at once. */
uint64_t vmx_exit_fast(struct vcpu *vcpu);

uint64_t vmx_exit_fast(struct vcpu *vcpu)
{
        uint32_t reason = vmx_read32(VMCS_EXIT_REASON);

        if (!--vcpu->fast_left)
                vmx_write(VMCS_PREEMPTION_TIMER, 0); /* the next entry exits at once */
        if (reason == REASON_CPUID)
                vcpu->fast.cpuid(vcpu);
        else if (reason == REASON_VMCALL) {
                if (!vcpu->fast.hypercall(vcpu, guest_cpl()))
                        return 0;
        } else if (reason != REASON_RDMSR || !vcpu->fast.msr_read(vcpu))
                return 0;
        step_over(vmx_read32(VMCS_EXIT_INSTRUCTION_LENGTH));
        return 1;
}

void vmx_run(struct vcpu *vcpu, struct vm_exit *exit)
{
        struct vmx_vcpu *v = vcpu->arch;

        vcpu->fast_left = FAST_EXITS_MAX;
        if (v->timer_stale)
                arm_timer(v);
        if (this_cpu()->kicked)
                vmx_write(VMCS_PREEMPTION_TIMER, 0);
        mitigate_entry();
        if (vmx_enter(vcpu, v->launched)) {
                enter_refused(exit);
                return;
        }
        exit->reason = vmx_read32(VMCS_EXIT_REASON);
        if (!(exit->reason & EXIT_REASON_ENTRY_FAILURE))
                v->launched = true;
        normalise(vcpu, v, exit);
}

void vmx_advance(struct vcpu *vcpu, unsigned bytes)
{
        (void)vcpu;
        step_over(bytes);
}

void vmx_skip(struct vcpu *vcpu)
{
        (void)vcpu;
        step_over(vmx_read32(VMCS_EXIT_INSTRUCTION_LENGTH));
}

/*
 * An NMI that comes before vmx_run looks at the mark is seen there; one that comes later has the
 * last word on the timer field. Either way the next entry exits at once.
 */
void vmx_end_run(void)
{
        vmx_write(VMCS_PREEMPTION_TIMER, 0);
}

void vmx_set_deadline(struct vcpu *vcpu, uint64_t tsc)
{
        struct vmx_vcpu *v = vcpu->arch;

        v->deadline = tsc;
        v->timer_stale = true;
}
