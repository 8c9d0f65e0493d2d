/* The TSC's frequency, measured against the ACPI PM timer or the 8254. */
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

#define WINDOWS_PER_SECOND 100 /* measure for 10 ms */

/* Bounds the wait for a clock that stands still, not the measurement. */
#define POLLS_MAX 10000000u

/* No machine's TSC is slower; decides whether the second clock may have wrapped. */
#define TSC_HZ_MIN 50000000ull

struct clock {
        uint32_t (*read)(void); /* a counter that counts up */
        uint32_t mask;          /* and wraps after this */
        uint32_t hz;
};

/* The same moment on both clocks. */
struct sample {
        uint64_t tsc;
        uint32_t ticks;
};

static struct acpi_register pm_timer;
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

static void use_pm(const struct acpi_fadt *fadt)
{
        pm_timer = fadt->pm_timer;
        clock = (struct clock){.read = pm_read,
                               .mask = fadt->pm_timer_32bit ? 0xffffffff : 0xffffff,
                               .hz = TIMER_PM_HZ};
}

static void use_pit(void)
{
        uint8_t port_b = cpu_inb(PORT_B) & PORT_B_WRITABLE;

        cpu_outb(PORT_B, (uint8_t)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE));
        cpu_outb(PIT_CONTROL, PIT_CH2_MODE0);
        cpu_outb(PIT_CHANNEL2, 0xff);
        cpu_outb(PIT_CHANNEL2, 0xff);
        clock = (struct clock){.read = pit_read, .mask = 0xffff, .hz = TIMER_PIT_HZ};
}

/* Of some tries the narrowest is taken, so that an SMI or a preempted host does not count. */
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

void timer_calibrate_start(const struct acpi_fadt *fadt)
{
        if (fadt != NULL && fadt->pm_timer.address != 0)
                use_pm(fadt);
        else
                use_pit();
        start = take_sample();
}

/* Measure from start until the window is over; 0 when the clock does not get there. */
static uint32_t measure(void)
{
        uint32_t window = clock.hz / WINDOWS_PER_SECOND;

        for (unsigned i = 0; i < POLLS_MAX; i++) {
                struct sample now;

                if (ticks_since_start(clock.read()) < window) {
                        cpu_pause();
                        continue;
                }
                now = take_sample();
                return timer_khz(now.tsc - start.tsc, ticks_since_start(now.ticks), clock.hz);
        }
        return 0;
}

int timer_calibrate_finish(uint32_t *tsc_khz)
{
        uint64_t unambiguous = (uint64_t)clock.mask * TSC_HZ_MIN / clock.hz;

        if (cpu_rdtsc() - start.tsc > unambiguous)
                start = take_sample();
        *tsc_khz = measure();
        if (*tsc_khz == 0 && clock.read == pm_read) {
                use_pit();
                start = take_sample();
                *tsc_khz = measure();
        }
        return *tsc_khz == 0 ? -EIO : 0;
}
