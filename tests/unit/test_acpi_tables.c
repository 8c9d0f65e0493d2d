/*
 * A guest's ACPI tables, read back by the parsers that read the machine's own tables, and byte by
 * byte where those have no interest.
 */
#include "guest/load/acpi_tables.h"

#include "drivers/acpi.h"
#include "guest/dev/acpi_pm.h"
#include "guest/dev/platform.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

static uint8_t area[PLATFORM_ACPI_SIZE];
static uint64_t used;

static const void *map_area(void *ctx, hpa_t addr, size_t len)
{
        (void)ctx;
        if (addr.v < PLATFORM_ACPI_BASE || addr.v - PLATFORM_ACPI_BASE > used ||
            len > used - (addr.v - PLATFORM_ACPI_BASE))
                return NULL;
        return area + (addr.v - PLATFORM_ACPI_BASE);
}

static struct acpi_tables open_tables(unsigned vcpus)
{
        const struct acpi_memory memory = {map_area, NULL};
        struct acpi_tables tables;

        memset(area, 0xee, sizeof area);
        CHECK_EQ(acpi_tables_build(area, sizeof area, GPA(PLATFORM_ACPI_BASE), vcpus, &used), 0);
        CHECK_EQ(acpi_open(&tables, &memory, area, 36), 0);
        return tables;
}

static uint8_t sum(const void *data, size_t len)
{
        uint8_t total = 0;

        for (size_t i = 0; i < len; i++)
                total = (uint8_t)(total + ((const uint8_t *)data)[i]);
        return total;
}

static const uint8_t *table(const struct acpi_tables *tables, const char *signature)
{
        const struct acpi_header *header = NULL;

        CHECK_EQ(acpi_find_table(tables, signature, 0, &header), 0);
        CHECK_EQ(sum(header, header->length), 0);
        return (const uint8_t *)header;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
        uint64_t v = 0;

        memcpy(&v, p, bytes);
        return v;
}

static void test_rsdp(void)
{
        open_tables(1);
        CHECK(memcmp(area, "RSD PTR ", 8) == 0);
        CHECK_EQ(sum(area, 20), 0);
        CHECK_EQ(sum(area, 36), 0);
        CHECK_EQ(area[15], 2);
        CHECK(used <= sizeof area && area[used] == 0xee);
}

static void test_fadt(void)
{
        struct acpi_tables tables = open_tables(1);
        const uint8_t *p = table(&tables, "FACP");
        struct acpi_fadt fadt;

        CHECK_EQ(p[8], 6);                     /* revision */
        CHECK_EQ(get(p + 4, 4), 276);          /* length */
        CHECK_EQ(get(p + 109, 2), 0x24);       /* no VGA, no CMOS clock, no 8042 */
        CHECK_EQ(get(p + 112, 4), 0x100431);   /* hardware-reduced, reset register */
        CHECK_EQ(get(p + 244, 4), 0x01000801); /* sleep control: byte of I/O */
        CHECK_EQ(get(p + 248, 8), PLATFORM_ACPI_PM_PORT);
        CHECK_EQ(get(p + 256, 4), 0x01000801);
        CHECK_EQ(get(p + 260, 8), PLATFORM_ACPI_PM_PORT + 1);
        CHECK_EQ(acpi_read_fadt(&tables, &fadt), 0);
        CHECK_EQ(fadt.reset.space, ACPI_SPACE_IO);
        CHECK_EQ(fadt.reset.address, PLATFORM_ACPI_PM_PORT + ACPI_PM_RESET);
        CHECK_EQ(fadt.reset_value, ACPI_PM_RESET_VALUE);
        CHECK_EQ(fadt.pm1a_control.address, 0);
        CHECK_EQ(fadt.smi_command, 0);
        CHECK(fadt.s5_valid);
        CHECK_EQ(fadt.s5_type_a, ACPI_PM_SLP_TYP_S5);
}

static void test_madt(void)
{
        struct acpi_tables tables = open_tables(3);
        struct acpi_madt madt;

        static const uint8_t nmi[] = {4, 6, 0xff, 0, 0, 1}; /* all CPUs, LINT1 */
        const uint8_t *p = table(&tables, "APIC");

        CHECK_EQ(get(p + 4, 4), 44 + 3 * 8 + 12 + 6);
        CHECK(memcmp(p + 44 + 3 * 8 + 12, nmi, sizeof nmi) == 0);
        CHECK_EQ(acpi_read_madt(&tables, &madt), 0);
        CHECK_EQ(madt.lapic_base.v, PLATFORM_LAPIC_BASE);
        CHECK(!madt.has_8259);
        CHECK_EQ(madt.cpu_count, 3);
        CHECK_EQ(madt.cpus[2].apic_id, 2);
        CHECK_EQ(madt.ioapic_count, 1);
        CHECK_EQ(madt.ioapics[0].base.v, PLATFORM_IOAPIC_BASE);
        CHECK_EQ(madt.ioapics[0].gsi_base, 0);
        CHECK_EQ(madt.ioapics[0].id, PLATFORM_IOAPIC_ID);
        CHECK_EQ(madt.override_count, 0);
}

static bool dsdt_holds(const uint8_t *bytes, size_t len)
{
        for (const uint8_t *p = dsdt_aml; p + len <= dsdt_aml_end; p++)
                if (memcmp(p, bytes, len) == 0)
                        return true;
        return false;
}

/* A window of the PCI bus: minimum, maximum, translation, length, each of `width` bytes; ACPI 6.5,
 * 6.4.3.5. */
static bool dsdt_has_window(uint64_t base, uint64_t size, unsigned width)
{
        const uint64_t number[] = {base, base + size - 1, 0, size};
        uint8_t bytes[32];

        for (unsigned i = 0; i < 4 * width; i++)
                bytes[i] = (uint8_t)(number[i / width] >> 8 * (i % width));
        return dsdt_holds(bytes, 4 * width);
}

/* The resources of the serial port as descriptors, ACPI 6.5, 6.4.2.5 and 6.4.3.6. */
static void test_dsdt(void)
{
        const uint8_t port[] = {0x47,
                                1,
                                PLATFORM_COM1_PORT & 0xff,
                                PLATFORM_COM1_PORT >> 8,
                                PLATFORM_COM1_PORT & 0xff,
                                PLATFORM_COM1_PORT >> 8,
                                0,
                                8};
        /* consumer, edge, active high, exclusive; one interrupt */
        const uint8_t irq[] = {0x89, 6, 0, 0x03, 1, PLATFORM_COM1_IRQ, 0, 0, 0};
        const uint8_t pnp0501[] = {0x0c, 0x41, 0xd0, 0x05, 0x01};
        const uint8_t pnp0a03[] = {0x0c, 0x41, 0xd0, 0x0a, 0x03};
        struct acpi_tables tables = open_tables(1);
        struct acpi_fadt fadt;

        CHECK_EQ(acpi_read_fadt(&tables, &fadt), 0);
        CHECK(memcmp(map_area(NULL, fadt.dsdt, 36), dsdt_aml, 36) == 0);
        CHECK_EQ(sum(dsdt_aml, (size_t)(dsdt_aml_end - dsdt_aml)), 0);
        CHECK(dsdt_holds(port, sizeof port));
        CHECK(dsdt_holds(irq, sizeof irq));
        CHECK(dsdt_holds(pnp0501, sizeof pnp0501));
        CHECK(dsdt_holds(pnp0a03, sizeof pnp0a03));
        CHECK(dsdt_has_window(PLATFORM_PCI_IO_BASE, PLATFORM_PCI_IO_SIZE, 2));
        CHECK(dsdt_has_window(PLATFORM_PCI_BASE, PLATFORM_PCI_SIZE, 4));
}

/* Every size that is too small is refused without a byte written past it. */
static void test_small_buffers(void)
{
        open_tables(1);
        for (uint64_t size = 0, need = used; size < need; size++) {
                uint8_t *small = malloc(size ? size : 1);

                CHECK_EQ(acpi_tables_build(small, size, GPA(0), 1, &used), -ENOSPC);
                free(small);
        }
        CHECK_EQ(acpi_tables_build(area, sizeof area, GPA(0), 0, &used), -EINVAL);
        CHECK_EQ(acpi_tables_build(area, sizeof area, GPA(0), 255, &used), -EINVAL);
        CHECK_EQ(acpi_tables_build(area, sizeof area, GPA(0), 254, &used), 0);
}

static void test_write(void)
{
        static uint8_t ram[0x100000];
        struct gmem mem = {.count = 0};

        CHECK_EQ(acpi_tables_write(&mem, 1), -EFAULT);
        CHECK_EQ(gmem_add(&mem, GPA(0), sizeof ram, ram), 0);
        CHECK_EQ(acpi_tables_write(&mem, 1), 0);
        CHECK(memcmp(ram + PLATFORM_ACPI_BASE, "RSD PTR ", 8) == 0);
}

/* With $ACPI_DUMP set: the tables as a file, to be looked at with acpica-tools. */
static void dump(const char *path)
{
        FILE *f = fopen(path, "wb");

        open_tables(1);
        if (f && fwrite(area, 1, used, f) == used)
                printf("# wrote %s\n", path);
        if (f)
                fclose(f);
}

int main(void)
{
        RUN(test_rsdp);
        RUN(test_fadt);
        RUN(test_madt);
        RUN(test_dsdt);
        RUN(test_small_buffers);
        RUN(test_write);
        if (getenv("ACPI_DUMP"))
                dump(getenv("ACPI_DUMP"));
        return unit_done();
}
