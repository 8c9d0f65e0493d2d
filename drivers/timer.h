/*
 * The TSC's frequency, measured against a second clock: the ACPI PM timer, else channel 2 of the
 * 8254. CPUID leaves 15h and 16h are not believed: machines exist where they are wrong.
 */
#pragma once

#include "drivers/acpi.h"

#define TIMER_PM_HZ  3579545u
#define TIMER_PIT_HZ 1193182u

/*
 * Begin the measurement; takes microseconds. fadt may be NULL (no ACPI). The CPU must stay the same
 * until timer_calibrate_finish.
 */
void timer_calibrate_start(const struct acpi_fadt *fadt);

/*
 * End the measurement: waits only for what is missing to 10 ms since the start. Writes the
 * frequency in kHz. Returns 0, or -EIO when no clock moves.
 */
must_check int timer_calibrate_finish(uint32_t *tsc_khz);

/*
 * kHz of a TSC that made tsc cycles while a clock of hz made ticks; 0 when ticks or the result is
 * out of range.
 */
uint32_t timer_khz(uint64_t tsc, uint64_t ticks, uint32_t hz);
