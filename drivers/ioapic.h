/*
 * The machine's I/O APICs (Intel 82093AA): which interrupt line reaches a CPU with which vector.
 * (A guest's is guest/dev/vioapic.h.)
 */
#pragma once

#include "drivers/acpi.h"

/*
 * Take over the I/O APICs of the MADT and mask all their pins. madt is copied from. Returns the
 * number of I/O APICs, or -ENODEV when there is none.
 */
must_check int ioapic_init(const struct acpi_madt *madt);

/*
 * Route an ISA interrupt (0 to 15) to the CPU with this APIC ID and unmask it: its pin, level and
 * polarity come from the MADT's overrides. -ENOENT: no I/O APIC has it; -ERANGE: the CPU's APIC ID
 * is above 254, for which an I/O APIC has no name without a remapping of interrupts.
 */
must_check int ioapic_route_isa(uint8_t irq, uint8_t vector, uint32_t apic_id);

/*
 * Put the two 8259s out of the way: mask all 16 lines, and move them to vectors vector to vector +
 * 15 (a multiple of 8) so that a spurious interrupt cannot be mistaken for an exception.
 */
void pic_disable(uint8_t vector);
