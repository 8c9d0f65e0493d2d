/*
 * The machine's I/O APICs (Intel 82093AA): which interrupt line reaches a CPU with which vector.
 * (A guest's is guest/dev/ioapic.h.)
 */
#pragma once

#include "drivers/acpi.h"

struct host_ioapic_route {
        uint8_t vector;
        bool level, active_low;
        uint32_t apic_id; /* destination, physical */
};

/*
 * Take over the I/O APICs of the MADT and mask all their pins. madt is copied from. Returns the
 * number of I/O APICs, or -ENODEV when there is none.
 */
must_check int host_ioapic_init(const struct acpi_madt *madt);

/*
 * Route a global system interrupt and unmask it. -ENOENT: no I/O APIC has it; -ERANGE: the CPU's
 * APIC ID is above 254, for which an I/O APIC has no name without a remapping of interrupts.
 */
must_check int host_ioapic_route(uint32_t gsi, const struct host_ioapic_route *route);

/*
 * Route an ISA interrupt (0 to 15): its pin, level and polarity come from the MADT's overrides, the
 * rest from the arguments. Errors as host_ioapic_route.
 */
must_check int host_ioapic_route_isa(uint8_t irq, uint8_t vector, uint32_t apic_id);

/* Mask a global system interrupt. Returns 0, or -ENOENT when no I/O APIC has it. */
must_check int host_ioapic_mask(uint32_t gsi);
