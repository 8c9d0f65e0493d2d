/*
 * The ACPI tables of a VM: hardware-reduced ACPI (ACPI 6.5, 4.1), so that a guest looks for no
 * legacy PC device: RSDP, XSDT, FADT, MADT, and the DSDT of guest/load/dsdt.asl.
 */
#pragma once

#include "guest/mem/gmem.h"
#include "hv/lib/types.h"

/* The compiled guest/load/dsdt.asl and its end, linked in by guest/load/dsdt.mk. */
extern const uint8_t dsdt_aml[], dsdt_aml_end[];

/*
 * Build the tables for vcpus virtual CPUs with APIC IDs from 0 into buf, to stand at base in the
 * guest, the RSDP first. Returns 0 with the bytes used in *used; -ENOSPC when size is too small;
 * -EINVAL for no vCPU or more than 254.
 */
must_check int acpi_tables_build(void *buf, uint64_t size, gpa_t base, unsigned vcpus,
                                 uint64_t *used);

/* The same at PLATFORM_ACPI_BASE of a guest. -EFAULT also when its memory has no room there. */
must_check int acpi_tables_write(const struct gmem *mem, unsigned vcpus);
