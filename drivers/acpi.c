/* ACPI tables of the machine. Fields are read by offset, so no layout or alignment is assumed. */
#include "drivers/acpi.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define RSDP_V1_BYTES 20
#define RSDP_V2_BYTES 36

#define FADT_FLAG_TIMER_32BIT (1u << 8)
#define FADT_FLAG_RESET       (1u << 10)
#define FADT_FLAG_REDUCED     (1u << 20)

/* Boot architecture flags, 5.2.9.3. Older revisions of the table do not define them. */
#define BOOT_ARCH_8042         (1u << 1)
#define BOOT_ARCH_8042_SINCE   2
#define BOOT_ARCH_NO_RTC       (1u << 5)
#define BOOT_ARCH_NO_RTC_SINCE 5
#define BOOT_ARCH_REDUCED      5 /* hardware-reduced ACPI, since this revision */

#define HPET_BASE 40

#define REGISTER_BYTES_MAX 8

#define MADT_ENTRIES 44
#define ALL_LAPICS   0xffu
#define ALL_X2APICS  0xffffffffu

enum madt_type {
        MADT_LAPIC = 0,
        MADT_IOAPIC = 1,
        MADT_OVERRIDE = 2,
        MADT_LAPIC_ADDRESS = 5,
        MADT_X2APIC = 9,
};

static bool sum_is_zero(const uint8_t *p, size_t n)
{
        uint8_t sum = 0;

        while (n-- != 0)
                sum = (uint8_t)(sum + *p++);
        return sum == 0;
}

static const void *map(const struct acpi_tables *t, uint64_t addr, size_t len)
{
        if (addr == 0 || addr + len < addr)
                return NULL;
        return t->memory.map(t->memory.ctx, HPA(addr), len);
}

static bool has_signature(const struct acpi_header *h, const char *signature)
{
        return memcmp(h->signature, signature, sizeof(h->signature)) == 0;
}

/* Map a whole table of the wanted signature; -ENOENT when it has another one. */
static int map_table(const struct acpi_tables *t, uint64_t addr, const char *signature,
                     const struct acpi_header **table)
{
        const struct acpi_header *h = map(t, addr, sizeof(*h));
        uint32_t length;

        if (h == NULL)
                return -EFAULT;
        if (!has_signature(h, signature))
                return -ENOENT;
        length = h->length;
        if (length < sizeof(*h) || length > ACPI_TABLE_MAX)
                return -EBADMSG;
        *table = map(t, addr, length);
        return *table == NULL ? -EFAULT : 0;
}

/* The same, and check its sum. */
static int load_table(const struct acpi_tables *t, uint64_t addr, const char *signature,
                      const struct acpi_header **table)
{
        const struct acpi_header *h;
        int err = map_table(t, addr, signature, &h);

        if (err != 0)
                return err;
        if (!sum_is_zero((const uint8_t *)h, h->length))
                return -EBADMSG;
        *table = h;
        return 0;
}

static uint64_t entry_of(const struct acpi_tables *t, unsigned i)
{
        return acpi_read_le(t->entries + (size_t)i * t->entry_bytes, t->entry_bytes);
}

static void count_unreachable(struct acpi_tables *t)
{
        for (unsigned i = 0; i < t->count; i++) {
                uint64_t addr = entry_of(t, i);

                if (addr == 0 || map(t, addr, sizeof(struct acpi_header)) != NULL)
                        continue;
                if (t->out_of_reach++ == 0)
                        t->first_unreachable = HPA(addr);
        }
}

static int open_root(struct acpi_tables *t, uint64_t addr, const char *signature, unsigned entry)
{
        const struct acpi_header *root;
        int err = load_table(t, addr, signature, &root);

        /* a pointer to something else is a broken root, not an absent table */
        if (err != 0)
                return err == -ENOENT ? -EBADMSG : err;
        t->entries = (const uint8_t *)(root + 1);
        t->entry_bytes = entry;
        t->count = (root->length - (uint32_t)sizeof(*root)) / entry;
        if (t->count > ACPI_TABLES_MAX) {
                t->left = t->count - ACPI_TABLES_MAX;
                t->count = ACPI_TABLES_MAX;
        }
        count_unreachable(t);
        return 0;
}

int acpi_open(struct acpi_tables *t, const struct acpi_memory *memory, const void *rsdp, size_t len)
{
        const uint8_t *r = rsdp;
        uint64_t xsdt = 0, rsdt;

        *t = (struct acpi_tables){.memory = *memory};
        if (len < RSDP_V1_BYTES || memcmp(r, "RSD PTR ", 8) != 0 || !sum_is_zero(r, RSDP_V1_BYTES))
                return -EINVAL;
        rsdt = acpi_read_le(r + 16, 4);
        /* revision 2 and later adds the XSDT, under a checksum of its own (5.2.5.3) */
        if (r[15] >= 2 && len >= RSDP_V2_BYTES && sum_is_zero(r, RSDP_V2_BYTES))
                xsdt = acpi_read_le(r + 24, 8);
        if (xsdt != 0) {
                int err = open_root(t, xsdt, "XSDT", 8);

                if (err == 0 || rsdt == 0)
                        return err;
        }
        return open_root(t, rsdt, "RSDT", 4);
}

int acpi_find_table(const struct acpi_tables *t, const char *signature, unsigned nth,
                    const struct acpi_header **table)
{
        for (unsigned i = 0; i < t->count; i++) {
                uint64_t addr = entry_of(t, i);
                const struct acpi_header *h = map(t, addr, sizeof(*h));

                if (h == NULL || !has_signature(h, signature))
                        continue;
                if (nth-- == 0)
                        return load_table(t, addr, signature, table);
        }
        return -ENOENT;
}

/* A field of a table; 0 when the table is too short to have it, as older revisions are. */
static uint64_t field(const struct acpi_header *h, unsigned offset, unsigned bytes)
{
        if (offset + bytes > h->length)
                return 0;
        return acpi_read_le((const uint8_t *)h + offset, bytes);
}

static bool is_usable(const struct acpi_register *r)
{
        return (r->space == ACPI_SPACE_IO && r->address <= UINT16_MAX) ||
               (r->space == ACPI_SPACE_MEMORY && r->address <= 4 * GiB - REGISTER_BYTES_MAX);
}

static struct acpi_register read_gas(const struct acpi_header *h, unsigned gas)
{
        struct acpi_register r = {
            .space = (uint8_t)field(h, gas, 1),
            .bits = (uint8_t)field(h, gas + 1, 1),
            .address = field(h, gas + 4, 8),
        };

        return is_usable(&r) ? r : (struct acpi_register){0};
}

/* A register told twice: as a Generic Address Structure (wins when usable) and as a port. */
static struct acpi_register read_register(const struct acpi_header *h, unsigned gas, unsigned port,
                                          uint8_t port_bits)
{
        struct acpi_register r = read_gas(h, gas);

        if (r.address != 0)
                return r;
        r = (struct acpi_register){
            .space = ACPI_SPACE_IO, .bits = port_bits, .address = field(h, port, 4)};
        return is_usable(&r) ? r : (struct acpi_register){0};
}

/* One integer of a package: constant or prefixed (AML, 20.2.3). Returns its bytes, 0 for others. */
static size_t read_integer(const uint8_t *p, size_t n, uint8_t *value)
{
        if (n >= 1 && p[0] <= 1) { /* ZeroOp, OneOp */
                *value = p[0];
                return 1;
        }
        for (unsigned prefix = 0x0a, bytes = 1; prefix <= 0x0c; prefix++, bytes *= 2) {
                if (n >= 1 + bytes && p[0] == prefix) {
                        *value = p[1];
                        return 1 + bytes;
                }
        }
        return 0;
}

/* The package after the name _S5_: PackageOp PkgLength NumElements SLP_TYPa SLP_TYPb (7.4.2.6). */
static bool read_s5_package(const uint8_t *p, size_t n, struct acpi_fadt *fadt)
{
        size_t skip, used;

        if (n < 2 || p[0] != 0x12)
                return false;
        /* PkgLength's top two bits tell how many more bytes it has */
        skip = 2 + (size_t)(p[1] >> 6);
        if (n < skip + 1 || p[skip] < 1)
                return false;
        n -= skip + 1;
        p += skip;
        used = read_integer(p + 1, n, &fadt->s5_type_a);
        if (used == 0)
                return false;
        fadt->s5_type_b = 0;
        if (*p > 1 && read_integer(p + 1 + used, n - used, &fadt->s5_type_b) == 0)
                return false;
        return fadt->s5_type_a <= 7 && fadt->s5_type_b <= 7;
}

/*
 * Look for Name (_S5_, Package ...) as bytes: without an AML interpreter this is the field's way,
 * and right for every table that does not compute it.
 */
static bool find_s5(const struct acpi_header *aml, struct acpi_fadt *fadt)
{
        const uint8_t *p = (const uint8_t *)aml;
        size_t n = aml->length;

        for (size_t i = sizeof(*aml) + 1; i + 4 <= n; i++) {
                bool named = p[i - 1] == 0x08 || (p[i - 1] == '\\' && p[i - 2] == 0x08);

                if (named && memcmp(p + i, "_S5_", 4) == 0 &&
                    read_s5_package(p + i + 4, n - i - 4, fadt))
                        return true;
        }
        return false;
}

static bool find_s5_in_ssdts(const struct acpi_tables *t, struct acpi_fadt *fadt)
{
        const struct acpi_header *aml;
        bool found = false;
        int err = 0;

        for (unsigned i = 0; !found && err != -ENOENT; i++) {
                err = acpi_find_table(t, "SSDT", i, &aml);
                found = err == 0 && find_s5(aml, fadt);
        }
        return found;
}

static void read_s5(const struct acpi_tables *t, struct acpi_fadt *fadt)
{
        const struct acpi_header *aml;

        fadt->dsdt_error = load_table(t, fadt->dsdt.v, "DSDT", &aml);
        fadt->s5_valid = (fadt->dsdt_error == 0 && find_s5(aml, fadt)) || find_s5_in_ssdts(t, fadt);
        if (fadt->s5_valid || fadt->dsdt_error != -EBADMSG ||
            map_table(t, fadt->dsdt.v, "DSDT", &aml) != 0)
                return;
        fadt->s5_unchecked = fadt->s5_valid = find_s5(aml, fadt);
}

const char *acpi_power_off_missing(const struct acpi_fadt *fadt)
{
        if (fadt->s5_valid && (fadt->sleep_control.address || fadt->pm1a_control.address))
                return NULL;
        if (fadt->s5_valid)
                return "the FADT tells no register that it can use";
        if (fadt->dsdt.v == 0)
                return "no FADT tells where the DSDT is";
        switch (fadt->dsdt_error) {
        case 0:
                return "neither the DSDT nor an SSDT has values of _S5 that can be read";
        case -EFAULT:
                return "the DSDT is out of reach";
        default:
                return "the DSDT is damaged";
        }
}

static void read_fixed_hardware(const struct acpi_header *h, uint32_t flags, struct acpi_fadt *fadt)
{
        fadt->smi_command = (uint16_t)field(h, 48, 4);
        fadt->acpi_enable = (uint8_t)field(h, 52, 1);
        fadt->pm1a_control = read_register(h, 172, 64, 16);
        fadt->pm1b_control = read_register(h, 184, 68, 16);
        fadt->pm_timer = read_register(h, 208, 76, 32);
        fadt->pm_timer_32bit = (flags & FADT_FLAG_TIMER_32BIT) != 0;
}

static void read_boot_flags(const struct acpi_header *h, struct acpi_fadt *fadt)
{
        uint64_t boot = field(h, 109, 2);

        fadt->no_8042 = h->revision >= BOOT_ARCH_8042_SINCE && !(boot & BOOT_ARCH_8042);
        fadt->no_rtc = h->revision >= BOOT_ARCH_NO_RTC_SINCE && (boot & BOOT_ARCH_NO_RTC);
}

int acpi_read_fadt(const struct acpi_tables *t, struct acpi_fadt *fadt)
{
        const struct acpi_header *h;
        uint32_t flags;
        int err = acpi_find_table(t, "FACP", 0, &h);

        *fadt = (struct acpi_fadt){0};
        if (err != 0)
                return err;
        flags = (uint32_t)field(h, 112, 4);
        if (h->revision >= BOOT_ARCH_REDUCED && (flags & FADT_FLAG_REDUCED))
                fadt->sleep_control = read_gas(h, 244);
        else
                read_fixed_hardware(h, flags, fadt);
        read_boot_flags(h, fadt);
        fadt->rtc_century = (uint8_t)field(h, 108, 1);
        if (flags & FADT_FLAG_RESET) {
                fadt->reset = read_gas(h, 116);
                fadt->reset_value = (uint8_t)field(h, 128, 1);
        }
        fadt->dsdt = HPA(field(h, 140, 8));
        if (fadt->dsdt.v == 0)
                fadt->dsdt = HPA(field(h, 40, 4));
        read_s5(t, fadt);
        return 0;
}

int acpi_read_hpet(const struct acpi_tables *t, struct acpi_register *base)
{
        const struct acpi_header *h;
        int err = acpi_find_table(t, "HPET", 0, &h);

        *base = (struct acpi_register){0};
        if (err != 0)
                return err;
        *base = read_gas(h, HPET_BASE);
        if (base->space == ACPI_SPACE_MEMORY && base->address != 0)
                return 0;
        *base = (struct acpi_register){0};
        return -EBADMSG;
}

/* nobody is the ID that means all CPUs in an entry of this kind: firmware fills empty sockets with
 * it (5.2.12.2, 5.2.12.12). */
static void add_cpu(struct acpi_madt *m, uint32_t apic_id, uint64_t flags, uint32_t nobody)
{
        if (!(flags & 1) || apic_id == nobody)
                return;
        /* firmware may tell a CPU twice, as local APIC and as local x2APIC */
        for (unsigned i = 0; i < m->cpu_count; i++)
                if (m->cpus[i].apic_id == apic_id)
                        return;
        if (m->cpu_count == ACPI_CPUS_MAX)
                m->cpus_left++;
        else
                m->cpus[m->cpu_count++].apic_id = apic_id;
}

static void add_ioapic(struct acpi_madt *m, const uint8_t *e)
{
        struct acpi_ioapic io = {.id = e[2],
                                 .base = HPA(acpi_read_le(e + 4, 4)),
                                 .gsi_base = (uint32_t)acpi_read_le(e + 8, 4)};

        if (m->ioapic_count == ACPI_IOAPICS_MAX)
                m->ioapics_left++;
        else
                m->ioapics[m->ioapic_count++] = io;
}

static void add_override(struct acpi_madt *m, const uint8_t *e)
{
        unsigned flags = (unsigned)acpi_read_le(e + 8, 2);
        struct acpi_override o = {.isa_irq = e[3],
                                  .gsi = (uint32_t)acpi_read_le(e + 4, 4),
                                  .active_low = (flags & 3) == 3,
                                  .level = (flags >> 2 & 3) == 3};

        /* bus 0 is ISA, the only one defined */
        if (e[2] != 0 || o.isa_irq > 15)
                return;
        if (m->override_count == ACPI_OVERRIDES_MAX)
                m->overrides_left++;
        else
                m->overrides[m->override_count++] = o;
}

/* The bytes an entry of a type has at least; 2 (any) for types that are not used here. */
static unsigned madt_entry_min(uint8_t type)
{
        switch (type) {
        case MADT_LAPIC:
                return 8;
        case MADT_IOAPIC:
        case MADT_LAPIC_ADDRESS:
                return 12;
        case MADT_OVERRIDE:
                return 10;
        case MADT_X2APIC:
                return 16;
        default:
                return 2;
        }
}

static void add_entry(struct acpi_madt *m, const uint8_t *e)
{
        switch (e[0]) {
        case MADT_LAPIC:
                add_cpu(m, e[3], acpi_read_le(e + 4, 4), ALL_LAPICS);
                break;
        case MADT_X2APIC:
                add_cpu(m, (uint32_t)acpi_read_le(e + 4, 4), acpi_read_le(e + 8, 4), ALL_X2APICS);
                break;
        case MADT_IOAPIC:
                add_ioapic(m, e);
                break;
        case MADT_OVERRIDE:
                add_override(m, e);
                break;
        case MADT_LAPIC_ADDRESS:
                m->lapic_base = HPA(acpi_read_le(e + 4, 8));
                break;
        }
}

int acpi_read_madt(const struct acpi_tables *t, struct acpi_madt *madt)
{
        const struct acpi_header *h;
        int err = acpi_find_table(t, "APIC", 0, &h);

        *madt = (struct acpi_madt){0};
        if (err != 0)
                return err;
        if (h->length < MADT_ENTRIES)
                return -EBADMSG;
        madt->lapic_base = HPA(field(h, 36, 4));
        madt->has_8259 = (field(h, 40, 4) & 1) != 0;
        for (uint32_t at = MADT_ENTRIES; at < h->length;) {
                const uint8_t *e = (const uint8_t *)h + at;
                uint32_t left = h->length - at;

                if (left < 2 || e[1] > left || e[1] < madt_entry_min(e[0])) {
                        *madt = (struct acpi_madt){0};
                        return -EBADMSG;
                }
                add_entry(madt, e);
                at += e[1];
        }
        return 0;
}
