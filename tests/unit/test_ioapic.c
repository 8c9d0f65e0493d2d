/* Routes of the machine's I/O APICs, in memory that plays one: the last word written is read back.
 */
#include "drivers/ioapic.h"

#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

#define PINS 24u

static uint32_t registers[8]; /* [0] selects, [4] is the window */

static void start(void)
{
        struct acpi_madt madt = {.ioapic_count = 1};

        madt.ioapics[0].base = HPA((uint64_t)registers);
        registers[4] = (PINS - 1) << 16;
        CHECK_EQ(ioapic_init(&madt), 1);
}

/* A destination has 8 bits, and 255 is everybody: another CPU must not get the interrupt. */
static void test_destinations(void)
{
        start();
        for (uint32_t id = 0; id < 255; id++)
                CHECK_EQ(ioapic_route_isa(4, 0x40, id), 0);
        registers[0] = registers[4] = 0x12345678;
        CHECK_EQ(ioapic_route_isa(4, 0x40, 255), -ERANGE);
        CHECK_EQ(ioapic_route_isa(4, 0x40, 0x100), -ERANGE);
        CHECK(registers[0] == 0x12345678 && registers[4] == 0x12345678);
}

/* The last word that a route writes is the low half of its pin's entry. */
static void test_pins(void)
{
        start();
        CHECK_EQ(ioapic_route_isa(PINS - 1, 0x40, 7), 0);
        CHECK(registers[0] == 0x10 + 2 * (PINS - 1) && registers[4] == 0x40);
        CHECK_EQ(ioapic_route_isa(PINS, 0x40, 7), -ENOENT);
}

/* What the MADT tells of an ISA interrupt decides its pin, and how that works. */
static void test_overrides(void)
{
        struct acpi_madt madt = {.ioapic_count = 1, .override_count = 2};

        madt.ioapics[0].base = HPA((uint64_t)registers);
        madt.overrides[0] = (struct acpi_override){.isa_irq = 0, .gsi = 2};
        madt.overrides[1] =
            (struct acpi_override){.isa_irq = 9, .gsi = 20, .level = true, .active_low = true};
        registers[4] = (PINS - 1) << 16;
        CHECK_EQ(ioapic_init(&madt), 1);
        CHECK_EQ(ioapic_route_isa(0, 0x41, 1), 0);
        CHECK(registers[0] == 0x10 + 2 * 2 && registers[4] == 0x41);
        CHECK_EQ(ioapic_route_isa(9, 0x42, 1), 0);
        CHECK(registers[0] == 0x10 + 2 * 20 && registers[4] == (0x42 | 1u << 13 | 1u << 15));
}

int main(void)
{
        RUN(test_destinations);
        RUN(test_pins);
        RUN(test_overrides);
        return unit_done();
}
