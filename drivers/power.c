/* Power-off and reset of the real machine. */
#include "drivers/power.h"

#include "hv/cpu.h"

/* PM1 control register, ACPI 4.8.3.2.1. */
#define PM1_SCI_EN     (1u << 0)
#define PM1_TYPE_SHIFT 10
#define PM1_TYPE_MASK  (7u << PM1_TYPE_SHIFT)
#define PM1_SLEEP_EN   (1u << 13)

/* Sleep control register of hardware-reduced ACPI, 4.8.3.7. */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_ENABLE     (1u << 5)

/* Reset control register of Intel chipsets, followed by everybody: 0 to 1 of bit 2 resets. */
#define CF9_PORT  0xcf9
#define CF9_HARD  0x02
#define CF9_RESET 0x06

#define KBC_COMMAND      0x64
#define KBC_INPUT_FULL   0x02
#define KBC_PULSE_RESET  0xfe
#define POST_PORT        0x80
#define BOCHS_POWER_PORT 0x8900

/* A read of the POST port takes about a microsecond everywhere. */
#define WAIT_LONG  500000u
#define WAIT_SHORT 20000u

static struct acpi_fadt fadt;

void power_init(const struct acpi_fadt *f)
{
        fadt = *f;
}

static void wait(unsigned reads)
{
        while (reads-- != 0)
                (void)cpu_inb(POST_PORT);
}

static void write8(const struct acpi_register *r, uint8_t value)
{
        if (r->space == ACPI_SPACE_IO)
                cpu_outb((uint16_t)r->address, value);
        else
                *(volatile uint8_t *)(uintptr_t)r->address = value;
}

static uint16_t read16(const struct acpi_register *r)
{
        if (r->space == ACPI_SPACE_IO)
                return cpu_inw((uint16_t)r->address);
        return *(volatile uint16_t *)(uintptr_t)r->address;
}

static void write16(const struct acpi_register *r, uint16_t value)
{
        if (r->space == ACPI_SPACE_IO)
                cpu_outw((uint16_t)r->address, value);
        else
                *(volatile uint16_t *)(uintptr_t)r->address = value;
}

/* The sleep bits work only in ACPI mode, which the firmware enters on demand (ACPI 4.8.2.5). */
static void enter_acpi_mode(void)
{
        if (fadt.smi_command == 0 || fadt.acpi_enable == 0)
                return;
        if (read16(&fadt.pm1a_control) & PM1_SCI_EN)
                return;
        cpu_outb(fadt.smi_command, fadt.acpi_enable);
        for (unsigned i = 0; i < WAIT_LONG; i++) {
                if (read16(&fadt.pm1a_control) & PM1_SCI_EN)
                        return;
        }
}

static void sleep_s5(const struct acpi_register *control, uint8_t type)
{
        unsigned value;

        if (control->address == 0)
                return;
        value = read16(control) & ~(PM1_TYPE_MASK | PM1_SLEEP_EN);
        write16(control, (uint16_t)(value | (unsigned)type << PM1_TYPE_SHIFT | PM1_SLEEP_EN));
}

static void enter_s5(void)
{
        if (fadt.sleep_control.address != 0) {
                write8(&fadt.sleep_control,
                       (uint8_t)((unsigned)fadt.s5_type_a << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
        } else if (fadt.pm1a_control.address != 0) {
                enter_acpi_mode();
                sleep_s5(&fadt.pm1a_control, fadt.s5_type_a);
                sleep_s5(&fadt.pm1b_control, fadt.s5_type_b);
        } else {
                return;
        }
        wait(WAIT_LONG);
}

void power_off(void)
{
        cpu_cli();
        if (fadt.s5_valid)
                enter_s5();
        for (const char *p = "Shutdown"; *p != '\0'; p++)
                cpu_outb(BOCHS_POWER_PORT, (uint8_t)*p);
}

static void reset_by_fadt(void)
{
        if (fadt.reset.address == 0)
                return;
        write8(&fadt.reset, fadt.reset_value);
        wait(WAIT_SHORT);
}

static void reset_by_keyboard_controller(void)
{
        if (fadt.no_8042)
                return;
        for (unsigned i = 0; i < WAIT_SHORT && (cpu_inb(KBC_COMMAND) & KBC_INPUT_FULL); i++)
                cpu_pause();
        cpu_outb(KBC_COMMAND, KBC_PULSE_RESET);
        wait(WAIT_SHORT);
}

/* With an empty interrupt descriptor table any exception ends in CPU shutdown. */
static void reset_by_triple_fault(void)
{
        const struct {
                uint16_t limit;
                uint64_t base;
        } __attribute__((packed)) empty = {0, 0};

        __asm__ volatile("lidt %0\n\tint3" : : "m"(empty));
}

_Noreturn void power_reset(void)
{
        cpu_cli();
        reset_by_fadt();
        cpu_outb(CF9_PORT, CF9_HARD);
        cpu_outb(CF9_PORT, CF9_RESET);
        wait(WAIT_SHORT);
        reset_by_keyboard_controller();
        reset_by_triple_fault();
        cpu_stop();
}
