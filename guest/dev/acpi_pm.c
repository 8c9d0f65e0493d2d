/* Power control of a hardware-reduced ACPI platform: three registers that end or restart the VM. */
#include "guest/dev/acpi_pm.h"

/* Sleep control, ACPI 6.5 table 4.19: SLP_TYP in bits 2-4, SLP_EN is bit 5 and reads 0. */
#define SLP_TYP(v) (((v) >> 2) & 7)
#define SLP_EN     0x20u

void acpi_pm_init(struct acpi_pm *pm, void *ctx, void (*event)(void *ctx, enum acpi_pm_event event))
{
        *pm = (struct acpi_pm){ctx, event};
}

static uint64_t handler_read(void *ctx, uint64_t offset, unsigned size)
{
        (void)ctx;
        (void)offset;
        (void)size;
        return 0; /* WAK_STS too: the VM never sleeps, so it never woke */
}

static void handler_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        struct acpi_pm *pm = ctx;

        (void)size; /* width 1 */
        if (offset == ACPI_PM_SLEEP_CONTROL && (value & SLP_EN) &&
            SLP_TYP(value) == ACPI_PM_SLP_TYP_S5)
                pm->event(pm->ctx, ACPI_PM_POWER_OFF);
        else if (offset == ACPI_PM_RESET && value == ACPI_PM_RESET_VALUE)
                pm->event(pm->ctx, ACPI_PM_RESTART);
}

struct bus_handler acpi_pm_handler(struct acpi_pm *pm)
{
        return (struct bus_handler){pm, handler_read, handler_write, 1};
}
