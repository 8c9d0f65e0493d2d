/* This CPU's own local APIC. */
#include "drivers/lapic.h"

#include "drivers/lapic_regs.h"
#include "hv/cpu.h"

#define X2APIC_MSR         0x800
#define CPUID_ECX_X2APIC   (1u << 21)
#define CPUID_ECX_DEADLINE (1u << 24)
#define LVT_MASKED         (1u << 16)
#define LVT_TSC_DEADLINE   (1u << 18)

/* the timer's rate is measured for so long, by so many looks */
#define TIMER_DIVIDE_BY_1 0xbu
#define RATE_TICKS        2000000ull
#define RATE_LOOKS        8

#define SPURIOUS_ENABLE   (1u << 8)
#define ICR_SELF          (1u << 18)
#define ICR_ASSERT        (1u << 14)
#define ICR_NMI           (4u << 8)
#define ICR_INIT          (5u << 8)
#define ICR_STARTUP       (6u << 8)
#define ICR_PENDING       (1u << 12)
#define BASE_ADDRESS_MASK 0x000ffffffffff000ull

/* The same on every CPU, so one copy; xapic is NULL in x2APIC mode. */
static volatile uint32_t *xapic;

/* Of the hypervisor's own use of the timer: it takes TSC deadlines, or counts so fast. */
static bool has_deadline;
static uint64_t timer_rate; /* counts a TSC tick, times 2^32; 0: not measured yet */

static uint32_t reg_read(enum apic_register reg)
{
        if (xapic == NULL)
                return (uint32_t)cpu_rdmsr(X2APIC_MSR + reg);
        return xapic[4 * reg];
}

static void reg_write(enum apic_register reg, uint32_t value)
{
        if (xapic == NULL)
                cpu_wrmsr(X2APIC_MSR + reg, value);
        else
                xapic[4 * reg] = value;
}

static unsigned highest_lvt(void)
{
        return reg_read(APIC_REG_VERSION) >> 16 & 0xff;
}

void lapic_mask_all(void)
{
        /* the entries a local APIC has follow from how many it has (SDM vol. 3 10.4.8) */
        static const enum apic_register by_count[] = {APIC_REG_LVT_LINT0,   APIC_REG_LVT_LINT1,
                                                      APIC_REG_LVT_ERROR,   APIC_REG_LVT_PERF,
                                                      APIC_REG_LVT_THERMAL, APIC_REG_LVT_CMCI};
        unsigned highest = highest_lvt();

        reg_write(APIC_REG_LVT_TIMER, LVT_MASKED);
        for (unsigned i = 0; i < ARRAY_LEN(by_count) && i < highest; i++)
                reg_write(by_count[i], LVT_MASKED);
}

void lapic_take_nmi(void)
{
        reg_write(APIC_REG_LVT_LINT1, ICR_NMI);
}

void lapic_init(uint8_t vector)
{
        uint64_t base = cpu_rdmsr(MSR_APIC_BASE);

        /* x2APIC can only be entered from the enabled xAPIC state (SDM vol. 3 10.12.5) */
        if (!(base & APIC_BASE_ENABLE)) {
                base |= APIC_BASE_ENABLE;
                cpu_wrmsr(MSR_APIC_BASE, base);
        }
        if (cpu_cpuid(1, 0).ecx & CPUID_ECX_X2APIC) {
                xapic = NULL;
                if (!(base & APIC_BASE_X2APIC))
                        cpu_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
        } else {
                xapic = (volatile uint32_t *)(uintptr_t)(base & BASE_ADDRESS_MASK);
        }
        reg_write(APIC_REG_SVR, vector | SPURIOUS_ENABLE);
        lapic_mask_all();
        reg_write(APIC_REG_TPR, 0);
        reg_write(APIC_REG_ESR, 0);
}

uint32_t lapic_id(void)
{
        uint32_t id = reg_read(APIC_REG_ID);

        return xapic == NULL ? id : id >> 24;
}

void lapic_eoi(void)
{
        reg_write(APIC_REG_EOI, 0);
}

/* The xAPIC loses a command written while the last one is on its way. */
static void send(uint32_t apic_id, uint32_t command)
{
        if (xapic == NULL) {
                cpu_wrmsr(X2APIC_MSR + APIC_REG_ICR, (uint64_t)apic_id << 32 | command);
                return;
        }
        while (xapic[4 * APIC_REG_ICR] & ICR_PENDING)
                cpu_pause();
        xapic[4 * APIC_REG_ICR_HIGH] = apic_id << 24;
        xapic[4 * APIC_REG_ICR] = command;
}

void lapic_send_self(uint8_t vector)
{
        if (xapic == NULL) {
                cpu_wrmsr(X2APIC_MSR + APIC_REG_SELF_IPI, vector);
                return;
        }
        send(0, ICR_SELF | ICR_ASSERT | vector);
}

void lapic_send(uint32_t apic_id, uint8_t vector)
{
        send(apic_id, ICR_ASSERT | vector);
}

void lapic_send_nmi(uint32_t apic_id)
{
        send(apic_id, ICR_ASSERT | ICR_NMI);
}

void lapic_send_init(uint32_t apic_id)
{
        send(apic_id, ICR_ASSERT | ICR_INIT);
}

void lapic_send_startup(uint32_t apic_id, uint8_t page)
{
        send(apic_id, ICR_ASSERT | ICR_STARTUP | page);
}

/* Counts of the timer a TSC tick, times 2^32; the narrowest of some looks at both clocks counts. */
static uint64_t measure_rate(void)
{
        uint64_t first = cpu_rdtsc(), tsc = RATE_TICKS, narrowest = UINT64_MAX;
        uint32_t counted = 0;

        reg_write(APIC_REG_TIMER_INITIAL, UINT32_MAX);
        while (cpu_rdtsc() - first < RATE_TICKS)
                cpu_pause();
        for (unsigned i = 0; i < RATE_LOOKS; i++) {
                uint64_t before = cpu_rdtsc();
                uint32_t now = reg_read(APIC_REG_TIMER_CURRENT);
                uint64_t width = cpu_rdtsc() - before;

                if (width < narrowest) {
                        narrowest = width;
                        tsc = before + width / 2 - first;
                        counted = UINT32_MAX - now;
                }
        }
        reg_write(APIC_REG_TIMER_INITIAL, 0);
        return ((uint64_t)counted << 32) / tsc;
}

void lapic_timer_init(uint8_t vector)
{
        has_deadline = cpu_cpuid(1, 0).ecx & CPUID_ECX_DEADLINE;
        if (has_deadline) {
                reg_write(APIC_REG_LVT_TIMER, LVT_TSC_DEADLINE | vector);
                __asm__ volatile("mfence" : : : "memory"); /* SDM vol. 3 10.5.4.1, xAPIC mode */
                cpu_wrmsr(MSR_TSC_DEADLINE, 0);
                return;
        }
        reg_write(APIC_REG_LVT_TIMER, LVT_MASKED | vector);
        reg_write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
        if (!timer_rate)
                timer_rate = measure_rate();
        reg_write(APIC_REG_LVT_TIMER, vector);
}

/* In pieces when it is too far away: the caller sees that it was early. */
static uint32_t count_until(uint64_t tsc)
{
        uint64_t now = cpu_rdtsc(), ticks = tsc > now ? tsc - now : 0;
        uint64_t count;

        if (ticks > UINT32_MAX)
                ticks = UINT32_MAX;
        count = ticks * timer_rate >> 32;
        if (count > UINT32_MAX)
                count = UINT32_MAX;
        return count ? (uint32_t)count : 1;
}

void lapic_timer_set(uint64_t tsc)
{
        if (has_deadline)
                cpu_wrmsr(MSR_TSC_DEADLINE, tsc == UINT64_MAX ? 0 : tsc);
        else
                reg_write(APIC_REG_TIMER_INITIAL, tsc == UINT64_MAX ? 0 : count_until(tsc));
}

bool lapic_is_x2apic(void)
{
        return xapic == NULL;
}
