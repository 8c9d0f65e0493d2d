/* The TSC's frequency, measured against the ACPI PM timer, the HPET or the 8254. */
#include "drivers/timer.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"

/* 8254 channel 2 and its gate, as the PC wires them for the speaker. */
#define PIT_CHANNEL2    0x42
#define PIT_CONTROL     0x43
#define PIT_CH2_MODE0   0xb0 /* low then high byte, mode 0, binary */
#define PIT_CH2_LATCH   0x80
#define PORT_B          0x61
#define PORT_B_GATE     0x01
#define PORT_B_SPEAKER  0x02
#define PORT_B_WRITABLE 0x0f

/* HPET registers, IA-PC HPET specification 1.0a 2.3. */
#define HPET_CAPABILITIES  0x000 /* bits 63:32: femtoseconds a tick */
#define HPET_CONFIG        0x010
#define HPET_COUNTER       0x0f0
#define HPET_CONFIG_ENABLE 0x01u
#define HPET_PERIOD_MAX    100000000u /* 2.3.4 */
#define FS_PER_SECOND      1000000000000000ull

#define CPUID_TSC_LEAF 0x15

#define WINDOWS_PER_SECOND 100 /* measure for 10 ms */

/* Bounds the wait for a clock that stands still: a hundred milliseconds of the fastest TSC. */
#define TSC_CYCLES_MAX 1000000000ull

/* No machine's TSC is slower; decides whether the second clock may have wrapped. */
#define TSC_HZ_MIN 50000000ull

struct clock {
        const char *name;
        uint32_t (*read)(void); /* a counter that counts up */
        uint32_t mask;          /* and wraps after this */
        uint32_t hz;
};

/* The same moment on both clocks. */
struct sample {
        uint64_t tsc;
        uint32_t ticks;
};

static struct acpi_register pm_timer, hpet;
static bool pm_timer_32bit;
static struct clock clock;
static struct sample start;

static uint32_t pm_read(void)
{
        if (pm_timer.space == ACPI_SPACE_IO)
                return cpu_inl((uint16_t)pm_timer.address);
        return *(volatile uint32_t *)(uintptr_t)pm_timer.address;
}

static uint32_t pit_read(void)
{
        unsigned count;

        cpu_outb(PIT_CONTROL, PIT_CH2_LATCH);
        count = cpu_inb(PIT_CHANNEL2);
        count |= (unsigned)cpu_inb(PIT_CHANNEL2) << 8;
        /* it counts down, and goes on from FFFFh after 0 */
        return 0xffff - count;
}

static uint32_t hpet_read(void)
{
        return *(volatile uint32_t *)(uintptr_t)(hpet.address + HPET_COUNTER);
}

static bool use_pm(void)
{
        if (pm_timer.address == 0)
                return false;
        clock = (struct clock){.name = "the ACPI PM timer",
                               .read = pm_read,
                               .mask = pm_timer_32bit ? 0xffffffff : 0xffffff,
                               .hz = TIMER_PM_HZ};
        return true;
}

uint32_t timer_hpet_hz(uint64_t capabilities)
{
        uint64_t period = capabilities >> 32;
        uint64_t hz = period == 0 || period > HPET_PERIOD_MAX ? 0 : FS_PER_SECOND / period;

        return hz > UINT32_MAX ? 0 : (uint32_t)hz;
}

/* Only its counter is switched on; whatever timers and interrupts the firmware has set stay. */
static bool use_hpet(void)
{
        volatile uint32_t *config = (volatile uint32_t *)(uintptr_t)(hpet.address + HPET_CONFIG);
        uint32_t hz;

        if (hpet.address == 0)
                return false;
        hz = timer_hpet_hz(*(volatile uint64_t *)(uintptr_t)(hpet.address + HPET_CAPABILITIES));
        if (hz == 0)
                return false;
        *config |= HPET_CONFIG_ENABLE;
        clock = (struct clock){.name = "the HPET", .read = hpet_read, .mask = 0xffffffff, .hz = hz};
        return true;
}

/* Nothing tells whether there is one: one that is absent stands still. */
static bool use_pit(void)
{
        uint8_t port_b = cpu_inb(PORT_B) & PORT_B_WRITABLE;

        cpu_outb(PORT_B, (uint8_t)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE));
        cpu_outb(PIT_CONTROL, PIT_CH2_MODE0);
        cpu_outb(PIT_CHANNEL2, 0xff);
        cpu_outb(PIT_CHANNEL2, 0xff);
        clock = (struct clock){
            .name = "the 8254", .read = pit_read, .mask = 0xffff, .hz = TIMER_PIT_HZ};
        return true;
}

/* The best first. */
static bool (*const choice[])(void) = {use_pm, use_hpet, use_pit};
static unsigned chosen;

/* Of some tries the narrowest is taken, so that an SMI or a hypervisor below does not count. */
static struct sample take_sample(void)
{
        struct sample best = {0};
        uint64_t best_width = UINT64_MAX;

        for (int i = 0; i < 4; i++) {
                uint64_t before = cpu_rdtsc();
                uint32_t ticks = clock.read();
                uint64_t width = cpu_rdtsc() - before;

                if (width < best_width) {
                        best_width = width;
                        best = (struct sample){.tsc = before + width / 2, .ticks = ticks};
                }
        }
        return best;
}

static uint32_t ticks_since_start(uint32_t ticks)
{
        return (ticks - start.ticks) & clock.mask;
}

uint32_t timer_khz(uint64_t tsc, uint64_t ticks, uint32_t hz)
{
        uint64_t khz;

        if (ticks == 0 || tsc > UINT64_MAX / hz)
                return 0;
        khz = tsc * hz / ticks / 1000;
        return khz > UINT32_MAX ? 0 : (uint32_t)khz;
}

uint32_t timer_cpuid_khz(uint32_t eax, uint32_t ebx, uint32_t ecx)
{
        uint64_t khz = eax == 0 ? 0 : (uint64_t)ecx * ebx / eax / 1000;

        return khz > UINT32_MAX ? 0 : (uint32_t)khz;
}

/* Begin with the clock at or behind chosen that the machine has; false when none is left. */
static bool begin(void)
{
        while (chosen < ARRAY_LEN(choice) && !choice[chosen]())
                chosen++;
        if (chosen == ARRAY_LEN(choice))
                return false;
        start = take_sample();
        return true;
}

void timer_calibrate_start(const struct acpi_fadt *fadt, const struct acpi_register *hpet_base)
{
        pm_timer = fadt->pm_timer;
        pm_timer_32bit = fadt->pm_timer_32bit;
        hpet = *hpet_base;
        chosen = 0;
        (void)begin();
}

/* Measure from start until the window is over; 0 when the clock does not get there. */
static uint32_t measure(void)
{
        uint32_t window = clock.hz / WINDOWS_PER_SECOND;
        uint64_t since = cpu_rdtsc();

        while (ticks_since_start(clock.read()) < window) {
                if (cpu_rdtsc() - since > TSC_CYCLES_MAX)
                        return 0;
                cpu_pause();
        }
        struct sample now = take_sample();

        return timer_khz(now.tsc - start.tsc, ticks_since_start(now.ticks), clock.hz);
}

static uint32_t ask_cpuid(void)
{
        struct cpuid_regs r = cpu_leaf(CPUID_TSC_LEAF);

        return timer_cpuid_khz(r.eax, r.ebx, r.ecx);
}

int timer_calibrate_finish(uint32_t *tsc_khz, const char **by)
{
        uint64_t unambiguous = (uint64_t)clock.mask * TSC_HZ_MIN / clock.hz;

        if (cpu_rdtsc() - start.tsc > unambiguous)
                start = take_sample();
        do {
                *by = clock.name;
                *tsc_khz = measure();
                if (*tsc_khz != 0)
                        return 0;
                chosen++;
        } while (begin());
        *by = "CPUID leaf 15h";
        *tsc_khz = ask_cpuid();
        return *tsc_khz == 0 ? -EIO : 0;
}
