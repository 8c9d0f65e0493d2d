/*
 * Power control of a hardware-reduced ACPI platform (ACPI 6.5, 4.8.3.7 and 4.8.3.6): the sleep
 * control, sleep status and reset registers, one byte each, in one small port range.
 */
#pragma once

#include "guest/dev/bus.h"
#include "hv/lib/types.h"

/* Offsets in the range; the FADT must name the same ports and the reset value. */
#define ACPI_PM_SLEEP_CONTROL 0
#define ACPI_PM_SLEEP_STATUS  1
#define ACPI_PM_RESET         4
#define ACPI_PM_PORTS         5

#define ACPI_PM_SLP_TYP_S5  5 /* what the \_S5 package must hold */
#define ACPI_PM_RESET_VALUE 0x06

enum acpi_pm_event { ACPI_PM_POWER_OFF, ACPI_PM_RESTART };

struct acpi_pm {
        void *ctx;
        void (*event)(void *ctx, enum acpi_pm_event event);
};

/* event is required; it is called from within the guest's write. */
void acpi_pm_init(struct acpi_pm *pm, void *ctx,
                  void (*event)(void *ctx, enum acpi_pm_event event));

/* The handler for ACPI_PM_PORTS ports. */
struct bus_handler acpi_pm_handler(struct acpi_pm *pm);
