/*
 * Exit policy. Everything a guest does wrong ends in an exception for the guest or in the end of
 * this VM, with its state printed; nothing here can stop the machine.
 */
#include "guest/run.h"

#include "drivers/lapic.h"
#include "guest/console.h"
#include "guest/hypercall.h"
#include "guest/mmio.h"
#include "guest/msr.h"
#include "guest/string_io.h"
#include "guest/vm_nvram.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"

#define MSR_X2APIC_TPR 0x808u
#define TPR_SHIFT      4
#define LVT_MASKED     (1u << 16)

#define FIRST_USABLE_VECTOR 32 /* below stand the exceptions */
#define SCRUB_GUESS_MS      5  /* a granule, before the first was timed */

static void crash(struct vm *vm, const char *why)
{
        struct vcpu_state s;
        const uint64_t *r = vm->vcpu.regs;

        virt->get_state(&vm->vcpu, &s);
        printk(LOG_ERROR, "vm %s: %s", vm->config->name, why);
        printk(LOG_ERROR, "  rip %04x:%016lx rsp %04x:%016lx rflags %08lx", s.seg[SEG_CS].selector,
               s.rip, s.seg[SEG_SS].selector, s.rsp, s.rflags);
        printk(LOG_ERROR, "  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %08lx", s.cr0, s.cr2,
               s.cr3, s.cr4, s.efer);
        printk(LOG_ERROR, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r[REG_RAX], r[REG_RBX],
               r[REG_RCX], r[REG_RDX]);
        printk(LOG_ERROR, "  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r[REG_RSI], r[REG_RDI],
               r[REG_RBP], r[REG_R8]);
        vm->end = VM_CRASHED;
}

/*
 * A VM that has the real local APIC gets the models' interrupts through it. Vectors of exceptions
 * are not sent: pending at the VM's end they would be the host's.
 */
static void forward_interrupts(struct vm *vm)
{
        int vector;

        while ((vector = lapic_next_irq(&vm->lapic)) >= 0) {
                lapic_hand_over(&vm->lapic, (uint8_t)vector);
                if (vector >= FIRST_USABLE_VECTOR)
                        host_lapic_send_self((uint8_t)vector);
                vm->interrupts++;
        }
}

/* The timer's entry is the only one of the local vector table that is lent. */
static void lend_timer(struct vm *vm)
{
        uint32_t lvt = vm->lapic.lvt[LAPIC_LVT_TIMER];

        host_lapic_lend_timer((lvt & 0xff) < FIRST_USABLE_VECTOR ? lvt | LVT_MASKED : lvt);
}

/* Interrupts and the timer: what the local APIC has for the vCPU goes in as soon as it can. */
static void offer_interrupt(struct vm *vm)
{
        int vector = lapic_next_irq(&vm->lapic);

        if (vector < 0)
                return;
        if (vm->direct) {
                forward_interrupts(vm);
                return;
        }
        if (!virt->can_take_irq(&vm->vcpu)) {
                virt->want_irq_window(&vm->vcpu, true);
                return;
        }
        virt->inject_irq(&vm->vcpu, (uint8_t)vector);
        lapic_accept(&vm->lapic, (uint8_t)vector);
        vm->interrupts++;
        virt->want_irq_window(&vm->vcpu, lapic_next_irq(&vm->lapic) >= 0);
}

static void take_input(struct vm *vm)
{
        console_poll();
        while (console_has_input() && uart16550_room(&vm->uart))
                if (uart16550_receive(&vm->uart, (uint8_t)console_get()))
                        break;
        if (console_in_monitor() && vm->end == VM_RUNNING)
                vm->end = VM_PAUSED;
}

static void answer_cpuid(struct vm *vm, const struct cpuid_regs *answer)
{
        uint64_t *r = vm->vcpu.regs;

        r[REG_RAX] = answer->eax;
        r[REG_RBX] = answer->ebx;
        r[REG_RCX] = answer->ecx;
        r[REG_RDX] = answer->edx;
}

/* Apart, so that the common leaves save no registers for it. */
__attribute__((noinline)) static void answer_dynamic_cpuid(struct vm *vm, uint32_t leaf)
{
        uint64_t *r = vm->vcpu.regs;
        struct cpuid_regs answer;

        if (leaf == 1) {
                answer_cpuid(vm, &vm->cpuid.basic[1]);
                if (virt->get_cr4(&vm->vcpu) & CR4_OSXSAVE)
                        r[REG_RCX] |= CPUID_1_ECX_OSXSAVE;
                return;
        }
        answer = cpuid_policy_slow(&vm->cpuid, cpu_cpuid, leaf, (uint32_t)r[REG_RCX]);
        answer_cpuid(vm, &answer);
}

/* struct vm begins with its vCPU. */
static void fast_cpuid(struct vcpu *vcpu)
{
        struct vm *vm = (struct vm *)vcpu;
        uint32_t leaf = (uint32_t)vcpu->regs[REG_RAX];
        const struct cpuid_regs *answer = cpuid_policy_fast(&vm->cpuid, leaf);

        vm->exits[VM_EXIT_CPUID]++;
        if (answer)
                answer_cpuid(vm, answer);
        else
                answer_dynamic_cpuid(vm, leaf);
}

static void fast_hypercall(struct vcpu *vcpu, unsigned cpl)
{
        struct vm *vm = (struct vm *)vcpu;

        vm->exits[VM_EXIT_HYPERCALL]++;
        hypercall_serve(vm, cpl);
}

static void answer_msr_read(struct vm *vm, uint64_t value)
{
        vm->vcpu.regs[REG_RAX] = (uint32_t)value;
        vm->vcpu.regs[REG_RDX] = value >> 32;
}

/* What is refused goes the long way, to get its exception; and the timer may raise its interrupt.
 */
static bool fast_msr_read(struct vcpu *vcpu)
{
        struct vm *vm = (struct vm *)vcpu;
        uint32_t msr = (uint32_t)vcpu->regs[REG_RCX];
        uint64_t value;

        if (msr == MSR_IA32_TSC_DEADLINE || msr_read(vm, msr, &value, cpu_rdtsc()))
                return false;
        vm->exits[VM_EXIT_MSR_READ]++;
        answer_msr_read(vm, value);
        return true;
}

static int read_word(struct vcpu *vcpu, gpa_t gpa, uint64_t *out)
{
        const struct vm *vm = (const struct vm *)vcpu;

        return gmem_read_word(&vm->mem, gpa, out);
}

static const struct vcpu_fast fast_exits = {fast_cpuid, fast_hypercall, fast_msr_read, read_word};

static void exit_io(struct vm *vm, const struct vm_exit_io *io)
{
        uint64_t *rax = &vm->vcpu.regs[REG_RAX];

        if (io->string) {
                string_io(vm, io);
                return;
        }
        if (!io->in) {
                bus_port_write(&vm->bus, io->port, io->size, *rax);
        } else {
                uint64_t keep = io->size == 4 ? 0 : ~0ull << io->size * 8;

                *rax = (*rax & keep) | bus_port_read(&vm->bus, io->port, io->size);
        }
        virt->skip(&vm->vcpu);
}

static void exit_msr(struct vm *vm, bool write)
{
        const uint64_t *r = vm->vcpu.regs;
        uint32_t msr = (uint32_t)r[REG_RCX];
        uint64_t value = r[REG_RDX] << 32 | (uint32_t)r[REG_RAX];
        int err =
            write ? msr_write(vm, msr, value, cpu_rdtsc()) : msr_read(vm, msr, &value, cpu_rdtsc());

        if (err) {
                printk(LOG_DEBUG, "vm %s: %s of MSR 0x%x refused", vm->config->name,
                       write ? "write" : "read", msr);
                virt->inject_exception(&vm->vcpu, VECTOR_GP, 0);
                return;
        }
        if (!write)
                answer_msr_read(vm, value);
        else if (vm->direct)
                lend_timer(vm);
        if (!vm->direct)
                virt->set_deadline(&vm->vcpu, lapic_deadline(&vm->lapic));
        virt->skip(&vm->vcpu);
}

/* At privilege level 0, where nothing is lost by setting all of the state. */
static void set_stack_pointer(struct vm *vm, uint64_t rsp)
{
        struct vcpu_state s;

        virt->get_state(&vm->vcpu, &s);
        s.rsp = rsp;
        virt->set_state(&vm->vcpu, &s);
}

static void exit_cr8(struct vm *vm, const struct vm_exit_cr8 *access)
{
        struct vcpu_state s;
        uint64_t *reg = &vm->vcpu.regs[access->reg];
        uint64_t value;
        int err;

        if (access->reg == REG_RSP) {
                virt->get_state(&vm->vcpu, &s);
                reg = &s.rsp;
        }
        value = *reg << TPR_SHIFT;
        if (access->write)
                err = *reg > 15 ? -1 : lapic_msr_write(&vm->lapic, MSR_X2APIC_TPR, value, 0);
        else
                err = lapic_msr_read(&vm->lapic, MSR_X2APIC_TPR, &value, 0);
        if (err) {
                virt->inject_exception(&vm->vcpu, VECTOR_GP, 0);
                return;
        }
        virt->skip(&vm->vcpu);
        if (access->write)
                return;
        *reg = value >> TPR_SHIFT;
        if (access->reg == REG_RSP)
                set_stack_pointer(vm, s.rsp);
}

/* As on KVM for a program: the guest's own handler tells whose the instruction was. */
static void refuse_access(struct vm *vm, const struct vm_exit_memory *access)
{
        printk(LOG_DEBUG, "vm %s: #UD for an access to 0x%lx by an instruction that is not known",
               vm->config->name, access->gpa.v);
        virt->inject_exception(&vm->vcpu, VECTOR_UD, 0);
}

static void exit_memory(struct vm *vm, const struct vm_exit_memory *access)
{
        if (access->implicit)
                crash(vm,
                      "keeps a page table, a descriptor table or a stack outside of its memory");
        else if (access->write && vm_nvram_is_read_only(vm, access->gpa))
                virt->inject_exception(&vm->vcpu, VECTOR_GP, 0);
        else if (access->fetch)
                crash(vm, "executes outside of its memory");
        else if (mmio_access(vm, access))
                refuse_access(vm, access);
}

static void exit_xsetbv(struct vm *vm)
{
        const uint64_t *r = vm->vcpu.regs;
        uint64_t value = r[REG_RDX] << 32 | (uint32_t)r[REG_RAX];

        /* SDM vol. 1 13.3: x87 always, AVX needs SSE, the parts of AVX-512 go together. */
        if ((uint32_t)r[REG_RCX] != 0 || value & ~vm->cpuid.xcr0 || !(value & 1) ||
            (value & 6) == 4 || ((value & 0xe0) && (value & 0xe6) != 0xe6)) {
                virt->inject_exception(&vm->vcpu, VECTOR_GP, 0);
                return;
        }
        virt->set_xcr0(&vm->vcpu, value);
        virt->skip(&vm->vcpu);
}

/*
 * The CPU is free: a granule of released NVRAM, some hundreds of microseconds, where the guest's
 * next timer interrupt is twice as far away as the last granule took. So nothing is ever late.
 */
static void work_while_idle(struct vm *vm)
{
        static uint64_t cost; /* TSC ticks of a granule, as the last one was */
        struct pool *pool = vm->host->pool;
        uint64_t quiet = vm->direct ? host_lapic_quiet_until() : lapic_deadline(&vm->lapic);
        uint64_t now = cpu_rdtsc();

        if (!pool || !pool->dying || lapic_next_irq(&vm->lapic) >= 0)
                return;
        if (!cost)
                cost = (uint64_t)vm->host->tsc_khz * SCRUB_GUESS_MS;
        if (quiet < now || quiet - now < 2 * cost)
                return;
        pool_scrub(pool, 1);
        cost = cpu_rdtsc() - now;
}

static void exit_halt(struct vm *vm)
{
        struct vcpu_state s;

        virt->skip(&vm->vcpu);
        virt->get_state(&vm->vcpu, &s);
        if (!(s.rflags & RFLAGS_IF)) {
                vm->end = VM_HALTED;
                return;
        }
        work_while_idle(vm);
        virt->halt(&vm->vcpu);
}

static void exit_unexpected(struct vm *vm, const struct vm_exit *exit)
{
        printk(LOG_ERROR, "vm %s: exit reason %u is not handled", vm->config->name, exit->reason);
        crash(vm, "stopped at an exit that is not handled");
}

/* CPUID and hypercalls never come here: the fast handlers answer them all. */
static void handle(struct vm *vm, const struct vm_exit *exit)
{
        switch (exit->kind) {
        case VM_EXIT_IO:
                exit_io(vm, &exit->io);
                break;
        case VM_EXIT_MSR_READ:
        case VM_EXIT_MSR_WRITE:
                exit_msr(vm, exit->kind == VM_EXIT_MSR_WRITE);
                break;
        case VM_EXIT_MEMORY:
                exit_memory(vm, &exit->memory);
                break;
        case VM_EXIT_HALT:
                exit_halt(vm);
                break;
        case VM_EXIT_TIMER:
                lapic_timer_expired(&vm->lapic, cpu_rdtsc());
                virt->set_deadline(&vm->vcpu, lapic_deadline(&vm->lapic));
                break;
        case VM_EXIT_IRQ_WINDOW:
                virt->want_irq_window(&vm->vcpu, false);
                break;
        case VM_EXIT_XSETBV:
                exit_xsetbv(vm);
                break;
        case VM_EXIT_CR8:
                exit_cr8(vm, &exit->cr8);
                break;
        case VM_EXIT_REFUSED:
                virt->inject_exception(&vm->vcpu, VECTOR_GP, 0);
                break;
        case VM_EXIT_UNDEFINED:
                virt->inject_exception(&vm->vcpu, VECTOR_UD, 0);
                break;
        case VM_EXIT_CACHE:
                /* All memory of a guest is coherent write-back memory: nothing to do but go on. */
                virt->skip(&vm->vcpu);
                break;
        case VM_EXIT_SHUTDOWN:
                crash(vm, "triple fault");
                break;
        case VM_EXIT_TASK:
                crash(vm, "switches tasks by hardware, which is not supported on VT-x");
                break;
        case VM_EXIT_ENTRY_FAILED:
                crash(vm, "the CPU refused to run it");
                break;
        case VM_EXIT_HOST:
                break;
        default:
                exit_unexpected(vm, exit);
                break;
        }
        take_input(vm);
}

enum vm_end vm_run(struct vm *vm)
{
        struct vm_exit exit;

        vm->end = VM_RUNNING;
        vm->vcpu.fast = fast_exits;
        if (!vm->start_tsc) {
                printk(LOG_INFO, "vm %s: starts", vm->config->name);
                vm->start_tsc = cpu_rdtsc();
        }
        take_input(vm); /* what came while it did not run announces itself no more */
        while (vm->end == VM_RUNNING) {
                offer_interrupt(vm);
                virt->run(&vm->vcpu, &exit);
                vm->exits[exit.kind]++;
                handle(vm, &exit);
        }
        return vm->end;
}

const char *vm_exit_name(enum vm_exit_kind kind)
{
        static const char *const names[VM_EXIT_KINDS] = {
            "interrupt", "cpuid",    "hypercall", "io",     "rdmsr", "wrmsr",   "memory",
            "hlt",       "timer",    "window",    "xsetbv", "cr8",   "refused", "undefined",
            "cache",     "shutdown", "entry",     "task",   "other"};

        return names[kind];
}

void vm_print_stats(const struct vm *vm)
{
        uint64_t bytes[PAGING_SIZES];
        uint64_t total = 0;

        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                total += vm->exits[k];
        printk(LOG_INFO, "vm %s: started at TSC %lu, %lu after the loader's jump", vm->config->name,
               vm->start_tsc, vm->start_tsc - vm->host->entry_tsc);
        printk(LOG_INFO, "vm %s: %lu exits, %lu interrupts injected", vm->config->name, total,
               vm->interrupts);
        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                if (vm->exits[k])
                        printk(LOG_INFO, "vm %s: exits %-10s %lu", vm->config->name,
                               vm_exit_name(k), vm->exits[k]);
        paging_count_leaves(&vm->second_level, bytes);
        printk(LOG_INFO, "vm %s: mapped in pages of 4 KiB: %lu KiB, 2 MiB: %lu KiB, 1 GiB: %lu KiB",
               vm->config->name, bytes[0] / KiB, bytes[1] / KiB, bytes[2] / KiB);
}

const char *vm_end_text(enum vm_end end)
{
        static const char *const text[] = {"runs",    "powered off", "reboots", "halted",
                                           "crashed", "paused",      "stopped", "refused"};

        return text[end];
}
