/*
 * The TSC's frequency, measured against a second clock: the ACPI PM timer, else the HPET, else
 * channel 2 of the 8254. CPUID leaf 15h is believed only where none of them moves: machines exist
 * where it is wrong.
 */
#pragma once

#include "drivers/acpi.h"

#define TIMER_PM_HZ  3579545u
#define TIMER_PIT_HZ 1193182u

/*
 * Begin the measurement; takes microseconds. A register with address 0 is not there. One in memory
 * must be mapped now and in timer_calibrate_finish; until then the CPU must stay the same.
 */
void timer_calibrate_start(const struct acpi_fadt *fadt, const struct acpi_register *hpet);

/*
 * End the measurement: waits only for what is missing to 10 ms since the start. Writes the
 * frequency in kHz, and the name of what told it. Returns 0, or -EIO when no clock moves and CPUID
 * does not tell.
 */
must_check int timer_calibrate_finish(uint32_t *tsc_khz, const char **by);

/* Ticks a second of an HPET with these capabilities (register 0), 0 when it is none. */
uint32_t timer_hpet_hz(uint64_t capabilities);

/* kHz of a TSC by CPUID leaf 15h's EAX, EBX and ECX, 0 when it does not tell (SDM vol. 2A). */
uint32_t timer_cpuid_khz(uint32_t eax, uint32_t ebx, uint32_t ecx);

/*
 * kHz of a TSC that made tsc cycles while a clock of hz made ticks; 0 when ticks or the result is
 * out of range.
 */
uint32_t timer_khz(uint64_t tsc, uint64_t ticks, uint32_t hz);
