/*
 * ACPI tables of the machine: finds and checks them and extracts what the hypervisor needs (FADT,
 * the S5 state, HPET, MADT). Read-only; every length comes from firmware and is believed only as
 * far as it was checked. References are to the ACPI specification 6.4.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

/* No table is believed to be longer. */
#define ACPI_TABLE_MAX (16 * MiB)

/*
 * How the parsers reach memory: map returns a pointer to len readable bytes at addr, valid while
 * the tables are in use, or NULL when they cannot be reached.
 */
struct acpi_memory {
        const void *(*map)(void *ctx, hpa_t addr, size_t len);
        void *ctx;
};

/* Every system description table starts with this, 5.2.6. */
struct acpi_header {
        char signature[4];
        uint32_t length; /* of the whole table */
        uint8_t revision;
        uint8_t checksum; /* makes the sum of all bytes 0 */
        char oem_id[6];
        char oem_table_id[8];
        uint32_t oem_revision;
        uint32_t creator_id;
        uint32_t creator_revision;
} __attribute__((packed));

struct acpi_tables {
        struct acpi_memory memory;
        const uint8_t *entries;  /* addresses in the RSDT or XSDT, little-endian, unaligned */
        unsigned count, left;    /* those looked at, and those beyond ACPI_TABLES_MAX */
        unsigned entry_bytes;    /* 4: RSDT, 8: XSDT */
        unsigned out_of_reach;   /* entries that memory.map did not give: never found */
        hpa_t first_unreachable; /* the first of them */
};

enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1 };

/*
 * A register, from a Generic Address Structure (5.2.3.2) or an I/O port field; none: address 0. One
 * in memory lies below 4 GiB, others are taken for none.
 */
struct acpi_register {
        uint8_t space; /* enum acpi_space; other spaces exist and are not usable here */
        uint8_t bits;
        uint64_t address;
};

/*
 * What is used of the FADT (5.2.9), and of the DSDT. All zero describes a PC. Hardware-reduced ACPI
 * (4.1) has sleep_control alone, and none of the registers of PM1, PM timer and SMI.
 */
struct acpi_fadt {
        bool no_8042, no_rtc; /* boot architecture flags, 5.2.9.3 */
        struct acpi_register sleep_control;
        struct acpi_register pm1a_control, pm1b_control;
        struct acpi_register pm_timer;
        bool pm_timer_32bit;        /* else it counts 24 bits */
        struct acpi_register reset; /* address 0 when the machine does not support it */
        uint8_t reset_value;
        uint16_t smi_command; /* port; 0: always in ACPI mode */
        uint8_t acpi_enable;  /* value for smi_command that enters ACPI mode */
        uint8_t rtc_century;  /* CMOS index of the century; 0: none */
        hpa_t dsdt;
        bool s5_valid;                /* the two values below were found */
        bool s5_unchecked;            /* in a DSDT whose checksum is wrong */
        int dsdt_error;               /* as of acpi_find_table; 0: it can be read */
        uint8_t s5_type_a, s5_type_b; /* SLP_TYP for soft off, 7.4.2.6 */
};

struct acpi_cpu {
        uint32_t apic_id;
};

struct acpi_ioapic {
        hpa_t base;
        uint32_t gsi_base; /* the global system interrupt of its pin 0 */
        uint8_t id;
};

/* An ISA interrupt that is not wired as ISA says, 5.2.12.5. */
struct acpi_override {
        uint8_t isa_irq;
        uint32_t gsi;
        bool level, active_low;
};

/* The MADT (5.2.12). What the arrays have no room for is counted in the *_left. */
struct acpi_madt {
        hpa_t lapic_base;
        bool has_8259;
        unsigned cpu_count, ioapic_count, override_count;
        unsigned cpus_left, ioapics_left, overrides_left;
        struct acpi_cpu cpus[ACPI_CPUS_MAX]; /* enabled ones only, each once */
        struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
        struct acpi_override overrides[ACPI_OVERRIDES_MAX];
};

/* A little-endian number of up to 8 bytes at any alignment. */
static inline uint64_t acpi_read_le(const uint8_t *p, unsigned bytes)
{
        uint64_t v = 0;

        while (bytes-- != 0)
                v = v << 8 | p[bytes];
        return v;
}

/*
 * Start from a copy of the RSDP of len bytes (20 for ACPI 1.0, 36 since 2.0; a multiboot2 tag 14 or
 * 15 holds one). memory is copied. Returns 0; -EINVAL for a bad RSDP; -EFAULT, -EBADMSG as
 * acpi_find_table for the RSDT or XSDT.
 */
must_check int acpi_open(struct acpi_tables *t, const struct acpi_memory *memory, const void *rsdp,
                         size_t len);

/*
 * Find the nth (from 0) table with a signature; *table then points at table->length readable bytes
 * with a right checksum. Returns 0; -ENOENT when there is none; -EFAULT when it is out of reach;
 * -EBADMSG for a bad length or checksum.
 */
must_check int acpi_find_table(const struct acpi_tables *t, const char *signature, unsigned nth,
                               const struct acpi_header **table);

/*
 * Read the FADT, and S5's values from the DSDT it names or an SSDT (a missing or bad DSDT is no
 * error: s5_valid stays false; one that has only a wrong checksum is asked last). Errors as
 * acpi_find_table.
 */
must_check int acpi_read_fadt(const struct acpi_tables *t, struct acpi_fadt *fadt);

/* Why the machine cannot be switched off, in words; NULL: it can, as far as the tables tell. */
const char *acpi_power_off_missing(const struct acpi_fadt *fadt);

/*
 * Read where the registers of the HPET are (IA-PC HPET specification 1.0a, 3.2.4), always in
 * memory. Errors as acpi_find_table; -EBADMSG also for a table that does not tell it.
 */
must_check int acpi_read_hpet(const struct acpi_tables *t, struct acpi_register *base);

/*
 * Read the MADT. Errors as acpi_find_table; -EBADMSG also for an entry with a bad length. After an
 * error *madt tells of nothing.
 */
must_check int acpi_read_madt(const struct acpi_tables *t, struct acpi_madt *madt);
