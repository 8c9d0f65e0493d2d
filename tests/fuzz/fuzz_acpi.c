/*
 * ACPI tables (drivers/acpi.c) in a memory made of the input: one byte of flags, 36 bytes of RSDP,
 * and what stands at BASE. Tables may overlap and name each other in loops. Unless the flags say
 * otherwise the checksum of whatever is about to be read whole is put right, so that they do not
 * keep the fuzzer out.
 */
#include "drivers/acpi.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"

#define BASE       0x1000u
#define KEEP_SUMS  1u
#define OLD_RSDP   2u
#define RSDP_SIZE  36u
#define BLOCKS_MAX 4096u
#define MEMORY_MAX 8192u

struct fake_memory {
        uint8_t *bytes;
        size_t size;
        bool fix;
        void *block[BLOCKS_MAX];
        size_t blocks;
};

/* Every mapping is a block of just the length asked for: ASan sees each byte read beyond it. */
static const void *map(void *ctx, hpa_t addr, size_t len)
{
        struct fake_memory *m = ctx;
        uint8_t *copy;

        if (addr.v < BASE || addr.v - BASE > m->size || len > m->size - (addr.v - BASE) ||
            m->blocks == BLOCKS_MAX)
                return NULL;
        copy = m->block[m->blocks++] = fuzz_alloc(len);
        memcpy(copy, m->bytes + (addr.v - BASE), len);
        if (m->fix && len > sizeof(struct acpi_header))
                fuzz_fix_sum(copy, len, offsetof(struct acpi_header, checksum));
        return copy;
}

static void check_result(int err)
{
        DEMAND(err == 0 || err == -ENOENT || err == -EFAULT || err == -EBADMSG);
}

static void read_tables(const struct acpi_tables *t)
{
        static const char *const names[] = {"SSDT", "NFIT", "APIC", "FACP"};
        const struct acpi_header *h;
        struct acpi_fadt fadt;
        struct acpi_madt madt;
        int err;

        DEMAND(t->count <= ACPI_TABLES_MAX);
        for (unsigned i = 0; i < ARRAY_LEN(names) * 2; i++) {
                volatile uint8_t last;

                err = acpi_find_table(t, names[i / 2], i % 2, &h);
                check_result(err);
                if (err)
                        continue;
                DEMAND(memcmp(h->signature, names[i / 2], 4) == 0 && h->length >= sizeof *h);
                last = ((const uint8_t *)h)[h->length - 1]; /* all of it can be read */
                (void)last;
        }
        check_result(acpi_read_fadt(t, &fadt));
        DEMAND(!fadt.s5_valid || (fadt.s5_type_a <= 7 && fadt.s5_type_b <= 7));
        check_result(acpi_read_madt(t, &madt));
        DEMAND(madt.cpu_count <= ACPI_CPUS_MAX && madt.ioapic_count <= ACPI_IOAPICS_MAX);
        DEMAND(madt.override_count <= ACPI_OVERRIDES_MAX);
        for (unsigned i = 0; i < madt.override_count; i++)
                DEMAND(madt.overrides[i].isa_irq < 16);
        for (unsigned i = 0; i < madt.cpu_count; i++)
                for (unsigned j = 0; j < i; j++)
                        DEMAND(madt.cpus[i].apic_id != madt.cpus[j].apic_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct fake_memory m;
        struct acpi_memory memory = {.map = map, .ctx = &m};
        struct fuzz_input in = {data, size};
        unsigned flags = (unsigned)fuzz_take(&in, 1);
        struct acpi_tables tables;
        size_t len;
        uint8_t *rsdp = fuzz_block(&in, flags & OLD_RSDP ? 20 : RSDP_SIZE, &len);
        int err;

        m = (struct fake_memory){.fix = !(flags & KEEP_SUMS)};
        m.bytes = fuzz_block(&in, MEMORY_MAX, &m.size);
        if (m.fix && len >= 20)
                fuzz_fix_sum(rsdp, 20, 8);
        if (m.fix && len == RSDP_SIZE)
                fuzz_fix_sum(rsdp, RSDP_SIZE, 32);
        err = acpi_open(&tables, &memory, rsdp, len);
        DEMAND(err == 0 || err == -EINVAL || err == -EFAULT || err == -EBADMSG);
        if (!err)
                read_tables(&tables);
        while (m.blocks)
                free(m.block[--m.blocks]);
        free(m.bytes);
        free(rsdp);
        return 0;
}
