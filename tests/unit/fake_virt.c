/* The scripted backend and the hosted VM; contract in fake_virt.h. */
#include "tests/unit/fake_virt.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/lapic.h"
#include "guest/dev/platform.h"
#include "guest/exec/run.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/trap/trap.h"

#define MEMORY     (64 * MiB)
#define VM_MEMORY  (16 * MiB)
#define S5_COMMAND (ACPI_PM_SLP_TYP_S5 << 2 | 0x20) /* SLP_TYP and SLP_EN, ACPI 6.5 4.8.3.7 */
#define CODE_SIZE  4096u
#define FILE_SIZE  (2 * 512u + CODE_SIZE)

struct fake_virt fake;
const struct virt_ops *virt;
struct virt_caps virt_caps;

static const struct fake_step *script;
static size_t script_left;
static bool powering_off;

static int create(struct vcpu *vcpu, hpa_t root, struct dram *dram)
{
        (void)vcpu;
        (void)root;
        (void)dram;
        fake.vcpus++;
        return 0;
}

static void destroy(struct vcpu *vcpu)
{
        (void)vcpu;
        fake.vcpus--;
}

static void get_state(struct vcpu *vcpu, struct vcpu_state *state)
{
        (void)vcpu;
        *state = fake.state;
}

static uint64_t get_cr4(struct vcpu *vcpu)
{
        (void)vcpu;
        return fake.state.cr4;
}

static void set_state(struct vcpu *vcpu, const struct vcpu_state *state)
{
        (void)vcpu;
        fake.state = *state;
        fake.skips_at_set = fake.skips;
}

static void set_xcr0(struct vcpu *vcpu, uint64_t value)
{
        (void)vcpu;
        fake.xcr0_writes++;
        fake.xcr0 = value;
}

static void power_off(struct vcpu *vcpu, struct vm_exit *exit)
{
        if (powering_off)
                panic("the run goes on after the guest has powered off");
        powering_off = true;
        memcpy(fake.regs, vcpu->regs, sizeof fake.regs);
        vcpu->regs[REG_RAX] = S5_COMMAND;
        *exit = (struct vm_exit){
            .kind = VM_EXIT_IO,
            .io = {.port = PLATFORM_ACPI_PM_PORT + ACPI_PM_SLEEP_CONTROL, .size = 1}};
}

/* As a real backend: what the fast handlers answer does not come out of run. */
static bool answered(struct vcpu *vcpu, const struct fake_step *step)
{
        switch (step->exit.kind) {
        case VM_EXIT_CPUID:
                vcpu->fast.cpuid(vcpu);
                return true;
        case VM_EXIT_HYPERCALL:
                return vcpu->fast.hypercall(vcpu, step->cpl);
        case VM_EXIT_MSR_READ:
                return vcpu->fast.msr_read(vcpu);
        default:
                return false;
        }
}

static void run(struct vcpu *vcpu, struct vm_exit *exit)
{
        while (script_left) {
                const struct fake_step *step = script++;

                script_left--;
                vcpu->regs[REG_RAX] = step->rax;
                vcpu->regs[REG_RCX] = step->rcx;
                vcpu->regs[REG_RDX] = step->rdx;
                *exit = step->exit;
                if (!answered(vcpu, step))
                        return;
                fake.skips++;
        }
        power_off(vcpu, exit);
}

static void load(struct vcpu *vcpu)
{
        (void)vcpu;
}

static bool inject_nmi(struct vcpu *vcpu)
{
        (void)vcpu;
        fake.nmis++;
        return true;
}

static void flush_tlb(struct vcpu *vcpu)
{
        (void)vcpu;
        fake.flushes++;
}

/* The step that powers off is not the script's. */
static void skip(struct vcpu *vcpu)
{
        (void)vcpu;
        if (!powering_off)
                fake.skips++;
}

static void advance(struct vcpu *vcpu, unsigned bytes)
{
        (void)vcpu;
        fake.advanced += bytes;
}

static void inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
        (void)vcpu;
        if (error)
                panic("no exception of the policy has an error code");
        fake.exceptions++;
        fake.exception = vector;
}

static void inject_page_fault(struct vcpu *vcpu, uint64_t gva, uint32_t error)
{
        (void)vcpu;
        fake.exceptions++;
        fake.exception = VECTOR_PF;
        fake.state.cr2 = gva;
        fake.error = error;
}

static void inject_irq(struct vcpu *vcpu, uint8_t vector)
{
        (void)vcpu;
        if (fake.irqs_blocked)
                panic("an interrupt is injected that the guest cannot take");
        fake.irqs++;
        fake.irq = vector;
}

static bool can_take_irq(struct vcpu *vcpu)
{
        (void)vcpu;
        return !fake.irqs_blocked;
}

static void want_irq_window(struct vcpu *vcpu, bool on)
{
        (void)vcpu;
        fake.window = on;
}

static void offer_irq(struct vcpu *vcpu, uint8_t vector)
{
        (void)vcpu;
        fake.offered = vector;
}

static bool offer_waits(struct vcpu *vcpu)
{
        (void)vcpu;
        return fake.offered != 0;
}

static int apic_create(struct vcpu *vcpu)
{
        (void)vcpu;
        return 0;
}

static void apic_reset(struct vcpu *vcpu)
{
        (void)vcpu;
        fake.apic_resets++;
        memset(fake.apic, 0, sizeof fake.apic);
}

static void apic_stop(struct vcpu *vcpu)
{
        (void)vcpu;
        fake.apic_stops++;
}

static void apic_set(struct vcpu *vcpu, unsigned reg, uint64_t value)
{
        (void)vcpu;
        fake.apic[reg] = value;
}

static void apic_raise(struct vcpu *vcpu, uint8_t vector, bool level)
{
        (void)vcpu;
        fake.apic_irqs++;
        fake.irq = vector;
        fake.level = level;
}

static bool apic_irq_waits(struct vcpu *vcpu)
{
        (void)vcpu;
        return fake.apic_irqs != 0;
}

static const struct virt_apic_ops fake_apic_ops = {
    .create = apic_create,
    .reset = apic_reset,
    .stop = apic_stop,
    .set = apic_set,
    .raise = apic_raise,
    .irq_waits = apic_irq_waits,
};

static void set_deadline(struct vcpu *vcpu, uint64_t tsc)
{
        (void)vcpu;
        fake.deadline = tsc;
}

static const struct virt_ops fake_ops = {
    .name = "fake",
    .second_level = &paging_ept,
    .vcpu_create = create,
    .vcpu_destroy = destroy,
    .load = load,
    .unload = load,
    .get_cr4 = get_cr4,
    .get_state = get_state,
    .set_state = set_state,
    .set_xcr0 = set_xcr0,
    .run = run,
    .skip = skip,
    .advance = advance,
    .inject_exception = inject_exception,
    .inject_page_fault = inject_page_fault,
    .inject_irq = inject_irq,
    .inject_nmi = inject_nmi,
    .can_take_irq = can_take_irq,
    .want_irq_window = want_irq_window,
    .offer_irq = offer_irq,
    .offer_waits = offer_waits,
    .set_deadline = set_deadline,
    .flush_tlb = flush_tlb,
    .apic = &fake_apic_ops,
};

uint32_t lapic_id(void)
{
        return 0;
}

void lapic_eoi(void)
{
}

void trap_wait_interrupt(void)
{
        __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

void trap_set_irq(uint8_t vector, trap_irq_fn fn)
{
        (void)vector;
        (void)fn;
}

static void *to_ptr(hpa_t hpa)
{
        return (void *)hpa.v;
}

static void put(uint8_t *file, unsigned at, uint64_t v, unsigned bytes)
{
        memcpy(file + at, &v, bytes);
}

/* The smallest bzImage that the loader takes; offsets as in Linux's boot.rst. */
static const uint8_t *make_kernel(void)
{
        static uint8_t file[FILE_SIZE];

        put(file, 0x1f1, 1, 1);
        put(file, 0x1f4, CODE_SIZE / 16, 4);
        put(file, 0x1fe, 0xaa55, 2);
        put(file, 0x200, 0x6aeb, 2);
        put(file, 0x202, 0x53726448, 4);
        put(file, 0x206, 0x20f, 2);
        put(file, 0x211, 1, 1);
        put(file, 0x230, 2 * MiB, 4);
        put(file, 0x236, 1, 2);
        put(file, 0x238, 2047, 4);
        put(file, 0x258, 2 * MiB, 8);
        put(file, 0x260, CODE_SIZE, 4);
        return file;
}

static void *memory;
static struct dram dram;
static struct vm_machine machine;
static struct vm_config config;
static struct sched sched;
static bool attention;

static void kick(unsigned cpu)
{
        (void)cpu;
}

static bool service(void)
{
        return false;
}

/* As cpus_turn, on a machine of one CPU. */
void fake_turn(void)
{
        struct sched_entity *e = sched_pick(&sched, 0, cpu_rdtsc());
        static const enum sched_state state[] = {
            [VCPU_READY] = SCHED_READY, [VCPU_BLOCKED] = SCHED_BLOCKED, [VCPU_STOPPED] = SCHED_OFF};
        struct vm_vcpu *v;

        if (!e)
                return;
        v = (struct vm_vcpu *)((char *)e - offsetof(struct vm_vcpu, sched));
        sched_put(&sched, 0, state[vcpu_run(v, 0)], SCHED_NEVER, cpu_rdtsc());
}

void fake_vm_create(struct vm *vm)
{
        memory = aligned_alloc(PAGE_2M, MEMORY);
        dram_init(&dram, to_ptr);
        if (!memory || dram_add_range(&dram, HPA((uint64_t)memory), MEMORY) || dram_start(&dram))
                panic("no memory for the test's VM");
        memset(&fake, 0, sizeof fake);
        virt = &fake_ops;
        virt_caps = (struct virt_caps){
            .page_max = PAGE_2M, .rdtscp = true, .invpcid = true, .fast_strings = true};
        sched_init(&sched, 1, UINT64_MAX / 2);
        machine = (struct vm_machine){.dram = &dram,
                                      .tsc_khz = 1000000,
                                      .address_bits = 40,
                                      .sched = &sched,
                                      .kick = kick,
                                      .service = service,
                                      .attention = &attention};
        config = (struct vm_config){
            .name = "test", .module = 1, .startable = true, .mem = VM_MEMORY, .vcpus = 1};
        config.kernel = (struct config_file){HPA((uint64_t)make_kernel()), FILE_SIZE};
        if (vm_create(vm, &config, &machine))
                panic("the test's VM is refused");
}

void fake_vm_destroy(struct vm *vm)
{
        vm_destroy(vm);
        if (fake.vcpus)
                panic("a vCPU is left behind");
        free(memory);
}

const struct vm_machine *fake_vm_machine(void)
{
        return &machine;
}

const struct vm_config *fake_vm_config(void)
{
        return &config;
}

void fake_load(const struct fake_step *steps, size_t count)
{
        uint64_t apic[ARRAY_LEN(fake.apic)];

        memcpy(apic, fake.apic, sizeof apic);
        fake = (struct fake_virt){.state = fake.state,
                                  .irqs_blocked = fake.irqs_blocked,
                                  .window = fake.window,
                                  .offered = fake.offered,
                                  .vcpus = fake.vcpus};
        memcpy(fake.apic, apic, sizeof apic);
        script = steps;
        script_left = count;
        powering_off = false;
}

enum vm_end fake_play(struct vm *vm, const struct fake_step *steps, size_t count)
{
        fake_load(steps, count);
        vm->end = VM_RUNNING;
        while (vcpu_run(vm->vcpu[0], 0) != VCPU_STOPPED) {
                fake.halts++;
                vm->vcpu[0]->activity = VCPU_RUNS;
        }
        return vm->end;
}
