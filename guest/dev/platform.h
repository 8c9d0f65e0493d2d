/*
 * The virtual platform: every guest-physical address, port and interrupt that a guest's tables and
 * the device models must agree on. Only plain numbers, so that anything can include it.
 */
#pragma once

/* I/O ports */
#define PLATFORM_COM1_PORT    0x3f8
#define PLATFORM_ACPI_PM_PORT 0x600  /* sleep control +0, sleep status +1, reset +4: acpi_pm.h */
#define PLATFORM_PCI_PORT     0xcf8  /* configuration address; data at +4 */
#define PLATFORM_PCI_IO_BASE  0xc000 /* the PCI bus' window of ports */
#define PLATFORM_PCI_IO_SIZE  0x1000

/* Interrupts: pins of the I/O APIC, which are the global system interrupts from 0 */
#define PLATFORM_COM1_IRQ 4

/* Interrupt controllers */
#define PLATFORM_IOAPIC_ID   0
#define PLATFORM_IOAPIC_BASE 0xfec00000ull
#define PLATFORM_LAPIC_BASE  0xfee00000ull

/*
 * Guest RAM starts at 0; what does not fit below the hole for devices goes on at 4 GiB. NVRAM
 * regions follow, each on a 1 GiB border so that the largest pages fit.
 */
#define PLATFORM_RAM_LOW_END   0xc0000000ull
#define PLATFORM_PCI_BASE      0xe0000000ull /* the PCI bus' window, in the hole for devices */
#define PLATFORM_PCI_SIZE      0x10000000ull
#define PLATFORM_RAM_HIGH_BASE 0x100000000ull

/* The first MiB: what the loader prepares for the kernel, and the area no kernel takes as RAM */
#define PLATFORM_PAGE_TABLES  0x10000ull /* PML4, PDPT and four page directories */
#define PLATFORM_BOOT_PARAMS  0x16000ull
#define PLATFORM_GDT          0x17000ull
#define PLATFORM_CMDLINE      0x18000ull
#define PLATFORM_CMDLINE_SIZE 0x1000ull
#define PLATFORM_BIOS_BASE    0xa0000ull
#define PLATFORM_ACPI_BASE    0xe0000ull /* the RSDP stands first: found by a scan, too */
#define PLATFORM_ACPI_SIZE    0x4000ull
#define PLATFORM_RESET_VECTOR 0xffff0ull /* F000:FFF0, where a PC restarts */
#define PLATFORM_BIOS_END     0x100000ull
