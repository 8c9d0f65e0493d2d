/* Tests of the power control registers: only the two defined writes have an effect. */
#include "guest/dev/acpi_pm.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

struct world {
        unsigned off, restart;
};

static void world_event(void *ctx, enum acpi_pm_event event)
{
        struct world *w = ctx;

        if (event == ACPI_PM_POWER_OFF)
                w->off++;
        else
                w->restart++;
}

static void test_every_write(void)
{
        struct world w = {0};
        struct bus_handler h;
        struct acpi_pm pm;
        struct bus bus;

        acpi_pm_init(&pm, &w, world_event);
        h = acpi_pm_handler(&pm);
        bus_init(&bus);
        CHECK_EQ(bus_add_ports(&bus, 0x600, ACPI_PM_PORTS, &h), 0);
        for (unsigned port = 0x600; port < 0x605; port++) {
                for (unsigned value = 0; value < 256; value++) {
                        bool off = port == 0x600 && (value & 0x3c) == 0x34;
                        bool restart = port == 0x604 && value == 0x06;

                        w = (struct world){0};
                        bus_port_write(&bus, (uint16_t)port, 1, value);
                        CHECK_EQ(w.off, off);
                        CHECK_EQ(w.restart, restart);
                        CHECK_EQ(bus_port_read(&bus, (uint16_t)port, 1), 0);
                }
        }
}

int main(void)
{
        RUN(test_every_write);
        return unit_done();
}
