/*
 * Exit policy. Everything a guest does wrong ends in an exception for the guest or in the end of
 * this VM, with its state printed; nothing here can stop the machine.
 */
#include "guest/run.h"

#include "drivers/lapic.h"
#include "guest/hypercall.h"
#include "guest/idle.h"
#include "guest/machine_check.h"
#include "guest/mmio.h"
#include "guest/msr.h"
#include "guest/string_io.h"
#include "guest/vm_nvram.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define MSR_X2APIC_TPR 0x808u
#define TPR_SHIFT      4
#define LVT_MASKED     (1u << 16)

#define REST_LOOK_MS        1000
#define FIRST_USABLE_VECTOR 32 /* below stand the exceptions */

static void crash(struct vm_vcpu *v, const char *why)
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

/*
 * A vCPU that has the real local APIC gets the models' interrupts through it. Vectors of exceptions
 * are not sent: pending at the VM's end they would be the host's.
 */
static void forward_interrupts(struct vm_vcpu *v)
{
        int vector;

        while ((vector = lapic_next_irq(&v->lapic)) >= 0) {
                lapic_hand_over(&v->lapic, (uint8_t)vector);
                if (vector >= FIRST_USABLE_VECTOR)
                        host_lapic_send_self((uint8_t)vector);
                v->interrupts++;
        }
}

/* The timer's entry is the only one of the local vector table that is lent. */
static void lend_timer(struct vm_vcpu *v)
{
        uint32_t lvt = v->lapic.lvt[LAPIC_LVT_TIMER];

        host_lapic_lend_timer((lvt & 0xff) < FIRST_USABLE_VECTOR ? lvt | LVT_MASKED : lvt);
}

/* The next exit by time: the local APIC's timer, or the scheduler. */
static void arm(struct vm_vcpu *v)
{
        uint64_t deadline = v->vm->direct ? UINT64_MAX : lapic_deadline(&v->lapic);

        virt->set_deadline(&v->vcpu, deadline < v->look_at ? deadline : v->look_at);
}

/* An NMI that the guest cannot take yet has it exit again at once. */
static void offer_nmi(struct vm_vcpu *v)
{
        if (virt->inject_nmi(&v->vcpu))
                v->nmi = false;
        else
                virt->set_deadline(&v->vcpu, 0);
}

/* Interrupts and the timer: what the local APIC has for the vCPU goes in as soon as it can. */
static void offer_interrupt(struct vm_vcpu *v)
{
        int vector;

        if (v->nmi)
                offer_nmi(v);
        vector = lapic_next_irq(&v->lapic);
        if (vector < 0)
                return;
        if (v->vm->direct) {
                forward_interrupts(v);
                return;
        }
        if (!virt->can_take_irq(&v->vcpu)) {
                virt->want_irq_window(&v->vcpu, true);
                return;
        }
        virt->inject_irq(&v->vcpu, (uint8_t)vector);
        lapic_accept(&v->lapic, (uint8_t)vector);
        v->interrupts++;
        virt->want_irq_window(&v->vcpu, lapic_next_irq(&v->lapic) >= 0);
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

/* The guest may have ended its interrupt in memory: now it counts. */
static void learn_eoi(struct vm_vcpu *v)
{
        if (pv_eoi_exit(&v->pv))
                lapic_eoi(&v->lapic);
}

/* What is refused goes the long way, to get its exception; and the timer may raise its interrupt.
 */
static bool fast_msr_read(struct vcpu *vcpu)
{
        struct vm_vcpu *v = (struct vm_vcpu *)vcpu;
        uint32_t msr = (uint32_t)vcpu->regs[REG_RCX];
        uint64_t value;

        learn_eoi(v);
        if (msr == MSR_IA32_TSC_DEADLINE || msr_read(v, msr, &value, cpu_rdtsc()))
                return false;
        v->exits[VM_EXIT_MSR_READ]++;
        answer_msr_read(v, value);
        return true;
}

static int read_word(struct vcpu *vcpu, gpa_t gpa, uint64_t *out)
{
        const struct vm_vcpu *v = (const struct vm_vcpu *)vcpu;

        return gmem_read_word(&v->vm->mem, gpa, out);
}

static const struct vcpu_fast fast_exits = {fast_cpuid, fast_hypercall, fast_msr_read, read_word};

static void exit_io(struct vm_vcpu *v, const struct vm_exit_io *io)
{
        uint64_t *rax = &v->vcpu.regs[REG_RAX];

        if (io->string) {
                string_io(v, io);
                return;
        }
        spin_lock(&v->vm->devices);
        if (!io->in) {
                bus_port_write(&v->vm->bus, io->port, io->size, *rax);
        } else {
                uint64_t keep = io->size == 4 ? 0 : ~0ull << io->size * 8;

                *rax = (*rax & keep) | bus_port_read(&v->vm->bus, io->port, io->size);
        }
        vm_feed_input(v->vm); /* it may have made room */
        spin_unlock(&v->vm->devices);
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
        else if (v->vm->direct)
                lend_timer(v);
        arm(v);
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
                err = *reg > 15 ? -1 : lapic_msr_write(&v->lapic, MSR_X2APIC_TPR, value, 0);
        else
                err = lapic_msr_read(&v->lapic, MSR_X2APIC_TPR, &value, 0);
        if (err) {
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                return;
        }
        virt->skip(&v->vcpu);
        if (access->write)
                return;
        *reg = value >> TPR_SHIFT;
        if (access->reg == REG_RSP)
                set_stack_pointer(v, s.rsp);
}

/* As on KVM for a program: the guest's own handler tells whose the instruction was. */
static void refuse_access(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        printk(LOG_DEBUG, "vm %s: #UD for an access to 0x%lx by an instruction that is not known",
               v->vm->config->name, access->gpa.v);
        virt->inject_exception(&v->vcpu, VECTOR_UD, 0);
}

static void exit_memory(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        if (access->implicit)
                crash(v, "keeps a page table, a descriptor table or a stack outside of its memory");
        else if (access->write && vm_nvram_is_read_only(v->vm, access->gpa))
                virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
        else if (access->fetch)
                crash(v, "executes outside of its memory");
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

/*
 * Whether nothing can wake this VM any more. What somebody sent meanwhile speaks against it: he was
 * awake behind the begin of this look, and looks himself when he rests.
 */
static bool all_deaf(const struct vm *vm)
{
        uint64_t sent = __atomic_load_n(&vm->sent, __ATOMIC_SEQ_CST);

        for (unsigned i = 0; i < vm->vcpus; i++)
                if (vm_has_news(vm->vcpu[i]) ||
                    !__atomic_load_n(&vm->vcpu[i]->deaf, __ATOMIC_SEQ_CST))
                        return false;
        return __atomic_load_n(&vm->sent, __ATOMIC_SEQ_CST) == sent;
}

static void become_deaf(struct vm_vcpu *v)
{
        __atomic_store_n(&v->deaf, true, __ATOMIC_SEQ_CST);
        if (all_deaf(v->vm))
                vm_finish(v->vm, VM_HALTED);
}

static void exit_halt(struct vm_vcpu *v)
{
        struct vcpu_state s;

        virt->skip(&v->vcpu);
        virt->get_state(&v->vcpu, &s);
        if (!(s.rflags & RFLAGS_IF)) {
                become_deaf(v);
        } else if (v->vm->direct) {
                if (v->sched.cpu == 0 && lapic_next_irq(&v->lapic) < 0)
                        (void)idle_scrub(v->vm->host->pool, v->vm->host->tsc_khz,
                                         host_lapic_quiet_until());
                virt->halt(&v->vcpu);
                return;
        }
        v->activity = VCPU_HALTED;
}

static void exit_unexpected(struct vm_vcpu *v, const struct vm_exit *exit)
{
        printk(LOG_ERROR, "vm %s: exit reason %u is not handled", v->vm->config->name,
               exit->reason);
        crash(v, "stopped at an exit that is not handled");
}

/* CPUID never comes here: the fast handler answers it always. */
static void handle(struct vm_vcpu *v, const struct vm_exit *exit)
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
                lapic_timer_expired(&v->lapic, cpu_rdtsc());
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
        case VM_EXIT_SHUTDOWN:
                crash(v, "triple fault");
                break;
        case VM_EXIT_TASK:
                crash(v, "switches tasks by hardware, which is not supported on VT-x");
                break;
        case VM_EXIT_ENTRY_FAILED:
                crash(v, "the CPU refused to run it");
                break;
        case VM_EXIT_HOST:
                v->look = true;
                break;
        default:
                exit_unexpected(v, exit);
                break;
        }
}

/* As INIT leaves a CPU, and where the start-up IPI sends it (SDM vol. 3 table 9-1, 8.4.3). */
static void start_vcpu(struct vm_vcpu *v, uint8_t page)
{
        const struct vcpu_segment data = {0, 0xffff, 0, 0x93};
        struct vcpu_state s = {.rflags = RFLAGS_FIXED, .cr0 = CR0_ET, .gdt_limit = 0xffff};

        for (unsigned i = 0; i < SEG_COUNT; i++)
                s.seg[i] = data;
        s.seg[SEG_CS] =
            (struct vcpu_segment){(uint64_t)page << 12, 0xffff, (uint16_t)(page << 8), 0x9b};
        s.seg[SEG_LDTR].access = 0x82;
        s.seg[SEG_TR].access = 0x8b;
        s.idt_limit = 0xffff;
        memset(v->vcpu.regs, 0, sizeof v->vcpu.regs);
        virt->set_state(&v->vcpu, &s);
        virt->flush_tlb(&v->vcpu);
        v->activity = VCPU_RUNS;
        v->deaf = false;
}

/* INIT of the vCPU that boots is the VM's reset, as there is no firmware to start it again. */
static void take_events(struct vm_vcpu *v, uint32_t events)
{
        if (events & POSTED_INIT && v->id == 0) {
                vm_finish(v->vm, VM_REBOOTED);
                return;
        }
        if (events & POSTED_INIT) {
                lapic_reset(&v->lapic);
                pv_reset(&v->pv);
                v->clock = (struct kvmclock_vcpu){0};
                v->activity = VCPU_WAITS;
                v->nmi = false;
                __atomic_store_n(&v->deaf, true, __ATOMIC_SEQ_CST);
        }
        if (events & POSTED_STARTUP && v->activity == VCPU_WAITS)
                start_vcpu(v, (uint8_t)events);
        if (events & POSTED_NMI && v->activity != VCPU_WAITS)
                v->nmi = true;
}

/* Once; a kick that comes while it runs ends its next HLT. */
static bool is_kicked(struct vm_vcpu *v)
{
        return __atomic_load_n(&v->unhalt, __ATOMIC_RELAXED) &&
               __atomic_exchange_n(&v->unhalt, false, __ATOMIC_SEQ_CST);
}

/* Whether the vCPU goes on, with what has come for it. While that is looked at, it is not deaf. */
static bool is_awake(struct vm_vcpu *v)
{
        bool deaf = v->deaf, news = deaf && vm_has_news(v);
        uint32_t events;

        if (news)
                __atomic_store_n(&v->deaf, false, __ATOMIC_SEQ_CST);
        events = posted_drain(&v->posted, &v->lapic);
        if (events)
                take_events(v, events);
        if (v->activity == VCPU_HALTED &&
            (v->nmi || is_kicked(v) || (!deaf && lapic_next_irq(&v->lapic) >= 0)))
                v->activity = VCPU_RUNS;
        if (v->activity == VCPU_RUNS) {
                if (deaf && !v->vm->direct) /* else look_at_rest says so */
                        v->deaf = false;
                return true;
        }
        if (news)
                become_deaf(v);
        return false;
}

/*
 * A guest that has its CPU's interrupts rests without an exit, unless CPU 0 has work for such
 * times. So one that nothing can wake any more is found by a look now and then.
 */
static void look_at_rest(struct vm_vcpu *v, unsigned cpu, uint64_t now)
{
        const struct pool *pool = v->vm->host->pool;
        uint64_t again = now + (uint64_t)v->vm->host->tsc_khz * REST_LOOK_MS;
        struct vcpu_state s = {.rflags = RFLAGS_IF};

        virt->exit_on_halt(&v->vcpu, cpu == 0 && pool && pool->dying);
        if (virt->rests(&v->vcpu))
                virt->get_state(&v->vcpu, &s);
        __atomic_store_n(&v->deaf, !(s.rflags & RFLAGS_IF) && !v->nmi, __ATOMIC_SEQ_CST);
        if (v->deaf && all_deaf(v->vm))
                vm_finish(v->vm, VM_HALTED);
        if (again < v->look_at)
                v->look_at = again;
}

/*
 * The watchdog: a vCPU that was found with its interrupts off at every look for so long does
 * nothing any more that a kernel should. It is told once; what to do is the administrator's.
 */
static void watch(struct vm_vcpu *v, uint64_t now)
{
        const struct vm *vm = v->vm;
        uint64_t second = (uint64_t)vm->host->tsc_khz * 1000;
        struct vcpu_state s;

        virt->get_state(&v->vcpu, &s);
        if (s.rflags & RFLAGS_IF) {
                v->off_since = 0;
                __atomic_store_n(&v->hung, false, __ATOMIC_RELAXED);
        } else if (!v->off_since) {
                v->off_since = now;
        } else if (!v->hung && now - v->off_since >= vm->config->watchdog * second) {
                printk(LOG_WARN, "vm %s: vCPU %u has had its interrupts off for %u s, at 0x%lx",
                       vm->config->name, v->id, vm->config->watchdog, s.rip);
                __atomic_store_n(&v->hung, true, __ATOMIC_RELAXED);
        }
        if (now + second < v->look_at)
                v->look_at = now + second;
}

/* Whether another is to have the CPU. */
static bool must_leave(struct vm_vcpu *v, unsigned cpu)
{
        const struct vm_host *host = v->vm->host;
        uint64_t now = cpu_rdtsc();
        int spare;

        v->look = false;
        if (mce_any()) { /* CPU 0 looks into it before this guest goes on */
                v->look = true;
                __atomic_store_n(host->attention, true, __ATOMIC_SEQ_CST);
                host->kick(0);
                return true;
        }
        v->look_at = sched_look(host->sched, cpu, now);
        spare = sched_spare(host->sched);
        if (spare >= 0)
                host->kick((unsigned)spare);
        lapic_timer_expired(&v->lapic, now);
        if (v->vm->direct)
                look_at_rest(v, cpu, now);
        if (v->vm->config->watchdog)
                watch(v, now);
        arm(v);
        return (cpu == 0 && host->service()) || sched_yields(host->sched, cpu, now);
}

/* It has its CPU again: the guest learns how long it waited, and its TLB what others asked of it.
 */
static void come_back(struct vm_vcpu *v)
{
        uint64_t waited = v->sched.waited - v->stolen;

        v->stolen += waited;
        if (pv_steal_end(&v->pv, waited * 1000000 / v->vm->host->tsc_khz))
                virt->flush_tlb(&v->vcpu);
}

static enum vcpu_leave run_until(struct vm_vcpu *v, unsigned cpu)
{
        struct vm *vm = v->vm;
        struct vm_exit exit;

        while (!vm_stands(vm)) {
                if (v->look && must_leave(v, cpu))
                        return VCPU_READY;
                if (!is_awake(v))
                        return vm_stands(vm) ? VCPU_STOPPED : VCPU_BLOCKED;
                if (v->id == 0 && vm->mca.waiting && machine_check_offer(v)) {
                        crash(v, "its memory is damaged, and it takes no machine checks");
                        continue;
                }
                offer_interrupt(v);
                pv_eoi_enter(&v->pv, lapic_eoi_may_wait(&v->lapic));
                virt->run(&v->vcpu, &exit);
                learn_eoi(v);
                v->exits[exit.kind]++;
                handle(v, &exit);
        }
        return VCPU_STOPPED;
}

enum vcpu_leave vcpu_run(struct vm_vcpu *v, unsigned cpu)
{
        enum vcpu_leave how;

        v->vcpu.fast = fast_exits;
        v->look = true;
        come_back(v);
        how = run_until(v, cpu);
        pv_steal_begin(&v->pv);
        return how;
}

const char *vm_exit_name(enum vm_exit_kind kind)
{
        static const char *const names[VM_EXIT_KINDS] = {
            "interrupt", "cpuid",    "hypercall", "io",     "rdmsr", "wrmsr",   "memory",
            "hlt",       "timer",    "window",    "xsetbv", "cr8",   "refused", "undefined",
            "cache",     "shutdown", "entry",     "task",   "other"};

        return names[kind];
}

uint64_t vm_exits(const struct vm *vm, enum vm_exit_kind kind)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < vm->vcpus; i++)
                n += vm->vcpu[i]->exits[kind];
        return n;
}

uint64_t vm_interrupts(const struct vm *vm)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < vm->vcpus; i++)
                n += vm->vcpu[i]->interrupts;
        return n;
}

void vm_print_stats(const struct vm *vm)
{
        const char *name = vm->config->name;
        uint64_t bytes[PAGING_SIZES];
        uint64_t total = 0, n;

        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                total += vm_exits(vm, k);
        printk(LOG_INFO, "vm %s: started at TSC %lu, %lu after the loader's jump", name,
               vm->start_tsc, vm->start_tsc - vm->host->entry_tsc);
        printk(LOG_INFO, "vm %s: %lu exits, %lu interrupts injected", name, total,
               vm_interrupts(vm));
        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                if ((n = vm_exits(vm, k)))
                        printk(LOG_INFO, "vm %s: exits %-10s %lu", name, vm_exit_name(k), n);
        paging_count_leaves(&vm->second_level, bytes);
        printk(LOG_INFO, "vm %s: mapped in pages of 4 KiB: %lu KiB, 2 MiB: %lu KiB, 1 GiB: %lu KiB",
               name, bytes[0] / KiB, bytes[1] / KiB, bytes[2] / KiB);
}

const char *vm_end_text(enum vm_end end)
{
        static const char *const text[] = {"runs",    "powered off", "reboots", "halted",
                                           "crashed", "paused",      "stopped", "refused"};

        return text[end];
}
