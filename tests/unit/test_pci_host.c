/* Tests of the PCI host bridge: Linux' own checks of the mechanism, and every address at random. */
#include "guest/dev/pci_host.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

#define CF8 0xcf8
#define CFC 0xcfc

struct world {
        struct pci_host p;
        struct bus bus;
};

static void world_init(struct world *w)
{
        struct bus_handler h;

        pci_host_init(&w->p, 0x1234, 0x5678);
        h = pci_host_handler(&w->p);
        bus_init(&w->bus);
        CHECK_EQ(bus_add_ports(&w->bus, CF8, PCI_HOST_PORTS, &h), 0);
}

static uint64_t in(struct world *w, uint16_t port, unsigned size)
{
        return bus_port_read(&w->bus, port, size);
}

static void out(struct world *w, uint16_t port, unsigned size, uint32_t value)
{
        bus_port_write(&w->bus, port, size, value);
}

/* pci_check_type1 and pci_sanity_check. */
static void test_linux_checks(void)
{
        struct world w;

        world_init(&w);
        out(&w, 0xcfb, 1, 0x01);
        CHECK_EQ(in(&w, CF8, 4), 0);
        out(&w, CF8, 4, 0x80000000);
        CHECK_EQ(in(&w, CF8, 4), 0x80000000);
        out(&w, CF8, 4, 0x80000008);
        CHECK_EQ(in(&w, 0xcfe, 2), 0x0600);
        out(&w, CF8, 4, 0);
        CHECK_EQ(in(&w, CF8, 4), 0);
        CHECK_EQ(in(&w, CFC, 4), 0xffffffff); /* not enabled */
}

static void test_header(void)
{
        struct world w;

        world_init(&w);
        out(&w, CF8, 4, 0x80000000);
        CHECK_EQ(in(&w, CFC, 4), 0x56781234);
        CHECK_EQ(in(&w, CFC, 1), 0x34);
        CHECK_EQ(in(&w, 0xcfd, 1), 0x12);
        CHECK_EQ(in(&w, 0xcfe, 2), 0x5678);
        CHECK_EQ(in(&w, 0xcff, 1), 0x56);
        out(&w, CF8, 4, 0x8000000c);
        CHECK_EQ(in(&w, 0xcfe, 1), 0); /* header type 0, one function */
        out(&w, CF8, 4, 0x80000010);
        out(&w, CFC, 4, 0xffffffff);
        CHECK_EQ(in(&w, CFC, 4), 0); /* no BAR */
        out(&w, CF8, 4, 0x800000fc);
        CHECK_EQ(in(&w, CFC, 4), 0);
        out(&w, CF8, 4, 0x80000800);
        CHECK_EQ(in(&w, CFC, 2), 0xffff); /* 0:1.0 */
        out(&w, CF8, 4, 0x80000100);
        CHECK_EQ(in(&w, CFC, 4), 0xffffffff); /* 0:0.1 */
        out(&w, CF8, 4, 0x80010000);
        CHECK_EQ(in(&w, CFC, 4), 0xffffffff); /* 1:0.0 */
}

static void test_offsets(void)
{
        struct world w;

        world_init(&w);
        out(&w, CF8, 4, 0xffffffff);
        CHECK_EQ(in(&w, CF8, 4), 0x80fffffc); /* reserved bits read 0 */
        out(&w, CF8, 2, 0);
        out(&w, CF8, 1, 0);
        out(&w, 0xcfa, 4, 0); /* unaligned: not the address register */
        CHECK_EQ(in(&w, CF8, 4), 0x80fffffc);
        CHECK_EQ(in(&w, CF8, 1), 0xff);
        CHECK_EQ(in(&w, 0xcf9, 1), 0xff);
        out(&w, CF8, 4, 0x80000000);
        CHECK_EQ(in(&w, 0xcfa, 4), 0x1234ffff);
        CHECK_EQ(in(&w, 0xcfe, 4), 0xffff5678); /* runs past the range */
}

static void test_random(void)
{
        uint64_t rng = unit_seed();
        struct world w;

        world_init(&w);
        for (unsigned step = 0; step < 100000; step++) {
                uint32_t address = (uint32_t)unit_random(&rng) & 0x80fffffc;
                unsigned size = 1u << unit_random(&rng) % 3;
                unsigned lane = (unsigned)(unit_random(&rng) % 4) & ~(size - 1);
                uint64_t ones = (1ull << 8 * size) - 1, v;

                if (unit_random(&rng) % 2)
                        address &= 0x800000fc;
                out(&w, CF8, 4, address);
                out(&w, (uint16_t)(CFC + lane), size, (uint32_t)unit_random(&rng));
                v = in(&w, (uint16_t)(CFC + lane), size);
                if ((address & ~0xfcu) != 0x80000000)
                        CHECK_EQ(v, ones);
                else if ((address & 0xfc) > 8)
                        CHECK_EQ(v, 0);
                else
                        CHECK(v != ones);
                CHECK_EQ(in(&w, CF8, 4), address);
        }
}

int main(void)
{
        RUN(test_linux_checks);
        RUN(test_header);
        RUN(test_offsets);
        RUN(test_random);
        return unit_done();
}
