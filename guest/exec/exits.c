/*
 * Exit policy. Everything a guest does wrong ends in an exception for the guest or in the end of
 * this VM, with its state printed; nothing here can stop the machine. Contract in exits.h.
 */
#include "guest/exec/exits.h"

#include "guest/exec/emulate.h"
#include "guest/exec/gva.h"
#include "guest/exec/hypercall.h"
#include "guest/exec/msr.h"
#include "guest/exec/vcpu_irq.h"
#include "guest/exec/vcpu_rest.h"
#include "guest/vm/vcpu_apic.h"
#include "guest/vm/vm.h"
#include "guest/vm/vm_code.h"
#include "guest/vm/vm_nvram.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"

#define MSR_X2APIC_TPR 0x808u
#define TPR_SHIFT      4
#define REFUSALS_MAX   32 /* in a row, before an instruction is taken for one that is not known */

void vcpu_crash(struct vm_vcpu *v, const char *why)
{
        struct vcpu_state s;
        const uint64_t *r = v->vcpu.regs;

        virt->get_state(&v->vcpu, &s);
        if (v->vm->vcpus == 1)
                printk(LOG_ERROR, "vm %s: %s", v->vm->config->name, why);
        else
                printk(LOG_ERROR, "vm %s: vCPU %u: %s", v->vm->config->name, v->id, why);
        printk(LOG_ERROR, "  rip %04x:%016lx rsp %04x:%016lx rflags %08lx", s.seg[SEG_CS].selector,
               s.rip, s.seg[SEG_SS].selector, s.rsp, s.rflags);
        printk(LOG_ERROR, "  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %08lx", s.cr0, s.cr2,
               s.cr3, s.cr4, s.efer);
        printk(LOG_ERROR, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r[REG_RAX], r[REG_RBX],
               r[REG_RCX], r[REG_RDX]);
        printk(LOG_ERROR, "  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r[REG_RSI], r[REG_RDI],
               r[REG_RBP], r[REG_R8]);
        vm_finish(v->vm, VM_CRASHED);
}

static void answer_cpuid(struct vm_vcpu *v, const struct cpuid_regs *answer)
{
        uint64_t *r = v->vcpu.regs;

        r[REG_RAX] = answer->eax;
        r[REG_RBX] = answer->ebx;
        r[REG_RCX] = answer->ecx;
        r[REG_RDX] = answer->edx;
}

/* Apart, so that the common leaves save no registers for it. */
__attribute__((noinline)) static void answer_dynamic_cpuid(struct vm_vcpu *v, uint32_t leaf)
{
        uint64_t *r = v->vcpu.regs;
        struct cpuid_regs answer;

        if (leaf == 1) {
                answer =
                    cpuid_policy_leaf1(&v->vm->cpuid, v->id, virt->get_cr4(&v->vcpu) & CR4_OSXSAVE);
                answer_cpuid(v, &answer);
                return;
        }
        answer = cpuid_policy_slow(&v->vm->cpuid, cpu_cpuid, leaf, (uint32_t)r[REG_RCX], v->id);
        answer_cpuid(v, &answer);
}

/* struct vm_vcpu begins with its struct vcpu. */
static void fast_cpuid(struct vcpu *vcpu)
{
        struct vm_vcpu *v = (struct vm_vcpu *)vcpu;
        uint32_t leaf = (uint32_t)vcpu->regs[REG_RAX];
        const struct cpuid_regs *answer = cpuid_policy_fast(&v->vm->cpuid, leaf);

        v->exits[VM_EXIT_CPUID]++;
        if (answer)
                answer_cpuid(v, answer);
        else
                answer_dynamic_cpuid(v, leaf);
}

static bool fast_hypercall(struct vcpu *vcpu, unsigned cpl)
{
        struct vm_vcpu *v = (struct vm_vcpu *)vcpu;

        if (!hypercall_serve(v, cpl))
                return false;
        v->exits[VM_EXIT_HYPERCALL]++;
        return true;
}

static void answer_msr_read(struct vm_vcpu *v, uint64_t value)
{
        v->vcpu.regs[REG_RAX] = (uint32_t)value;
        v->vcpu.regs[REG_RDX] = value >> 32;
}

/* What is refused goes the long way, to get its exception; and the timer may raise its interrupt.
 */
static bool fast_msr_read(struct vcpu *vcpu)
{
        struct vm_vcpu *v = (struct vm_vcpu *)vcpu;
        uint32_t msr = (uint32_t)vcpu->regs[REG_RCX];
        uint64_t value;

        vcpu_learn_irq(v);
        if (msr == MSR_TSC_DEADLINE || msr_read(v, msr, &value, cpu_rdtsc()))
                return false;
        v->exits[VM_EXIT_MSR_READ]++;
        answer_msr_read(v, value);
        return true;
}

const struct vcpu_fast exits_fast = {fast_cpuid, fast_hypercall, fast_msr_read, gva_read_word};

static void exit_io(struct vm_vcpu *v, const struct vm_exit_io *io)
{
        uint64_t *rax = &v->vcpu.regs[REG_RAX];
        struct bus_later later;

        if (io->string) {
                string_io(v, io);
                return;
        }
        spin_lock(&v->vm->devices);
        if (!io->in) {
                bus_port_write(&v->vm->bus, io->port, io->size, *rax);
        } else {
                reg_store(rax, bus_port_read(&v->vm->bus, io->port, io->size), io->size);
        }
        vm_feed_input(v->vm); /* it may have made room */
        later = bus_take_later(&v->vm->bus);
        spin_unlock(&v->vm->devices);
        if (bus_serve(&later))
                virt->skip(&v->vcpu);
}

static void exit_msr(struct vm_vcpu *v, bool write)
{
        const uint64_t *r = v->vcpu.regs;
        uint32_t msr = (uint32_t)r[REG_RCX];
        uint64_t value = r[REG_RDX] << 32 | (uint32_t)r[REG_RAX];
        int err =
            write ? msr_write(v, msr, value, cpu_rdtsc()) : msr_read(v, msr, &value, cpu_rdtsc());

        if (err) {
                printk(LOG_DEBUG, "vm %s: %s of MSR 0x%x refused", v->vm->config->name,
                       write ? "write" : "read", msr);
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                return;
        }
        if (!write)
                answer_msr_read(v, value);
        else
                vcpu_apic_written(v, msr);
        vcpu_arm(v);
        virt->skip(&v->vcpu);
}

/* At privilege level 0, where nothing is lost by setting all of the state. */
static void set_stack_pointer(struct vm_vcpu *v, uint64_t rsp)
{
        struct vcpu_state s;

        virt->get_state(&v->vcpu, &s);
        s.rsp = rsp;
        virt->set_state(&v->vcpu, &s);
}

static void exit_cr8(struct vm_vcpu *v, const struct vm_exit_cr8 *access)
{
        struct vcpu_state s;
        uint64_t *reg = &v->vcpu.regs[access->reg];
        uint64_t value;
        int err;

        if (access->reg == REG_RSP) {
                virt->get_state(&v->vcpu, &s);
                reg = &s.rsp;
        }
        value = *reg << TPR_SHIFT;
        if (access->write)
                err = *reg > 15 ? -1 : vlapic_msr_write(&v->lapic, MSR_X2APIC_TPR, value, 0);
        else
                err = vlapic_msr_read(&v->lapic, MSR_X2APIC_TPR, &value, 0);
        if (err) {
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                return;
        }
        if (!access->write) {
                *reg = value >> TPR_SHIFT;
                if (access->reg == REG_RSP)
                        set_stack_pointer(v, s.rsp);
        }
        virt->skip(&v->vcpu);
}

/*
 * As on KVM for a program: the guest's own handler tells whose the instruction was. Before that it
 * may be that another vCPU changes it to and fro: what stands there now is run.
 */
static void refuse_access(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        v->refusals = v->refused + 1 == v->exits[VM_EXIT_MEMORY] ? v->refusals + 1 : 1;
        v->refused = v->exits[VM_EXIT_MEMORY];
        if (v->refusals < REFUSALS_MAX)
                return;
        v->refusals = 0;
        printk(LOG_DEBUG, "vm %s: #UD for an access to 0x%lx by an instruction that is not known",
               v->vm->config->name, access->gpa.v);
        virt->inject_exception(&v->vcpu, VECTOR_UD, 0);
}

static void exit_memory(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        if (access->fetch && vm_code_fault(v, access->gpa))
                return;
        if (access->implicit)
                vcpu_crash(
                    v, "keeps a page table, a descriptor table or a stack outside of its memory");
        else if (access->write && vm_nvram_is_read_only(v->vm, access->gpa))
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
        else if (access->fetch)
                vcpu_crash(v, "executes outside of its memory");
        else if (mmio_access(v, access))
                refuse_access(v, access);
}

static void exit_xsetbv(struct vm_vcpu *v)
{
        const uint64_t *r = v->vcpu.regs;
        uint64_t value = r[REG_RDX] << 32 | (uint32_t)r[REG_RAX];

        /* SDM vol. 1 13.3: x87 always, AVX needs SSE, the parts of AVX-512 go together. */
        if ((uint32_t)r[REG_RCX] != 0 || value & ~v->vm->cpuid.xcr0 || !(value & 1) ||
            (value & 6) == 4 || ((value & 0xe0) && (value & 0xe6) != 0xe6)) {
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                return;
        }
        virt->set_xcr0(&v->vcpu, value);
        virt->skip(&v->vcpu);
}

static void exit_halt(struct vm_vcpu *v)
{
        struct vcpu_state s;

        virt->skip(&v->vcpu);
        virt->get_state(&v->vcpu, &s);
        if (s.rflags & RFLAGS_TF)
                return; /* the trap behind it ends it at once */
        v->activity = s.rflags & RFLAGS_IF ? VCPU_HALTED : VCPU_DEAF;
}

static void exit_fatal(struct vm_vcpu *v, const struct vm_exit *exit)
{
        static const char *const why[VM_EXIT_KINDS] = {
            [VM_EXIT_SHUTDOWN] = "triple fault",
            [VM_EXIT_TASK] = "switches tasks by hardware, which is not supported on VT-x",
            [VM_EXIT_ENTRY_FAILED] = "the CPU refused to run it",
        };

        if (!why[exit->kind])
                printk(LOG_ERROR, "vm %s: exit reason %u is not handled", v->vm->config->name,
                       exit->reason);
        vcpu_crash(v, why[exit->kind] ? why[exit->kind] : "stopped at an exit that is not handled");
}

/* CPUID never comes here: the fast handler answers it always. */
void exits_handle(struct vm_vcpu *v, const struct vm_exit *exit)
{
        switch (exit->kind) {
        case VM_EXIT_IO:
                exit_io(v, &exit->io);
                break;
        case VM_EXIT_HYPERCALL:
                hypercall_serve_pv(v, exit->cpl);
                virt->skip(&v->vcpu);
                break;
        case VM_EXIT_MSR_READ:
        case VM_EXIT_MSR_WRITE:
                exit_msr(v, exit->kind == VM_EXIT_MSR_WRITE);
                break;
        case VM_EXIT_MEMORY:
                exit_memory(v, &exit->memory);
                break;
        case VM_EXIT_HALT:
                exit_halt(v);
                break;
        case VM_EXIT_TIMER:
                vlapic_timer_expired(&v->lapic, cpu_rdtsc());
                v->look = true;
                break;
        case VM_EXIT_IRQ_WINDOW:
                virt->want_irq_window(&v->vcpu, false);
                break;
        case VM_EXIT_XSETBV:
                exit_xsetbv(v);
                break;
        case VM_EXIT_CR8:
                exit_cr8(v, &exit->cr8);
                break;
        case VM_EXIT_REFUSED:
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                break;
        case VM_EXIT_UNDEFINED:
                virt->inject_exception(&v->vcpu, VECTOR_UD, 0);
                break;
        case VM_EXIT_CACHE:
                /* All memory of a guest is coherent write-back memory: nothing to do but go on. */
                virt->skip(&v->vcpu);
                break;
        case VM_EXIT_APIC_END:
                vlapic_ended(&v->lapic, exit->vector);
                break;
        case VM_EXIT_APIC_SELF:
                vlapic_sent_illegal(&v->lapic);
                break;
        case VM_EXIT_HANDLED:
                v->look = true;
                break;
        default:
                exit_fatal(v, exit);
                break;
        }
}
