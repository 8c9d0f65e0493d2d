/* ACPI tables made by hand: what is read from good ones, and that bad ones are refused. */
#include "tests/unit/acpi_fixture.h"

static void test_rsdp_and_roots(void)
{
        struct acpi_tables t;
        const struct acpi_header *h;

        make_machine();
        t = open_machine();
        CHECK_EQ(t.count, 3);
        CHECK_EQ(acpi_find_table(&t, "SSDT", 0, &h), 0);
        CHECK_EQ(h->length, 50);
        CHECK_EQ(acpi_find_table(&t, "SSDT", 1, &h), -ENOENT);
        CHECK_EQ(acpi_find_table(&t, "NFIT", 0, &h), -ENOENT);
        /* ACPI 1.0: 20 bytes and an RSDT */
        make_rsdp(0);
        make_root(4);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 20), 0);
        CHECK_EQ(acpi_find_table(&t, "APIC", 0, &h), 0);
        /* an XSDT that cannot be read: the RSDT serves */
        make_rsdp(0);
        rsdp[15] = 2;
        put(rsdp + 24, BASE + SIZE, 8);
        seal_rsdp();
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), 0);
        CHECK_EQ(t.entry_bytes, 4);
        unmap_all();
}

static void test_bad_rsdp_and_roots(void)
{
        struct acpi_tables t;

        make_machine();
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 19), -EINVAL);
        rsdp[9]++;
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EINVAL);
        rsdp[9]--;
        rsdp[0] = 'r';
        seal_rsdp();
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EINVAL);
        make_rsdp(2);
        memory[ROOT + 10]++;
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EBADMSG);
        seal(ROOT, "JUNK", 60);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EBADMSG);
        seal(ROOT, "XSDT", 36);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), 0);
        CHECK_EQ(t.count, 0);
        /* a root full of nothing: only so many entries are believed */
        seal(ROOT, "XSDT", 36 + 8 * 400);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), 0);
        CHECK_EQ(t.count, ACPI_TABLES_MAX);
        put(memory + ROOT + 4, 35, 4);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EBADMSG);
        put(memory + ROOT + 4, 0xffffffff, 4);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EBADMSG);
        put(memory + ROOT + 4, SIZE + 1, 4);
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EFAULT);
        put(rsdp + 24, UINT64_MAX - 8, 8);
        seal_rsdp();
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 36), -EFAULT);
        make_rsdp(0);
        put(rsdp + 16, 0, 4);
        seal_rsdp();
        CHECK_EQ(acpi_open(&t, &reach, rsdp, 20), -EFAULT);
        unmap_all();
}

static void test_fadt_of_acpi1(void)
{
        struct acpi_tables t;
        struct acpi_fadt f;

        make_machine();
        t = open_machine();
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        CHECK_EQ(f.pm1a_control.address, 0xb004);
        CHECK_EQ(f.pm1a_control.space, ACPI_SPACE_IO);
        CHECK_EQ(f.pm1b_control.address, 0);
        CHECK_EQ(f.pm_timer.address, 0xb008);
        CHECK(!f.pm_timer_32bit);
        CHECK_EQ(f.reset.address, 0);
        CHECK_EQ(f.smi_command, 0xb2);
        CHECK_EQ(f.acpi_enable, 0xf1);
        CHECK_EQ(f.rtc_century, 0x32);
        CHECK_EQ(f.dsdt.v, BASE + DSDT);
        CHECK(f.s5_valid);
        unmap_all();
}

static void test_fadt_of_acpi6(void)
{
        struct acpi_tables t;
        struct acpi_fadt f;
        uint8_t *p = memory + FADT;

        make_machine();
        put(p + 112, 1u << 8 | 1u << 10, 4);
        put(p + 116, 0x0801, 2); /* I/O, 8 bits */
        put(p + 120, 0xcf9, 8);
        p[128] = 0x0f;
        put(p + 40, 0x1234, 4);
        put(p + 140, BASE + DSDT, 8);
        put(p + 172, 0x1000, 2); /* memory */
        put(p + 176, 0xfed80804, 8);
        put(p + 208, 0x2002, 2); /* PCI space cannot be used: the port is */
        put(p + 212, 0x608, 8);
        seal(FADT, "FACP", 244);
        t = open_machine();
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        CHECK(f.pm_timer_32bit);
        CHECK_EQ(f.reset.space, ACPI_SPACE_IO);
        CHECK_EQ(f.reset.address, 0xcf9);
        CHECK_EQ(f.reset_value, 0x0f);
        CHECK_EQ(f.pm1a_control.space, ACPI_SPACE_MEMORY);
        CHECK_EQ(f.pm1a_control.address, 0xfed80804);
        CHECK_EQ(f.pm_timer.space, ACPI_SPACE_IO);
        CHECK_EQ(f.pm_timer.address, 0xb008);
        CHECK_EQ(f.dsdt.v, BASE + DSDT);
        CHECK(f.s5_valid);
        unmap_all();
}

static struct acpi_fadt read_fadt(uint8_t revision)
{
        struct acpi_tables t;
        struct acpi_fadt f;

        memory[FADT + 8] = revision;
        seal(FADT, "FACP", 276);
        t = open_machine();
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        unmap_all();
        return f;
}

/* What the boot architecture flags do not say about an older table is as on a PC. */
static void test_boot_flags(void)
{
        static const struct {
                uint8_t revision;
                uint16_t flags;
                bool no_8042, no_rtc;
        } row[] = {
            {1, 0x20, false, false}, {2, 0x20, true, false},  {4, 0x22, false, false},
            {5, 0x22, false, true},  {6, 0x02, false, false}, {6, 0x20, true, true},
        };

        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
                struct acpi_fadt f;

                make_machine();
                put(memory + FADT + 109, row[i].flags, 2);
                f = read_fadt(row[i].revision);
                CHECK_EQ(f.no_8042, row[i].no_8042);
                CHECK_EQ(f.no_rtc, row[i].no_rtc);
        }
}

static void test_reduced_hardware(void)
{
        struct acpi_fadt f;

        make_machine();
        put(memory + FADT + 112, 1u << 20, 4);
        put(memory + FADT + 244, 0x0800, 2);
        put(memory + FADT + 248, 0xfea00004, 8);
        f = read_fadt(6);
        CHECK_EQ(f.sleep_control.address, 0xfea00004);
        CHECK_EQ(f.sleep_control.space, ACPI_SPACE_MEMORY);
        CHECK_EQ(f.pm1a_control.address, 0);
        CHECK_EQ(f.pm_timer.address, 0);
        CHECK_EQ(f.smi_command, 0);
        CHECK(f.s5_valid);
        f = read_fadt(4); /* the flag is reserved there */
        CHECK_EQ(f.sleep_control.address, 0);
        CHECK_EQ(f.pm1a_control.address, 0xb004);
}

/* Registers that cannot be reached are taken for none: ports have 16 bits, memory is below 4 GiB.
 */
static void test_registers_out_of_reach(void)
{
        uint8_t *p = memory + FADT;
        struct acpi_fadt f;

        make_machine();
        put(p + 112, 1u << 10, 4);
        put(p + 116, 0x0800, 2);
        put(p + 120, 0xfffffffc, 8);
        put(p + 172, 0x1000, 2);
        put(p + 176, 1ull << 32, 8);
        put(p + 76, 0x1b008, 4);
        f = read_fadt(6);
        CHECK_EQ(f.reset.address, 0);
        CHECK_EQ(f.pm1a_control.address, 0xb004); /* as the port */
        CHECK_EQ(f.pm1a_control.space, ACPI_SPACE_IO);
        CHECK_EQ(f.pm_timer.address, 0);
        put(p + 120, 0xfffffff8, 8);
        f = read_fadt(6);
        CHECK_EQ(f.reset.address, 0xfffffff8);
}

static void test_hpet(void)
{
        static const struct {
                uint16_t space;
                uint64_t base;
                uint32_t length;
                int err;
        } row[] = {
            {0x4000, 0xfed00000, 56, 0},        {0x4001, 0x400, 56, -EBADMSG},
            {0x4000, 0, 56, -EBADMSG},          {0x4000, 1ull << 32, 56, -EBADMSG},
            {0x4000, 0xfed00000, 50, -EBADMSG},
        };

        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
                struct acpi_register base = {.address = 1};
                struct acpi_tables t;

                make_machine();
                t = open_machine();
                CHECK_EQ(acpi_read_hpet(&t, &base), -ENOENT);
                CHECK_EQ(base.address, 0);
                put(memory + SSDT + 40, row[i].space, 2);
                put(memory + SSDT + 44, row[i].base, 8);
                seal(SSDT, "HPET", row[i].length);
                CHECK_EQ(acpi_read_hpet(&t, &base), row[i].err);
                CHECK_EQ(base.address, row[i].err ? 0 : row[i].base);
                unmap_all();
        }
}

static void test_madt(void)
{
        struct acpi_tables t;
        struct acpi_madt m;

        make_machine();
        t = open_machine();
        CHECK_EQ(acpi_read_madt(&t, &m), 0);
        CHECK_EQ(m.cpu_count, 3);
        CHECK_EQ(m.cpus[1].apic_id, 4);
        CHECK_EQ(m.cpus[2].apic_id, 256);
        CHECK_EQ(m.ioapic_count, 1);
        CHECK_EQ(m.ioapics[0].base.v, 0xfec00000);
        CHECK_EQ(m.ioapics[0].id, 3);
        CHECK_EQ(m.override_count, 2);
        CHECK_EQ(m.overrides[0].gsi, 2);
        CHECK(!m.overrides[0].level && !m.overrides[0].active_low);
        CHECK_EQ(m.overrides[1].isa_irq, 4);
        CHECK(m.overrides[1].level && m.overrides[1].active_low);
        CHECK_EQ(m.lapic_base.v, 0x1fee00000);
        CHECK(m.has_8259);
        CHECK_EQ(m.cpus_left + m.ioapics_left + m.overrides_left, 0);
        unmap_all();
}

static void check_madt_entries(const void *entries, uint32_t n, int want)
{
        struct acpi_tables t;
        struct acpi_madt m;

        make_machine();
        memcpy(memory + MADT + 44, entries, n);
        seal(MADT, "APIC", 44 + n);
        t = open_machine();
        CHECK_EQ(acpi_read_madt(&t, &m), want);
        CHECK(!want || m.cpu_count + m.ioapic_count + m.override_count == 0);
        unmap_all();
}

/* The IDs that mean all CPUs stand for none: firmware has them in the entries of empty sockets. */
static void test_madt_nobody(void)
{
        /* clang-format off */
        static const uint8_t entries[] = {
                0, 8, 0, 0, 1, 0, 0, 0,
                0, 8, 1, 0xff, 1, 0, 0, 0,
                0, 8, 2, 1, 1, 0, 0, 0,
                0, 8, 3, 0xff, 1, 0, 0, 0,
                0, 8, 4, 1, 1, 0, 0, 0,                                       /* a second time */
                9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 5, 0, 0, 0,
                9, 16, 0, 0, 0xff, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0,           /* a CPU's: x2APIC */
        };
        /* clang-format on */
        struct acpi_tables t;
        struct acpi_madt m;

        make_machine();
        memcpy(memory + MADT + 44, entries, sizeof entries);
        seal(MADT, "APIC", 44 + sizeof entries);
        t = open_machine();
        CHECK_EQ(acpi_read_madt(&t, &m), 0);
        CHECK_EQ(m.cpu_count, 3);
        CHECK_EQ(m.cpus[0].apic_id, 0);
        CHECK_EQ(m.cpus[1].apic_id, 1);
        CHECK_EQ(m.cpus[2].apic_id, 0xff);
        CHECK_EQ(m.cpus_left, 0);
        unmap_all();
}

/* Each kind of entry beyond its array is counted. */
static void test_madt_too_many(void)
{
        uint8_t *e = memory + MADT + 44;
        struct acpi_tables t;
        struct acpi_madt m;

        make_machine();
        for (unsigned i = 0; i < ACPI_CPUS_MAX + 3; i++, e += 16) {
                memcpy(e, (uint8_t[]){9, 16}, 2);
                put(e + 4, i, 4);
                put(e + 8, 1, 4);
        }
        for (unsigned i = 0; i < ACPI_IOAPICS_MAX + 2; i++, e += 12)
                memcpy(e, (uint8_t[]){1, 12}, 2);
        for (unsigned i = 0; i < ACPI_OVERRIDES_MAX + 1; i++, e += 10)
                memcpy(e, (uint8_t[]){2, 10}, 2);
        seal(MADT, "APIC", (uint32_t)(e - (memory + MADT)));
        t = open_machine();
        CHECK_EQ(acpi_read_madt(&t, &m), 0);
        CHECK_EQ(m.cpu_count, ACPI_CPUS_MAX);
        CHECK_EQ(m.cpus[ACPI_CPUS_MAX - 1].apic_id, ACPI_CPUS_MAX - 1);
        CHECK_EQ(m.cpus_left, 3);
        CHECK_EQ(m.ioapics_left, 2);
        CHECK_EQ(m.overrides_left, 1);
        unmap_all();
}

static void test_madt_bad_entries(void)
{
        struct acpi_tables t;
        struct acpi_madt m;

        check_madt_entries("", 0, 0);
        check_madt_entries("\x80\x00", 2, -EBADMSG); /* would loop for ever */
        check_madt_entries("\x00\x08\x00\x00\x01\x00\x00\x00\x80\x01", 10, -EBADMSG);
        check_madt_entries("\x80\x01", 2, -EBADMSG);
        check_madt_entries("\x80\x02\x80", 3, -EBADMSG);
        check_madt_entries("\x80\x04\x00", 3, -EBADMSG);
        for (unsigned type = 0; type <= 9; type++) {
                uint8_t entry[16] = {(uint8_t)type};
                unsigned min = type == 0 ? 8 : type == 2 ? 10 : type == 9 ? 16 : 12;

                if (type > 2 && type != 5 && type != 9)
                        continue;
                entry[1] = (uint8_t)min;
                check_madt_entries(entry, min, 0);
                entry[1]--;
                check_madt_entries(entry, min - 1, -EBADMSG);
        }
        make_machine();
        seal(MADT, "APIC", 40);
        t = open_machine();
        CHECK_EQ(acpi_read_madt(&t, &m), -EBADMSG);
        unmap_all();
}

/* Tables where nothing is mapped are counted, with the first of them; the others are found. */
static void test_out_of_reach(void)
{
        const uint64_t far = 5 * GiB, wrapping = UINT64_MAX - 8;
        const struct acpi_header *h;
        struct acpi_tables t;

        make_machine();
        make_rsdp(2);
        make_root(8);
        t = open_machine();
        CHECK_EQ(t.out_of_reach, 0);
        put(memory + ROOT + 36 + 8, far, 8);
        put(memory + ROOT + 36 + 16, wrapping, 8);
        seal(ROOT, "XSDT", 36 + 3 * 8);
        t = open_machine();
        CHECK_EQ(t.out_of_reach, 2);
        CHECK_EQ(t.first_unreachable.v, far);
        CHECK_EQ(acpi_find_table(&t, "FACP", 0, &h), 0);
        CHECK_EQ(acpi_find_table(&t, "APIC", 0, &h), -ENOENT);
        unmap_all();
}

/* Random damage under right checksums: nothing may be read out of bounds, and every call returns.
 */
static void test_random_damage(void)
{
        static const unsigned at[] = {ROOT, FADT, DSDT, SSDT, MADT};
        uint64_t state = unit_seed();

        for (int round = 0; round < 4000; round++) {
                struct acpi_tables t;
                struct acpi_fadt f;
                struct acpi_madt m;
                int err;

                make_machine();
                for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
                        uint8_t *table = memory + at[i];
                        uint32_t length = table[4];

                        for (uint64_t k = unit_random(&state) % 4; k != 0; k--)
                                table[4 + unit_random(&state) % (length - 4)] =
                                    (uint8_t)unit_random(&state);
                        length = table[4] | (uint32_t)table[5] << 8;
                        if (length >= 36 && length < SIZE - at[i])
                                fix_sum(table, length, table + 9);
                }
                if (acpi_open(&t, &reach, rsdp, sizeof(rsdp)) == 0) {
                        err = acpi_read_fadt(&t, &f);
                        CHECK(err <= 0);
                        CHECK(err == 0 || !f.s5_valid);
                        err = acpi_read_madt(&t, &m);
                        CHECK(err <= 0);
                        CHECK(m.cpu_count <= ACPI_CPUS_MAX);
                }
                unmap_all();
        }
}

int main(void)
{
        RUN(test_rsdp_and_roots);
        RUN(test_bad_rsdp_and_roots);
        RUN(test_fadt_of_acpi1);
        RUN(test_fadt_of_acpi6);
        RUN(test_boot_flags);
        RUN(test_reduced_hardware);
        RUN(test_registers_out_of_reach);
        RUN(test_hpet);
        RUN(test_madt);
        RUN(test_madt_nobody);
        RUN(test_madt_too_many);
        RUN(test_madt_bad_entries);
        RUN(test_out_of_reach);
        RUN(test_random_damage);
        return unit_done();
}
