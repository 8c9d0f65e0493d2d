/* The exit policy with a scripted backend: what each kind of exit does to guest and VM. */
#include "guest/exec/run.h"

#include "guest/abi.h"
#include "guest/console/console.h"
#include "guest/dev/platform.h"
#include "hv/lib/string.h"
#include "hv/trap/mce.h"
#include "tests/unit/run_steps.h"

#define UART_SCRATCH (PLATFORM_COM1_PORT + 7)

static struct fake_step io(uint16_t port, uint8_t size, bool in, uint64_t rax)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_IO, .io = {.port = port, .size = size, .in = in}}, .rax = rax};
}

static void test_plain_exits(void)
{
        expect_skip(plain(VM_EXIT_CACHE));
        expect_gp(plain(VM_EXIT_REFUSED));
        CHECK_EQ(play_one(plain(VM_EXIT_UNDEFINED)), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_UD);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(play_one(plain(VM_EXIT_HANDLED)), VM_POWERED_OFF);
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
        expect_skip(rdmsr(0x3b)); /* TSC_ADJUST */
        CHECK_EQ(fake.regs[REG_RAX] | fake.regs[REG_RDX], 0);
        expect_skip(wrmsr(0x3b, 0));
        expect_gp(wrmsr(0x3b, 1));
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

/* SDM vol. 1 13.3. */
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

/* What was typed reaches the VM in focus, as far as its FIFO takes it. */
static void test_typed_bytes(void)
{
        struct fake_step lsr = io(PLATFORM_COM1_PORT + 5, 1, true, 0);

        console_set_focus(&vm.console);
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
        CHECK_EQ(console_get(&vm.console), -1);
        CHECK_EQ(console_get(NULL), 'y');
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
        RUN(test_news_of_memory);
        RUN(test_watchdog);
        RUN(test_xsetbv);
        RUN(test_typed_bytes);
        RUN(test_fetch_outside_memory_ends_the_vm);
        RUN(test_unknown_access);
        RUN(test_tables_outside_memory_end_the_vm);
        fake_vm_destroy(&vm);
        return unit_done();
}
