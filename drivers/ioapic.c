/*
 * The machine's I/O APICs, and the 8259s that they replace. Registers: Intel 82093AA data sheet,
 * section 3; Intel 8259A data sheet.
 */
#include "drivers/ioapic.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"

/* The two MMIO registers, as indices of 32-bit words, that reach all others. */
#define WORD_SELECT 0
#define WORD_WINDOW 4

#define REG_VERSION     0x01
#define REG_REDIRECTION 0x10 /* two registers a pin */

#define ENTRY_ACTIVE_LOW (1u << 13) /* delivery mode 0: fixed */
#define ENTRY_LEVEL      (1u << 15)
#define ENTRY_MASKED     (1u << 16)
#define ENTRY_DEST_SHIFT 24 /* in the high half */
#define DEST_EVERYBODY   255u

/* Command words of the two 8259s. */
#define MASTER_COMMAND 0x20
#define MASTER_DATA    0x21
#define SLAVE_COMMAND  0xa0
#define SLAVE_DATA     0xa1

#define ICW1_INIT_ICW4 0x11
#define ICW3_MASTER    0x04 /* the slave is on line 2 */
#define ICW3_SLAVE     0x02
#define ICW4_8086      0x01
#define MASK_ALL       0xff

struct unit {
        volatile uint32_t *mmio;
        uint32_t gsi_base;
        unsigned pins;
};

static struct unit units[ACPI_IOAPICS_MAX];
static unsigned unit_count;
static struct acpi_override overrides[ACPI_OVERRIDES_MAX];
static unsigned override_count;

static uint32_t reg_read(const struct unit *u, unsigned reg)
{
        u->mmio[WORD_SELECT] = reg;
        return u->mmio[WORD_WINDOW];
}

static void reg_write(const struct unit *u, unsigned reg, uint32_t value)
{
        u->mmio[WORD_SELECT] = reg;
        u->mmio[WORD_WINDOW] = value;
}

static const struct unit *find_unit(uint32_t gsi)
{
        for (unsigned i = 0; i < unit_count; i++)
                if (gsi >= units[i].gsi_base && gsi - units[i].gsi_base < units[i].pins)
                        return &units[i];
        return NULL;
}

int ioapic_init(const struct acpi_madt *madt)
{
        unit_count = 0;
        for (unsigned i = 0; i < madt->ioapic_count; i++) {
                struct unit *u = &units[unit_count];

                if (madt->ioapics[i].base.v == 0)
                        continue;
                u->mmio = (volatile uint32_t *)(uintptr_t)madt->ioapics[i].base.v;
                u->gsi_base = madt->ioapics[i].gsi_base;
                u->pins = (reg_read(u, REG_VERSION) >> 16 & 0xff) + 1;
                for (unsigned pin = 0; pin < u->pins; pin++)
                        reg_write(u, REG_REDIRECTION + 2 * pin, ENTRY_MASKED);
                unit_count++;
        }
        override_count = madt->override_count;
        for (unsigned i = 0; i < override_count; i++)
                overrides[i] = madt->overrides[i];
        return unit_count == 0 ? -ENODEV : (int)unit_count;
}

/* The global system interrupt of an ISA interrupt, and in the entry's low half how its pin works.
 */
static uint32_t gsi_of(uint8_t irq, uint32_t *low)
{
        for (unsigned i = override_count; i-- > 0;) {
                if (overrides[i].isa_irq != irq)
                        continue;
                *low |= (overrides[i].level ? ENTRY_LEVEL : 0) |
                        (overrides[i].active_low ? ENTRY_ACTIVE_LOW : 0);
                return overrides[i].gsi;
        }
        return irq;
}

int ioapic_route_isa(uint8_t irq, uint8_t vector, uint32_t apic_id)
{
        uint32_t low = vector, gsi = gsi_of(irq, &low);
        const struct unit *u = find_unit(gsi);
        unsigned reg;

        if (u == NULL)
                return -ENOENT;
        if (apic_id >= DEST_EVERYBODY)
                return -ERANGE;
        reg = REG_REDIRECTION + 2 * (gsi - u->gsi_base);
        reg_write(u, reg, low | ENTRY_MASKED);
        reg_write(u, reg + 1, apic_id << ENTRY_DEST_SHIFT);
        reg_write(u, reg, low);
        return 0;
}

void pic_disable(uint8_t vector)
{
        cpu_outb(MASTER_DATA, MASK_ALL);
        cpu_outb(SLAVE_DATA, MASK_ALL);
        cpu_outb(MASTER_COMMAND, ICW1_INIT_ICW4);
        cpu_outb(SLAVE_COMMAND, ICW1_INIT_ICW4);
        cpu_outb(MASTER_DATA, vector);
        cpu_outb(SLAVE_DATA, (uint8_t)(vector + 8));
        cpu_outb(MASTER_DATA, ICW3_MASTER);
        cpu_outb(SLAVE_DATA, ICW3_SLAVE);
        cpu_outb(MASTER_DATA, ICW4_8086);
        cpu_outb(SLAVE_DATA, ICW4_8086);
        /* initialisation clears the masks */
        cpu_outb(MASTER_DATA, MASK_ALL);
        cpu_outb(SLAVE_DATA, MASK_ALL);
}
