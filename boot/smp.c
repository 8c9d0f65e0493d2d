/* Starting the other CPUs; contract in smp.h. */
#include "boot/smp.h"

#include "drivers/lapic.h"
#include "hv/cpu.h"
#include "hv/features.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/percpu.h"
#include "hv/safety/harden.h"
#include "hv/safety/mitigate.h"
#include "hv/trap/alarm.h"
#include "hv/trap/mce.h"
#include "hv/trap/trap.h"
#include "hv/virt.h"

#define LOW_END       0xa0000ull /* where a start-up IPI can name RAM */
#define INIT_WAIT_US  10000u     /* SDM vol. 3 8.4.4.1 */
#define START_WAIT_US 200u
#define ANSWER_MS     2000u

#define XAPIC_EVERYBODY 255u /* an APIC ID */

/* entry.asm: the start code, what it loads into CR3 and RSP (taken with an exchange: 0 stops). */
extern const uint8_t smp_code[], smp_code_end[];
extern uint32_t smp_cr3;
extern uint64_t smp_stack;

/* Called by entry.asm on the new CPU's stack. */
_Noreturn void smp_main(void);

/* What the CPU that is being started needs and answers; one is started at a time. */
static struct {
        unsigned index;
        struct dram *dram;
        void (*work)(void);
        volatile int state; /* enum start_state */
        volatile uint64_t tsc;
        volatile int err; /* why it is refused */
} starting;

static uint32_t first_features[FEATURE_WORDS];

enum start_state { START_NONE, START_READY, START_REFUSED };

void smp_take_page(struct machine *m)
{
        for (uint64_t page = PAGE_4K; page < LOW_END && !m->smp_page; page += PAGE_4K) {
                const struct mem_range *r = memmap_find(&m->map, page);

                if (!r || r->kind != MEM_RAM || r->start + r->size < page + PAGE_4K)
                        continue;
                if (memmap_carve(&m->map, page, PAGE_4K, MEM_HYPERVISOR))
                        continue;
                m->smp_page = page;
                memcpy((void *)page, smp_code, (size_t)(smp_code_end - smp_code));
        }
}

static void wait_us(const struct machine *m, uint64_t us)
{
        uint64_t end = cpu_rdtsc() + us * m->tsc_khz / 1000;

        while (cpu_rdtsc() < end)
                cpu_pause();
}

static bool has_features(void)
{
        uint32_t here[FEATURE_WORDS];

        features_read(here, cpu_cpuid);
        return features_suffice(first_features, here, log_report, "smp: ");
}

_Noreturn void smp_main(void)
{
        struct cpu *cpu = &cpus[starting.index];

        percpu_init(starting.index);
        trap_init();
        lapic_init(TRAP_VECTOR_SPURIOUS);
        cpu->apic_id = lapic_id();
        alarm_init();
        harden_cpu();
        mitigate_init_cpu(false);
        mce_init_cpu();
        starting.err = has_features() ? virt_start_cpu(starting.dram) : -ENODEV;
        if (starting.err) {
                starting.state = START_REFUSED;
                cpu_stop();
        }
        starting.tsc = cpu_rdtsc();
        starting.state = START_READY;
        starting.work();
        panic("CPU %u has no work", cpu->index);
}

/* Whether it has begun: then it answers, or hangs in our own code. */
static bool has_begun(void)
{
        return __atomic_load_n(&smp_stack, __ATOMIC_RELAXED) == 0;
}

static void send_start(const struct machine *m, uint32_t apic_id)
{
        lapic_send_init(apic_id);
        wait_us(m, INIT_WAIT_US);
        for (unsigned i = 0; i < 2 && !has_begun(); i++) {
                lapic_send_startup(apic_id, (uint8_t)(m->smp_page / PAGE_4K));
                wait_us(m, START_WAIT_US);
        }
        for (unsigned ms = 0; ms < ANSWER_MS && !has_begun(); ms++)
                wait_us(m, 1000);
}

static bool start_one(struct machine *m, unsigned index, uint32_t apic_id)
{
        uint64_t before = cpu_rdtsc();

        starting.index = index;
        starting.state = START_NONE;
        __atomic_store_n(&smp_stack, (uint64_t)(percpu_stacks(index)->stack + CPU_STACK_SIZE),
                         __ATOMIC_SEQ_CST);
        send_start(m, apic_id);
        /* From here on it finds no stack, and stops by itself. */
        if (__atomic_exchange_n(&smp_stack, 0, __ATOMIC_SEQ_CST)) {
                printk(LOG_WARN,
                       "smp: the CPU with APIC ID %u does not answer within %lu ms: left out",
                       apic_id, (cpu_rdtsc() - before) / m->tsc_khz);
                return false;
        }
        while (starting.state == START_NONE)
                cpu_pause();
        if (starting.state == START_REFUSED) {
                printk(LOG_WARN, "smp: the CPU with APIC ID %u %s (error %d): left out", apic_id,
                       starting.err == -ENODEV ? "is not like the first" : "cannot be started",
                       -starting.err);
                return false;
        }
        if (starting.tsc < before || starting.tsc > cpu_rdtsc())
                printk(LOG_WARN, "smp: the TSC of the CPU with APIC ID %u is not that of the first",
                       apic_id);
        return true;
}

/* In xAPIC mode an ID has 8 bits, of which the highest is everybody: SDM vol. 3 10.6.1. */
static bool has_name(uint32_t apic_id)
{
        return lapic_is_x2apic() || apic_id < XAPIC_EVERYBODY;
}

/* Those that the MADT tells of; the one that booted counts even when it is not there. */
static unsigned count_told(const struct acpi_madt *madt)
{
        unsigned told = madt->cpu_count + madt->cpus_left;

        for (unsigned i = 0; i < madt->cpu_count; i++)
                if (madt->cpus[i].apic_id == cpus[0].apic_id)
                        return told;
        return told + 1;
}

static void start_others(struct machine *m)
{
        unsigned beyond = m->madt.cpus_left, nameless = 0;
        uint32_t first = 0;

        for (unsigned i = 0; i < m->madt.cpu_count; i++) {
                uint32_t apic_id = m->madt.cpus[i].apic_id;

                if (apic_id == cpus[0].apic_id)
                        continue;
                if (!has_name(apic_id))
                        first = nameless++ ? first : apic_id;
                else if (cpu_count == percpu_room())
                        beyond++;
                else if (start_one(m, cpu_count, apic_id))
                        cpu_count++;
        }
        if (nameless)
                printk(LOG_WARN,
                       "smp: %u CPUs are left out, the first with APIC ID %u: in xAPIC mode the "
                       "highest is %u",
                       nameless, first, XAPIC_EVERYBODY - 1);
        if (beyond)
                printk(LOG_WARN, "smp: %u CPUs are left out: at most %u are used", beyond,
                       percpu_room());
}

void smp_start(struct machine *m, void (*work)(void))
{
        unsigned told;

        cpus[0].apic_id = lapic_id();
        cpu_count = 1;
        starting.dram = &m->dram;
        starting.work = work;
        features_read(first_features, cpu_cpuid);
        smp_cr3 = (uint32_t)cpu_read_cr3();
        told = count_told(&m->madt);
        if (m->smp_page)
                start_others(m);
        else if (told > 1)
                printk(LOG_WARN, "smp: no RAM below 640 KiB: only one CPU is used");
        printk(LOG_NOTICE, "smp: %u of %u CPUs, local APIC in %s mode", cpu_count, told,
               lapic_is_x2apic() ? "x2APIC" : "xAPIC");
}
