/* Power-off and reset of the real machine. */
#pragma once

#include "drivers/acpi.h"

/* Tell what ACPI offers: fadt is copied. Without this call the PC's legacy ways are used. */
void power_init(const struct acpi_fadt *fadt);

/*
 * Switch the machine off: ACPI S5 (7.4.2.6), then the port Bochs has for it. A machine that can do
 * neither stops with its CPU halted.
 */
_Noreturn void power_off(void);

/* Reset the machine: FADT reset register, port CF9h, keyboard controller, triple fault. */
_Noreturn void power_reset(void);
