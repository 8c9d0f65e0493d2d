/* Builds a VM's ACPI tables; the contract is in acpi_tables.h. Sections are of ACPI 6.5. */
#include "guest/load/acpi_tables.h"

#include "drivers/acpi.h"
#include "guest/dev/acpi_pm.h"
#include "guest/dev/platform.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define OEM_ID       "PFROST"
#define OEM_TABLE_ID "PERMAFRO"
#define CREATOR_ID   0x54534650u /* "PFST" */
#define TABLE_ALIGN  16u         /* the RSDP's own border, and tidy for the rest */
#define VCPUS_MAX    254u        /* 8-bit APIC IDs; 255 is everybody */

/* 5.2.3.2 Generic Address Structure */
struct gas {
        uint8_t space, bit_width, bit_offset, access_size;
        uint64_t address;
} __attribute__((packed));

/* 5.2.5.3 */
struct rsdp {
        char signature[8];
        uint8_t checksum; /* of the first 20 bytes */
        char oem_id[6];
        uint8_t revision;
        uint32_t rsdt;
        uint32_t length;
        uint64_t xsdt;
        uint8_t extended_checksum;
        uint8_t reserved[3];
} __attribute__((packed));

#define RSDP_V1_SIZE  20
#define RSDP_REVISION 2

#define XSDT_ENTRIES 2

/* 5.2.8 */
struct xsdt {
        struct acpi_header header;
        uint64_t entry[XSDT_ENTRIES];
} __attribute__((packed));

/* 5.2.9; what only legacy ACPI hardware has stays zero */
struct fadt {
        struct acpi_header header;
        uint8_t legacy0[109 - 36];
        uint16_t iapc_boot_arch;
        uint8_t reserved;
        uint32_t flags;
        struct gas reset;
        uint8_t reset_value;
        uint16_t arm_boot_arch;
        uint8_t minor_version;
        uint64_t x_firmware_ctrl;
        uint64_t x_dsdt;
        uint8_t legacy1[244 - 148];
        struct gas sleep_control, sleep_status;
        uint64_t hypervisor_id;
} __attribute__((packed));

_Static_assert(sizeof(struct rsdp) == 36, "RSDP");
_Static_assert(offsetof(struct fadt, reset) == 116, "FADT RESET_REG");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT X_DSDT");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "FADT SLEEP_CONTROL_REG");
_Static_assert(sizeof(struct fadt) == 276, "FADT");

#define FADT_REVISION      6
#define FADT_MINOR         5
#define FADT_WBINVD        (1u << 0)
#define FADT_PWR_BUTTON    (1u << 4) /* no fixed power button */
#define FADT_SLP_BUTTON    (1u << 5) /* no fixed sleep button */
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED    (1u << 20)
#define IAPC_NO_VGA        (1u << 2)
#define IAPC_NO_CMOS_RTC   (1u << 5)
#define GAS_BYTE_ACCESS    1
#define XSDT_REVISION      1
#define MADT_REVISION      5
#define MADT_LAPIC         0
#define MADT_IOAPIC        1
#define MADT_LAPIC_NMI     4
#define MADT_LAPIC_ENABLED 1u

/* 5.2.12, 5.2.12.2, 5.2.12.3, 5.2.12.7 */
struct madt {
        struct acpi_header header;
        uint32_t lapic_address;
        uint32_t flags; /* bit 0, PCAT_COMPAT, is 0: there is no 8259 */
} __attribute__((packed));

struct madt_lapic {
        uint8_t type, length, uid, apic_id;
        uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
        uint8_t type, length, id, reserved;
        uint32_t address, gsi_base;
} __attribute__((packed));

#define ALL_LAPICS 0xffu
#define NMI_LINT   1 /* LINT1, as on every PC; nothing is wired to it */

struct madt_lapic_nmi {
        uint8_t type, length, uid;
        uint16_t flags; /* 0: polarity and trigger conform to the bus */
        uint8_t lint;
} __attribute__((packed));

/* The buffer, filled from its start. */
struct area {
        uint8_t *buf;
        uint64_t size, used;
        uint64_t base; /* guest-physical address of buf */
};

/* Room for a zeroed table on the next border, its guest address in *gpa; NULL when there is none.
 */
static void *reserve(struct area *area, uint64_t size, uint64_t *gpa)
{
        uint64_t at = align_up(area->used, TABLE_ALIGN);

        if (at > area->size || size > area->size - at)
                return NULL;
        area->used = at + size;
        *gpa = area->base + at;
        return memset(area->buf + at, 0, size);
}

static uint8_t checksum(const void *data, uint64_t size)
{
        const uint8_t *p = data;
        uint8_t sum = 0;

        for (uint64_t i = 0; i < size; i++)
                sum = (uint8_t)(sum + p[i]);
        return (uint8_t)-sum;
}

/* The last step of each table: its checksum covers everything. */
static void seal(struct acpi_header *header, const char *signature, uint8_t revision,
                 uint64_t length)
{
        memcpy(header->signature, signature, sizeof header->signature);
        header->length = (uint32_t)length;
        header->revision = revision;
        memcpy(header->oem_id, OEM_ID, sizeof header->oem_id);
        memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof header->oem_table_id);
        header->oem_revision = 1;
        header->creator_id = CREATOR_ID;
        header->creator_revision = 1;
        header->checksum = checksum(header, length);
}

static struct gas pm_register(unsigned offset)
{
        return (struct gas){ACPI_SPACE_IO, 8, 0, GAS_BYTE_ACCESS, PLATFORM_ACPI_PM_PORT + offset};
}

static bool build_fadt(struct area *area, uint64_t dsdt, uint64_t *gpa)
{
        struct fadt *fadt = reserve(area, sizeof *fadt, gpa);

        if (!fadt)
                return false;
        fadt->iapc_boot_arch = IAPC_NO_VGA | IAPC_NO_CMOS_RTC;
        fadt->flags =
            FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP | FADT_HW_REDUCED;
        fadt->minor_version = FADT_MINOR;
        fadt->x_dsdt = dsdt;
        fadt->reset = pm_register(ACPI_PM_RESET);
        fadt->reset_value = ACPI_PM_RESET_VALUE;
        fadt->sleep_control = pm_register(ACPI_PM_SLEEP_CONTROL);
        fadt->sleep_status = pm_register(ACPI_PM_SLEEP_STATUS);
        seal(&fadt->header, "FACP", FADT_REVISION, sizeof *fadt);
        return true;
}

static bool build_madt(struct area *area, unsigned vcpus, uint64_t *gpa)
{
        uint64_t size = sizeof(struct madt) + vcpus * sizeof(struct madt_lapic) +
                        sizeof(struct madt_ioapic) + sizeof(struct madt_lapic_nmi);
        struct madt *madt = reserve(area, size, gpa);
        struct madt_lapic *lapic;
        struct madt_ioapic *ioapic;

        if (!madt)
                return false;
        madt->lapic_address = PLATFORM_LAPIC_BASE;
        lapic = (struct madt_lapic *)(madt + 1);
        for (unsigned i = 0; i < vcpus; i++)
                *lapic++ = (struct madt_lapic){MADT_LAPIC, sizeof *lapic, (uint8_t)i, (uint8_t)i,
                                               MADT_LAPIC_ENABLED};
        ioapic = (struct madt_ioapic *)lapic;
        *ioapic = (struct madt_ioapic){
            .type = MADT_IOAPIC,
            .length = sizeof *ioapic,
            .id = PLATFORM_IOAPIC_ID,
            .address = PLATFORM_IOAPIC_BASE,
        };
        *(struct madt_lapic_nmi *)(ioapic + 1) = (struct madt_lapic_nmi){
            .type = MADT_LAPIC_NMI,
            .length = sizeof(struct madt_lapic_nmi),
            .uid = ALL_LAPICS,
            .lint = NMI_LINT,
        };
        seal(&madt->header, "APIC", MADT_REVISION, size);
        return true;
}

static bool build_dsdt(struct area *area, uint64_t *gpa)
{
        uint64_t size = (uintptr_t)dsdt_aml_end - (uintptr_t)dsdt_aml;
        void *dsdt = reserve(area, size, gpa);

        if (!dsdt)
                return false;
        memcpy(dsdt, dsdt_aml, size);
        return true;
}

int acpi_tables_build(void *buf, uint64_t size, gpa_t base, unsigned vcpus, uint64_t *used)
{
        struct area area = {.buf = buf, .size = size, .base = base.v};
        uint64_t rsdp_gpa, xsdt_gpa, dsdt_gpa, fadt_gpa, madt_gpa;
        struct rsdp *rsdp;
        struct xsdt *xsdt;

        if (vcpus == 0 || vcpus > VCPUS_MAX)
                return -EINVAL;
        rsdp = reserve(&area, sizeof *rsdp, &rsdp_gpa);
        xsdt = reserve(&area, sizeof *xsdt, &xsdt_gpa);
        if (!rsdp || !xsdt || !build_dsdt(&area, &dsdt_gpa) ||
            !build_fadt(&area, dsdt_gpa, &fadt_gpa) || !build_madt(&area, vcpus, &madt_gpa))
                return -ENOSPC;
        xsdt->entry[0] = fadt_gpa;
        xsdt->entry[1] = madt_gpa;
        seal(&xsdt->header, "XSDT", XSDT_REVISION, sizeof *xsdt);
        memcpy(rsdp->signature, "RSD PTR ", sizeof rsdp->signature);
        memcpy(rsdp->oem_id, OEM_ID, sizeof rsdp->oem_id);
        rsdp->revision = RSDP_REVISION;
        rsdp->length = sizeof *rsdp;
        rsdp->xsdt = xsdt_gpa;
        rsdp->checksum = checksum(rsdp, RSDP_V1_SIZE);
        rsdp->extended_checksum = checksum(rsdp, sizeof *rsdp);
        *used = area.used;
        return 0;
}

int acpi_tables_write(const struct gmem *mem, unsigned vcpus)
{
        void *buf = gmem_ptr(mem, GPA(PLATFORM_ACPI_BASE), PLATFORM_ACPI_SIZE);
        uint64_t used;

        if (!buf)
                return -EFAULT;
        return acpi_tables_build(buf, PLATFORM_ACPI_SIZE, GPA(PLATFORM_ACPI_BASE), vcpus, &used);
}
