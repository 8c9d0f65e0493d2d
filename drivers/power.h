/* Power-off and reset of the real machine. */
#pragma once

#include "drivers/acpi.h"

/* Tell what ACPI offers: fadt is copied. Without this call the machine is taken for a PC. */
void power_init(const struct acpi_fadt *fadt);

/*
 * Switch the machine off: ACPI S5 (7.4.2.6), by PM1 or hardware-reduced ACPI's register, then the
 * port Bochs has for it. Returns, with interrupts off, when the machine has stayed on.
 */
void power_off(void);

/*
 * Reset the machine: FADT reset register, port CF9h, keyboard controller if there is one, triple
 * fault.
 */
_Noreturn void power_reset(void);
