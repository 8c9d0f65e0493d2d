/* The exit policy with a scripted backend: what each kind of exit does to guest and VM. */
#include "guest/run.h"

#include "guest/abi.h"
#include "guest/console.h"
#include "guest/platform.h"
#include "guest/vcpu_apic.h"
#include "guest/vcpu_irq.h"
#include "hv/lib/string.h"
#include "hv/mce.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define JUNK          0x1122334455667788ull
#define MSR_TPR       0x808u
#define MSR_SELF_IPI  0x83fu
#define MSR_SVR       0x80fu
#define MSR_ISR       0x810u
#define MSR_IRR       0x820u
#define MSR_ESR       0x828u
#define MSR_LVT_TIMER 0x832u
#define UART_SCRATCH  (PLATFORM_COM1_PORT + 7)

static struct vm vm;

static enum vm_end play(const struct fake_step *steps, size_t count)
{
        return fake_play(&vm, steps, count);
}

static enum vm_end play_one(struct fake_step step)
{
        return play(&step, 1);
}

static struct fake_step plain(enum vm_exit_kind kind)
{
        return (struct fake_step){.exit = {.kind = kind}, .rax = JUNK, .rcx = JUNK, .rdx = JUNK};
}

static struct fake_step io(uint16_t port, uint8_t size, bool in, uint64_t rax)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_IO, .io = {.port = port, .size = size, .in = in}}, .rax = rax};
}

static struct fake_step wrmsr(uint32_t msr, uint64_t value)
{
        return (struct fake_step){.exit = {.kind = VM_EXIT_MSR_WRITE},
                                  .rax = JUNK << 32 | (uint32_t)value,
                                  .rcx = JUNK << 32 | msr,
                                  .rdx = JUNK << 32 | value >> 32};
}

static struct fake_step rdmsr(uint32_t msr)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_MSR_READ}, .rax = JUNK, .rcx = msr, .rdx = JUNK};
}

static struct fake_step cr8(uint8_t reg, bool write, uint64_t rax)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_CR8, .cr8 = {.reg = reg, .write = write}}, .rax = rax};
}

static void expect_gp(struct fake_step step)
{
        CHECK_EQ(play_one(step), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_GP);
        CHECK_EQ(fake.skips, 0);
}

static void expect_skip(struct fake_step step)
{
        CHECK_EQ(play_one(step), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 0);
        CHECK_EQ(fake.skips, 1);
}

static void test_plain_exits(void)
{
        expect_skip(plain(VM_EXIT_CACHE));
        expect_gp(plain(VM_EXIT_REFUSED));
        CHECK_EQ(play_one(plain(VM_EXIT_UNDEFINED)), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_UD);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_HOST)), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions + fake.skips, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_SHUTDOWN)), VM_CRASHED);
        CHECK_EQ(play_one(plain(VM_EXIT_TASK)), VM_CRASHED);
        CHECK_EQ(play_one(plain(VM_EXIT_ENTRY_FAILED)), VM_CRASHED);
        CHECK_EQ(play_one(plain(VM_EXIT_UNEXPECTED)), VM_CRASHED);
}

static void test_exits_are_counted_once(void)
{
        const struct fake_step steps[] = {plain(VM_EXIT_CACHE),
                                          plain(VM_EXIT_CPUID),
                                          {.exit = {.kind = VM_EXIT_CPUID}, .rax = 1},
                                          plain(VM_EXIT_HYPERCALL),
                                          rdmsr(0x1a0),
                                          rdmsr(0x12345),
                                          plain(VM_EXIT_CACHE)};

        memset(vm.vcpu[0]->exits, 0, sizeof vm.vcpu[0]->exits);
        CHECK_EQ(play(steps, ARRAY_LEN(steps)), VM_POWERED_OFF);
        CHECK_EQ(vm.vcpu[0]->exits[VM_EXIT_CACHE], 2);
        CHECK_EQ(vm.vcpu[0]->exits[VM_EXIT_CPUID], 2);
        CHECK_EQ(vm.vcpu[0]->exits[VM_EXIT_HYPERCALL], 1);
        CHECK_EQ(vm.vcpu[0]->exits[VM_EXIT_MSR_READ], 2);
        CHECK_EQ(vm.vcpu[0]->exits[VM_EXIT_IO], 1);
        CHECK_EQ(fake.skips, 6);
        CHECK_EQ(fake.exceptions, 1);
}

static void test_cpuid_answers_in_registers(void)
{
        expect_skip((struct fake_step){.exit = {.kind = VM_EXIT_CPUID},
                                       .rax = JUNK << 32 | PERMAFROST_CPUID_BASE,
                                       .rdx = JUNK});
        CHECK_EQ(fake.regs[REG_RAX], PERMAFROST_CPUID_BASE);
        CHECK(memcmp(&fake.regs[REG_RBX], "Perm", 4) == 0);
        CHECK(memcmp(&fake.regs[REG_RCX], "afro", 4) == 0);
        CHECK(memcmp(&fake.regs[REG_RDX], "stHV\0\0\0", 8) == 0);
}

/* CPUID.1:ECX.OSXSAVE follows the guest's CR4. */
static void test_cpuid_tells_osxsave(void)
{
        const struct fake_step step = {.exit = {.kind = VM_EXIT_CPUID}, .rax = 1};

        fake.state.cr4 |= CR4_OSXSAVE;
        expect_skip(step);
        CHECK(fake.regs[REG_RCX] >> 27 & 1);
        fake.state.cr4 &= ~CR4_OSXSAVE;
        expect_skip(step);
        CHECK(!(fake.regs[REG_RCX] >> 27 & 1));
}

static void test_hypercall_answers_in_rax(void)
{
        expect_skip((struct fake_step){
            .exit = {.kind = VM_EXIT_HYPERCALL}, .cpl = 0, .rax = PERMAFROST_HC_VERSION});
        CHECK_EQ(fake.regs[REG_RAX], PERMAFROST_ABI_VERSION);
        expect_skip((struct fake_step){
            .exit = {.kind = VM_EXIT_HYPERCALL}, .cpl = 3, .rax = PERMAFROST_HC_VERSION});
        CHECK_EQ(fake.regs[REG_RAX], -PERMAFROST_EPERM);
}

/* IN of 1 and 2 bytes keeps the rest of RAX, of 4 bytes clears its upper half. */
static void test_in_widths(void)
{
        expect_skip(io(0x80, 1, true, 0));
        CHECK_EQ(fake.regs[REG_RAX], 0xff);
        expect_skip(io(0x80, 1, true, JUNK));
        CHECK_EQ(fake.regs[REG_RAX], 0x11223344556677ff);
        expect_skip(io(0x80, 2, true, JUNK));
        CHECK_EQ(fake.regs[REG_RAX], 0x112233445566ffff);
        expect_skip(io(0x80, 4, true, JUNK));
        CHECK_EQ(fake.regs[REG_RAX], 0xffffffff);
}

static void test_out_reaches_a_device(void)
{
        expect_skip(io(UART_SCRATCH, 1, false, JUNK << 8 | 0xa5));
        expect_skip(io(UART_SCRATCH, 1, true, 0));
        CHECK_EQ(fake.regs[REG_RAX], 0xa5);
}

static void test_power_ports(void)
{
        CHECK_EQ(play_one(io(PLATFORM_ACPI_PM_PORT + ACPI_PM_RESET, 1, false, 6)), VM_REBOOTED);
        CHECK_EQ(play_one(io(PLATFORM_ACPI_PM_PORT + ACPI_PM_RESET, 1, false, 5)), VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 1);
}

static void test_msrs(void)
{
        expect_skip(rdmsr(0x1a0));
        CHECK_EQ(fake.regs[REG_RAX], 1);
        CHECK_EQ(fake.regs[REG_RDX], 0);
        expect_gp(rdmsr(0x12345));
        CHECK_EQ(fake.regs[REG_RAX], JUNK);
        CHECK_EQ(fake.regs[REG_RDX], JUNK);
        expect_gp(wrmsr(0x12345, 0));
        expect_skip(wrmsr(0x1a0, 1));
        expect_gp(wrmsr(0x1a0, 1ull << 32 | 1));
        vm.cpuid.fast_strings = false; /* a machine that has them off tells its guests */
        expect_skip(rdmsr(0x1a0));
        CHECK_EQ(fake.regs[REG_RAX], 0);
        expect_gp(wrmsr(0x1a0, 1));
        vm.cpuid.fast_strings = true;
}

static void expect_msr(uint32_t msr, uint64_t value)
{
        expect_skip(rdmsr(msr));
        CHECK_EQ((fake.regs[REG_RDX] << 32 | fake.regs[REG_RAX]), value);
}

/* No ranges, write-back by default: SDM vol. 3 12.11.1 and 12.11.2.1. */
static void test_memory_is_write_back_by_mtrr(void)
{
        static const uint32_t ranges[] = {0x200, 0x201, 0x20f, 0x250, 0x258, 0x259, 0x268, 0x26f};
        static const uint64_t bad[] = {0x801, 0x802, 0x803,  0x807,
                                       0x8ff, 0x906, 0x1806, 1ull << 32};

        expect_msr(0xfe, 0);
        expect_gp(wrmsr(0xfe, 0));
        expect_msr(0x2ff, 0x806);
        expect_skip(wrmsr(0x2ff, 0x806));
        expect_skip(wrmsr(0x2ff, 0)); /* as Linux does while it changes PAT */
        expect_msr(0x2ff, 0);
        expect_skip(wrmsr(0x2ff, 0xc04));
        expect_msr(0x2ff, 0xc04);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                expect_gp(wrmsr(0x2ff, bad[i]));
        expect_msr(0x2ff, 0xc04);
        for (size_t i = 0; i < ARRAY_LEN(ranges); i++) { /* variable and fixed ones */
                expect_gp(rdmsr(ranges[i]));
                expect_gp(wrmsr(ranges[i], 0));
        }
}

static void test_cr8_is_the_task_priority(void)
{
        expect_skip(cr8(REG_RAX, true, 9));
        expect_skip(rdmsr(MSR_TPR));
        CHECK_EQ(fake.regs[REG_RAX], 0x90);
        expect_skip(cr8(REG_RAX, false, JUNK));
        CHECK_EQ(fake.regs[REG_RAX], 9);
        expect_gp(cr8(REG_RAX, true, 16));
        expect_gp(cr8(REG_RAX, true, 1ull << 60));
        expect_skip(cr8(REG_RSP, false, 0));
        CHECK_EQ(fake.state.rsp, 9);
        CHECK_EQ(fake.skips_at_set,
                 0); /* setting it afterwards would lose a trap that skip brings */
        fake.state.rsp = 16;
        expect_gp(cr8(REG_RSP, true, 0));
        fake.state.rsp = 0;
        expect_skip(cr8(REG_RSP, true, 0));
        expect_skip(rdmsr(MSR_TPR));
        CHECK_EQ(fake.regs[REG_RAX], 0);
}

static void test_halt(void)
{
        fake.state.rflags = RFLAGS_FIXED | RFLAGS_IF;
        expect_skip(plain(VM_EXIT_HALT));
        CHECK_EQ(fake.halts, 1);
        fake.state.rflags = RFLAGS_FIXED | RFLAGS_TF; /* the trap behind it ends the rest at once */
        expect_skip(plain(VM_EXIT_HALT));
        CHECK_EQ(fake.halts, 0);
        fake.state.rflags = RFLAGS_FIXED;
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_HALTED);
        CHECK_EQ(fake.halts, 0);
        vm.vcpu[0]->activity = VCPU_RUNS;
        vm.vcpu[0]->deaf = false;
}

/* SDM vol. 1 13.3. */
static struct apic_message ipi(enum apic_mode mode, uint8_t vector)
{
        return (struct apic_message){.dest = 0, .mode = (uint8_t)mode, .vector = vector};
}

static void post(enum apic_mode mode, uint8_t vector)
{
        const struct apic_message m = ipi(mode, vector);

        vm_post(&vm, NULL, &m);
}

/* What is on its way to a vCPU that rests with interrupts off keeps the VM alive. */
static void test_halt_with_a_kick(void)
{
        struct vm_vcpu *v = vm.vcpu[0];

        fake.state.rflags = 0;
        v->unhalt = true;
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_POWERED_OFF);
        CHECK(!v->unhalt && !v->deaf);
        post(APIC_NMI, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_HALTED);
        v->activity = VCPU_RUNS;
        v->deaf = false;
        fake.state.rflags = RFLAGS_IF;
}

/* What CPU 0 only has to tell, as a corrected error, keeps no vCPU out. */
static void test_news_of_memory(void)
{
        mce_count_nmi();
        CHECK(mce_any());
        vm.end = VM_RUNNING;
        fake_load(NULL, 0);
        CHECK_EQ(vcpu_run(vm.vcpu[0], 0), VCPU_STOPPED);
        CHECK_EQ(vm.end, VM_POWERED_OFF);
}

/* Interrupts off at each look: told when the time is over, and taken back when they are on. */
static void test_watchdog(void)
{
        static struct vm_config watched;
        const struct vm_config *before = vm.config;
        struct vm_vcpu *v = vm.vcpu[0];

        watched = *before;
        watched.watchdog = 2;
        vm.config = &watched;
        fake.state.rflags = 0;
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK(v->off_since && !v->hung);
        v->off_since -= 1999000000ull; /* at 1 GHz */
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK(v->hung || cpu_rdtsc() - v->off_since < 2000000000ull);
        v->off_since -= 1000000000ull;
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK(v->hung);
        CHECK(fake.deadline != UINT64_MAX);
        fake.state.rflags = RFLAGS_IF;
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK(!v->hung && !v->off_since);
        vm.config = before;
}

static void test_xsetbv(void)
{
        static const struct {
                uint64_t xcr0;
                bool fine;
        } tries[] = {{1, true},    {3, true},     {7, true},     {0xe7, true},        {0, false},
                     {2, false},   {5, false},    {0xe3, false}, {0x67, false},       {0xe5, false},
                     {0xf, false}, {0x10, false}, {0x20, false}, {1ull << 62, false}, {1, true}};

        vm.cpuid.xcr0 = 0xe7;
        for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
                struct fake_step step = {.exit = {.kind = VM_EXIT_XSETBV},
                                         .rax = JUNK << 32 | (uint32_t)tries[i].xcr0,
                                         .rdx = tries[i].xcr0 >> 32};

                if (tries[i].fine)
                        expect_skip(step);
                else
                        expect_gp(step);
                CHECK_EQ(fake.xcr0_writes, tries[i].fine);
                CHECK(!tries[i].fine || fake.xcr0 == tries[i].xcr0);
                step.rcx = 1;
                expect_gp(step);
                CHECK_EQ(fake.xcr0_writes, 0);
        }
        vm.cpuid.xcr0 = 3;
        expect_gp((struct fake_step){.exit = {.kind = VM_EXIT_XSETBV}, .rax = 7});
}

static void test_interrupt_is_injected(void)
{
        const struct fake_step steps[] = {wrmsr(MSR_SVR, 0x1ff), wrmsr(MSR_SELF_IPI, 0x41),
                                          plain(VM_EXIT_HOST), wrmsr(MSR_X2APIC_EOI, 0)};

        vm.vcpu[0]->interrupts = 0;
        CHECK_EQ(play(steps, ARRAY_LEN(steps)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x41);
        CHECK_EQ(vm.vcpu[0]->interrupts, 1);
        CHECK(!fake.window);
        CHECK_EQ(lapic_next_irq(&vm.vcpu[0]->lapic), -1);
}

static void test_interrupt_waits_for_its_window(void)
{
        const struct fake_step steps[] = {wrmsr(MSR_SELF_IPI, 0x42), plain(VM_EXIT_HOST)};
        const struct fake_step window = plain(VM_EXIT_IRQ_WINDOW);

        fake.irqs_blocked = true;
        CHECK_EQ(play(steps, ARRAY_LEN(steps)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 0);
        CHECK(fake.window);
        fake.irqs_blocked = false;
        CHECK_EQ(play_one(window), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x42);
        CHECK(!fake.window);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
}

/* Two at once: the higher goes first, the other as soon as it may. */
static void test_interrupts_by_priority(void)
{
        const struct fake_step raise[] = {wrmsr(MSR_SELF_IPI, 0x51), wrmsr(MSR_SELF_IPI, 0x61)};

        fake.irqs_blocked = true;
        CHECK_EQ(play(raise, ARRAY_LEN(raise)), VM_POWERED_OFF);
        CHECK(fake.window);
        fake.irqs_blocked = false;
        CHECK_EQ(play_one(plain(VM_EXIT_HOST)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x61);
        CHECK(!fake.window); /* the other is not let through by the first one's priority */
        CHECK_EQ(play_one(wrmsr(MSR_X2APIC_EOI, 0)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x51);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
}

static void test_window_without_interrupt_is_closed(void)
{
        fake.window = true;
        CHECK_EQ(play_one(plain(VM_EXIT_IRQ_WINDOW)), VM_POWERED_OFF);
        CHECK(!fake.window);
        CHECK_EQ(fake.irqs, 0);
}

static void test_timer(void)
{
        const uint32_t tsc_deadline_mode = 1u << 18 | 0x33;
        const struct fake_step arm[] = {wrmsr(MSR_LVT_TIMER, tsc_deadline_mode),
                                        wrmsr(MSR_IA32_TSC_DEADLINE, UINT64_MAX / 2)};
        const struct fake_step again = wrmsr(MSR_IA32_TSC_DEADLINE, 1);

        CHECK_EQ(play(arm, ARRAY_LEN(arm)), VM_POWERED_OFF);
        CHECK_EQ(fake.deadline, UINT64_MAX / 2);
        CHECK_EQ(fake.irqs, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 0);
        CHECK_EQ(fake.deadline, UINT64_MAX / 2);
        vm.vcpu[0]->lapic.timer_deadline = cpu_rdtsc();
        CHECK_EQ(play_one(plain(VM_EXIT_TIMER)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x33);
        CHECK_EQ(fake.deadline, UINT64_MAX);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        CHECK_EQ(play_one(again), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
}

static void expect_register(uint32_t msr, uint64_t value)
{
        CHECK_EQ(play_one(rdmsr(msr)), VM_POWERED_OFF);
        CHECK_EQ(fake.regs[REG_RAX], value);
}

/*
 * Where the CPU holds an interrupt until the guest can take it: requested until then, in service
 * from then on, whatever looks; the highest one is offered, and none that may not come any more.
 */
static void test_offered_interrupt(void)
{
        struct vm_vcpu *v = vm.vcpu[0];

        virt_caps.holds_irq = true;
        fake.irqs_blocked = true; /* nobody asks */
        v->interrupts = 0;
        expect_skip(wrmsr(MSR_SELF_IPI, 0x51));
        CHECK_EQ(fake.offered, 0x51);
        expect_register(MSR_IRR + 2, 1u << (0x51 - 0x40));
        expect_skip(wrmsr(MSR_SELF_IPI, 0x61));
        CHECK_EQ(fake.offered, 0x61);
        expect_skip(wrmsr(MSR_TPR, 0x60));
        CHECK_EQ(fake.offered, 0);
        expect_skip(wrmsr(MSR_TPR, 0));
        CHECK_EQ(fake.offered, 0x61);
        CHECK_EQ(v->interrupts, 0);
        fake.offered = 0; /* taken */
        expect_register(MSR_ISR + 3, 1u << (0x61 - 0x60));
        CHECK_EQ(v->interrupts, 1);
        CHECK_EQ(fake.offered, 0);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        CHECK_EQ(fake.offered, 0x51);
        fake.offered = 0;
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0)); /* its own: the one before has its end */
        expect_register(MSR_ISR + 2, 0);
        CHECK_EQ(fake.irqs, 0);
        CHECK(!fake.window);
}

/* The end of an offered interrupt may be put off only where it cannot be that of another. */
static void test_offered_interrupt_and_late_end(void)
{
        struct vm_vcpu *v = vm.vcpu[0];

        CHECK(!vcpu_eoi_may_wait(v));
        expect_skip(wrmsr(MSR_SELF_IPI, 0x51));
        CHECK(vcpu_eoi_may_wait(v));
        expect_skip(wrmsr(MSR_SELF_IPI, 0x61));
        CHECK(!vcpu_eoi_may_wait(v)); /* 51h comes behind it */
        fake.offered = 0;
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        CHECK(!vcpu_eoi_may_wait(v));
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        CHECK(vcpu_eoi_may_wait(v));
        fake.offered = 0;
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        CHECK(vcpu_eoi_may_wait(v));
        expect_skip(wrmsr(MSR_SELF_IPI, 0x61));
        CHECK_EQ(fake.offered, 0x61);
        CHECK(!vcpu_eoi_may_wait(v)); /* 51h may end first */
        fake.offered = 0;
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        CHECK(vcpu_eoi_may_wait(v));
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        lapic_raise(&v->lapic, 0x51, true);
        expect_skip(plain(VM_EXIT_CACHE));
        CHECK_EQ(fake.offered, 0x51);
        CHECK(!vcpu_eoi_may_wait(v)); /* level-triggered */
        expect_skip(wrmsr(MSR_SVR, 0xff));
        CHECK_EQ(fake.offered, 0);
        expect_skip(wrmsr(MSR_SVR, 0x1ff));
        CHECK_EQ(fake.offered, 0x51);
        fake.offered = 0;
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        fake.irqs_blocked = false;
        virt_caps.holds_irq = false;
}

static struct fake_step apic_end(uint8_t vector)
{
        struct fake_step step = plain(VM_EXIT_APIC_END);

        step.exit.vector = vector;
        return step;
}

static unsigned ends;

static void count_end(void *ctx, uint8_t vector)
{
        (void)ctx;
        ends += vector;
}

/* With a local APIC that the CPU virtualizes: no injection, and what the model has is told to it.
 */
static void test_virtual_apic(void)
{
        struct vm_vcpu *v = vm.vcpu[0];
        void (*const eoi)(void *, uint8_t) = v->lapic.ops.eoi;

        v->lapic.ops.eoi = count_end;
        vm.virtual_apic = true;
        vcpu_apic_reset(v);
        CHECK_EQ(fake.apic_resets, 1);
        CHECK_EQ(fake.apic[0x0f], 0x1ff);
        CHECK_EQ(fake.apic[0x0d], 1);
        CHECK_EQ(fake.apic[0x37], 0x10000);
        expect_skip(wrmsr(MSR_LVT_TIMER, 0x34));
        CHECK_EQ(fake.apic[0x32], 0x34);
        expect_skip(wrmsr(MSR_SVR, 0xff)); /* masks what is unmasked */
        CHECK_EQ(fake.apic[0x32], 0x10034);
        expect_skip(wrmsr(MSR_SVR, 0x1ff));
        lapic_raise(&v->lapic, 0x71, true);
        fake.irqs_blocked = true; /* the CPU waits for the moment */
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        fake.irqs_blocked = false;
        CHECK_EQ(fake.apic_irqs, 1);
        CHECK_EQ(fake.irq, 0x71);
        CHECK(fake.level && !fake.window);
        CHECK_EQ(fake.irqs, 0);
        CHECK_EQ(ends, 0);
        CHECK_EQ(play_one(apic_end(0x71)), VM_POWERED_OFF);
        CHECK_EQ(ends, 0x71);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(play_one(apic_end(0x72)), VM_POWERED_OFF); /* no level-triggered one */
        CHECK_EQ(ends, 0x71);
        CHECK_EQ(play_one(plain(VM_EXIT_APIC_SELF)), VM_POWERED_OFF);
        expect_skip(wrmsr(MSR_ESR, 0));
        CHECK_EQ(fake.apic[0x28], 0x20);
        v->lapic.ops.eoi = eoi;
}

/* A rest ends by what the CPU's APIC lets through, and there is none once it is off. */
static void test_virtual_apic_rest(void)
{
        struct vm_vcpu *v = vm.vcpu[0];

        fake.state.rflags = RFLAGS_IF;
        lapic_raise(&v->lapic, 0x72, false);
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_POWERED_OFF);
        CHECK_EQ(fake.apic_irqs, 1);
        CHECK_EQ(fake.halts, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_POWERED_OFF);
        CHECK_EQ(fake.halts, 1);
        fake.state.rflags = 0;
        expect_skip(wrmsr(MSR_IA32_APIC_BASE, APIC_BASE_ADDR | APIC_BASE_BSP));
        CHECK_EQ(fake.apic_stops, 1);
        lapic_reset(&v->lapic);
        vm.virtual_apic = false;
        expect_skip(wrmsr(MSR_SVR, 0x1ff));
}

/* What was typed reaches the VM in focus, as far as its FIFO takes it. */
static void test_typed_bytes(void)
{
        struct fake_step lsr = io(PLATFORM_COM1_PORT + 5, 1, true, 0);

        console_set_focus(&vm);
        console_type('x');
        vm_feed_input(&vm);
        CHECK(!console_has_input());
        expect_skip(lsr);
        CHECK_EQ(fake.regs[REG_RAX] & 1, 1);
        expect_skip(io(PLATFORM_COM1_PORT, 1, true, 0));
        CHECK_EQ(fake.regs[REG_RAX], 'x');
        console_set_focus(NULL);
        console_type('y');
        vm_feed_input(&vm);
        CHECK_EQ(console_get(), 'y');
}

/* What others post is taken in before the next entry. */
static void test_posted(void)
{
        post(APIC_FIXED, 0x81);
        post(APIC_NMI, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x81);
        CHECK_EQ(fake.nmis, 1);
        expect_skip(wrmsr(MSR_X2APIC_EOI, 0));
        post(APIC_STARTUP, 0x10); /* it does not wait for one */
        expect_skip(plain(VM_EXIT_CACHE));
        post(APIC_INIT, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_CACHE)), VM_REBOOTED);
}

static void test_fetch_outside_memory_ends_the_vm(void)
{
        struct fake_step step = plain(VM_EXIT_MEMORY);

        step.exit.memory = (struct vm_exit_memory){.gpa = GPA(1 * TiB), .fetch = true};
        CHECK_EQ(play_one(step), VM_CRASHED);
}

/* What is not known at RIP, here nothing at all, may have been changed by another vCPU: it is run
 * anew, some times. */
static void test_unknown_access(void)
{
        struct fake_step steps[32];

        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
                steps[i] = plain(VM_EXIT_MEMORY);
                steps[i].exit.memory = (struct vm_exit_memory){.gpa = GPA(1 * TiB)};
        }
        CHECK_EQ(play(steps, ARRAY_LEN(steps) - 1), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 0);
        CHECK_EQ(play(steps, ARRAY_LEN(steps)), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_UD);
        CHECK_EQ(fake.skips + fake.advanced, 0);
}

/* The CPU's own access is not the instruction's at RIP, which could be any. */
static void test_tables_outside_memory_end_the_vm(void)
{
        struct fake_step step = plain(VM_EXIT_MEMORY);

        step.exit.memory = (struct vm_exit_memory){.gpa = GPA(1 * TiB), .implicit = true};
        CHECK_EQ(play_one(step), VM_CRASHED);
        CHECK_EQ(fake.exceptions, 0);
}

int main(void)
{
        fake_vm_create(&vm);
        RUN(test_plain_exits);
        RUN(test_exits_are_counted_once);
        RUN(test_cpuid_answers_in_registers);
        RUN(test_cpuid_tells_osxsave);
        RUN(test_hypercall_answers_in_rax);
        RUN(test_in_widths);
        RUN(test_out_reaches_a_device);
        RUN(test_power_ports);
        RUN(test_msrs);
        RUN(test_memory_is_write_back_by_mtrr);
        RUN(test_cr8_is_the_task_priority);
        RUN(test_halt);
        RUN(test_halt_with_a_kick);
        RUN(test_news_of_memory);
        RUN(test_watchdog);
        RUN(test_xsetbv);
        RUN(test_interrupt_is_injected);
        RUN(test_interrupt_waits_for_its_window);
        RUN(test_interrupts_by_priority);
        RUN(test_window_without_interrupt_is_closed);
        RUN(test_timer);
        RUN(test_offered_interrupt);
        RUN(test_offered_interrupt_and_late_end);
        RUN(test_virtual_apic);
        RUN(test_virtual_apic_rest);
        RUN(test_typed_bytes);
        RUN(test_posted);
        RUN(test_fetch_outside_memory_ends_the_vm);
        RUN(test_unknown_access);
        RUN(test_tables_outside_memory_end_the_vm);
        fake_vm_destroy(&vm);
        return unit_done();
}
