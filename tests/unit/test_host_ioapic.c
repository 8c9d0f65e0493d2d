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
        CHECK_EQ(host_ioapic_init(&madt), 1);
}

/* A destination has 8 bits, and 255 is everybody: another CPU must not get the interrupt. */
static void test_destinations(void)
{
        struct host_ioapic_route route = {.vector = 0x40};

        start();
        for (route.apic_id = 0; route.apic_id < 255; route.apic_id++)
                CHECK_EQ(host_ioapic_route(4, &route), 0);
        registers[0] = registers[4] = 0x12345678;
        CHECK_EQ(host_ioapic_route(4, &route), -ERANGE);
        route.apic_id = 256;
        CHECK_EQ(host_ioapic_route(4, &route), -ERANGE);
        CHECK_EQ(host_ioapic_route_isa(4, 0x40, 0x100), -ERANGE);
        CHECK(registers[0] == 0x12345678 && registers[4] == 0x12345678);
}

static void test_pins(void)
{
        struct host_ioapic_route route = {.vector = 0x40};

        start();
        CHECK_EQ(host_ioapic_route(PINS - 1, &route), 0);
        CHECK_EQ(host_ioapic_route(PINS, &route), -ENOENT);
        CHECK_EQ(host_ioapic_mask(PINS - 1), 0);
        CHECK_EQ(host_ioapic_mask(PINS), -ENOENT);
}

int main(void)
{
        RUN(test_destinations);
        RUN(test_pins);
        return unit_done();
}
