/*
 * This CPU's own timer interrupt, from its local APIC: it ends a guest's run or the CPU's rest.
 */
#pragma once

#include "hv/lib/types.h"

/* On each CPU behind lapic_init. */
void alarm_init(void);

/* Come once at this TSC value, or a little early; at once if it has passed; UINT64_MAX: never. */
void alarm_set(uint64_t tsc);
