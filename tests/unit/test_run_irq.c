/*
 * The exit policy with a scripted backend: when a vCPU gets its interrupts, whether they are
 * injected, held by the CPU or given to a virtualized local APIC; task priority, timer and rests.
 */
#include "guest/exec/run.h"

#include "guest/exec/vcpu_irq.h"
#include "guest/vm/vcpu_apic.h"
#include "tests/unit/run_steps.h"

#define MSR_TPR       0x808u
#define MSR_SELF_IPI  0x83fu
#define MSR_SVR       0x80fu
#define MSR_ISR       0x810u
#define MSR_IRR       0x820u
#define MSR_ESR       0x828u
#define MSR_LVT_TIMER 0x832u

static struct fake_step cr8(uint8_t reg, bool write, uint64_t rax)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_CR8, .cr8 = {.reg = reg, .write = write}}, .rax = rax};
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

static struct apic_message ipi(enum apic_mode mode, uint8_t vector)
{
        return (struct apic_message){.dest = 0, .mode = (uint8_t)mode, .vector = vector};
}

static void post(enum apic_mode mode, uint8_t vector)
{
        const struct apic_message m = ipi(mode, vector);

        vcpu_post(&vm, NULL, &m);
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

static void test_interrupt_is_injected(void)
{
        const struct fake_step steps[] = {wrmsr(MSR_SVR, 0x1ff), wrmsr(MSR_SELF_IPI, 0x41),
                                          plain(VM_EXIT_HANDLED), wrmsr(MSR_X2APIC_EOI, 0)};

        vm.vcpu[0]->interrupts = 0;
        CHECK_EQ(play(steps, ARRAY_LEN(steps)), VM_POWERED_OFF);
        CHECK_EQ(fake.irqs, 1);
        CHECK_EQ(fake.irq, 0x41);
        CHECK_EQ(vm.vcpu[0]->interrupts, 1);
        CHECK(!fake.window);
        CHECK_EQ(vlapic_next_irq(&vm.vcpu[0]->lapic), -1);
}

static void test_interrupt_waits_for_its_window(void)
{
        const struct fake_step steps[] = {wrmsr(MSR_SELF_IPI, 0x42), plain(VM_EXIT_HANDLED)};
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
        CHECK_EQ(play_one(plain(VM_EXIT_HANDLED)), VM_POWERED_OFF);
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
                                        wrmsr(MSR_TSC_DEADLINE, UINT64_MAX / 2)};
        const struct fake_step again = wrmsr(MSR_TSC_DEADLINE, 1);

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
        vlapic_raise(&v->lapic, 0x51, true);
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
        vlapic_raise(&v->lapic, 0x71, true);
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
        vlapic_raise(&v->lapic, 0x72, false);
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_POWERED_OFF);
        CHECK_EQ(fake.apic_irqs, 1);
        CHECK_EQ(fake.halts, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_HALT)), VM_POWERED_OFF);
        CHECK_EQ(fake.halts, 1);
        fake.state.rflags = 0;
        expect_skip(wrmsr(MSR_APIC_BASE, APIC_BASE_ADDR | APIC_BASE_BSP));
        CHECK_EQ(fake.apic_stops, 1);
        vlapic_reset(&v->lapic);
        vm.virtual_apic = false;
        expect_skip(wrmsr(MSR_SVR, 0x1ff));
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

int main(void)
{
        fake_vm_create(&vm);
        RUN(test_cr8_is_the_task_priority);
        RUN(test_halt);
        RUN(test_halt_with_a_kick);
        RUN(test_interrupt_is_injected);
        RUN(test_interrupt_waits_for_its_window);
        RUN(test_interrupts_by_priority);
        RUN(test_window_without_interrupt_is_closed);
        RUN(test_timer);
        RUN(test_offered_interrupt);
        RUN(test_offered_interrupt_and_late_end);
        RUN(test_virtual_apic);
        RUN(test_virtual_apic_rest);
        RUN(test_posted);
        fake_vm_destroy(&vm);
        return unit_done();
}
