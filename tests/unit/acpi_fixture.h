/*
 * A machine's ACPI tables, made by hand, in memory of which every access is bounded. Each test
 * program has its own copy.
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "drivers/acpi.h"
#include "tests/unit/unit.h"

/* The machine's memory: tables at fixed places above BASE. */
#define BASE 0x7ff0000ull
#define SIZE 0x8000u
#define ROOT 0x0000u
#define FADT 0x0200u
#define DSDT 0x0400u
#define SSDT 0x0800u
#define MADT 0x1000u
#define MAPS 4096

static uint8_t memory[SIZE];
static uint8_t rsdp[36];
static void *maps[MAPS];
static unsigned map_count;

/*
 * Every mapping is a heap block of exactly the length asked for, so that the sanitizer sees each
 * byte read beyond what was mapped.
 */
static const void *map(void *ctx, hpa_t addr, size_t len)
{
        void *copy;

        (void)ctx;
        if (addr.v < BASE || addr.v - BASE > SIZE || len > SIZE - (addr.v - BASE) ||
            map_count == MAPS)
                return NULL;
        copy = malloc(len);
        memcpy(copy, memory + (addr.v - BASE), len);
        maps[map_count++] = copy;
        return copy;
}

static const struct acpi_memory reach = {.map = map};

static void unmap_all(void)
{
        while (map_count != 0)
                free(maps[--map_count]);
}

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
        for (unsigned i = 0; i < bytes; i++)
                p[i] = (uint8_t)(v >> 8 * i);
}

static void fix_sum(uint8_t *p, size_t n, uint8_t *checksum)
{
        uint8_t sum = 0;

        *checksum = 0;
        for (size_t i = 0; i < n; i++)
                sum = (uint8_t)(sum + p[i]);
        *checksum = (uint8_t)-sum;
}

static void seal(unsigned at, const char *signature, uint32_t length)
{
        memcpy(memory + at, signature, 4);
        put(memory + at + 4, length, 4);
        fix_sum(memory + at, length, memory + at + 9);
}

static void seal_rsdp(void)
{
        fix_sum(rsdp, 20, rsdp + 8);
        fix_sum(rsdp, 36, rsdp + 32);
}

static void make_rsdp(uint8_t revision)
{
        memset(rsdp, 0, sizeof(rsdp));
        memcpy(rsdp, "RSD PTR ", 8);
        rsdp[15] = revision;
        put(rsdp + (revision >= 2 ? 24 : 16), BASE + ROOT, revision >= 2 ? 8 : 4);
        put(rsdp + 20, 36, 4);
        seal_rsdp();
}

/* Root table over FADT, MADT and SSDT, with entries of 4 or 8 bytes. */
static void make_root(unsigned entry)
{
        static const unsigned at[] = {FADT, MADT, SSDT};

        for (unsigned i = 0; i < 3; i++)
                put(memory + ROOT + 36 + i * entry, BASE + at[i], entry);
        seal(ROOT, entry == 8 ? "XSDT" : "RSDT", 36 + 3 * entry);
}

/* An ACPI 1.0 FADT: 116 bytes, ports only. */
static void make_fadt(void)
{
        uint8_t *f = memory + FADT;

        put(f + 40, BASE + DSDT, 4);
        put(f + 46, 9, 2);
        put(f + 48, 0xb2, 4);
        f[52] = 0xf1;
        put(f + 64, 0xb004, 4);
        put(f + 76, 0xb008, 4);
        f[108] = 0x32;
        seal(FADT, "FACP", 116);
}

static void make_aml(unsigned at, const char *signature, const void *aml, uint32_t n)
{
        memset(memory + at + 36, 0xa5, 64);
        memcpy(memory + at + 36 + 7, aml, n);
        seal(at, signature, 36 + 7 + n);
}

#define S5_QEMU "\x08_S5_\x12\x06\x04\x00\x00\x00\x00"

/* clang-format off */
static const uint8_t madt_entries[] = {
        0, 8, 1, 0, 1, 0, 0, 0,                           /* CPU, APIC ID 0 */
        0, 8, 2, 4, 1, 0, 0, 0,                           /* CPU, APIC ID 4 */
        0, 8, 3, 5, 0, 0, 0, 0,                           /* not enabled */
        9, 16, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,  /* APIC ID 4 again */
        9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 77, 0, 0, 0, /* APIC ID 256 */
        1, 12, 3, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,        /* I/O APIC */
        2, 10, 0, 0, 2, 0, 0, 0, 5, 0,                    /* ISA 0 is GSI 2, edge, high */
        2, 10, 0, 4, 20, 0, 0, 0, 15, 0,                  /* ISA 4 is GSI 20, level, low */
        2, 10, 1, 5, 20, 0, 0, 0, 15, 0,                  /* a bus that does not exist */
        2, 10, 0, 16, 20, 0, 0, 0, 15, 0,                 /* no ISA interrupt */
        0x80, 3, 0,                                       /* somebody's own */
        5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0,        /* local APICs are elsewhere */
};
/* clang-format on */

static void make_madt(void)
{
        put(memory + MADT + 36, 0xfee00000, 4);
        put(memory + MADT + 40, 1, 4);
        memcpy(memory + MADT + 44, madt_entries, sizeof(madt_entries));
        seal(MADT, "APIC", 44 + sizeof(madt_entries));
}

static void make_machine(void)
{
        memset(memory, 0, sizeof(memory));
        make_rsdp(2);
        make_root(8);
        make_fadt();
        make_aml(DSDT, "DSDT", S5_QEMU, sizeof(S5_QEMU) - 1);
        make_aml(SSDT, "SSDT", "nothing", 7);
        make_madt();
}

static struct acpi_tables open_machine(void)
{
        struct acpi_tables t;

        CHECK_EQ(acpi_open(&t, &reach, rsdp, sizeof(rsdp)), 0);
        return t;
}
