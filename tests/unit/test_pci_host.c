/* Tests of the PCI bus: Linux' own checks of the mechanism, every address at random, functions, and
 * BARs that are sized, moved and put on each other. */
#include "guest/dev/pci_host.h"
#include "guest/dev/platform.h"
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

        bus_init(&w->bus);
        pci_host_init(&w->p, &w->bus, 0x1234, 0x5678);
        h = pci_host_handler(&w->p);
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

/* A function with ports and memory, which answer with the number of the device. */
struct card {
        struct pci_function f; /* first */
        uint8_t number;
        unsigned reads, writes, read_at, written_at;
};

static uint64_t card_read(void *ctx, uint64_t offset, unsigned size)
{
        (void)size;
        return (uint64_t)((struct card *)ctx)->number << 4 | offset;
}

static void card_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        (void)ctx;
        (void)offset;
        (void)size;
        (void)value;
}

static void card_config_read(struct pci_function *f, unsigned offset, unsigned size)
{
        struct card *c = (struct card *)f;

        (void)size;
        c->reads++;
        c->read_at = offset;
}

static void card_config_written(struct pci_function *f, unsigned offset, unsigned size)
{
        struct card *c = (struct card *)f;

        (void)size;
        c->writes++;
        c->written_at = offset;
}

#define PORTS  16u
#define MEMORY 0x2000u

static void card_init(struct card *c, uint8_t number)
{
        *c = (struct card){.number = number};
        c->f.bar[0] = (struct pci_bar){
            .size = PORTS, .ports = true, .handler = {c, card_read, card_write, 4}};
        c->f.bar[1] = (struct pci_bar){.size = MEMORY, .handler = {c, card_read, card_write, 8}};
        c->f.read = card_config_read;
        c->f.written = card_config_written;
        pci_config_set(&c->f, PCI_VENDOR, 4, 0x10441af4);
}

static void select_register(struct world *w, unsigned device, unsigned reg)
{
        out(w, CF8, 4, 0x80000000 | device << 11 | reg);
}

static uint32_t get(struct world *w, unsigned device, unsigned reg)
{
        select_register(w, device, reg);
        return (uint32_t)in(w, CFC, 4);
}

static void set(struct world *w, unsigned device, unsigned reg, uint32_t value)
{
        select_register(w, device, reg);
        out(w, CFC, 4, value);
}

#define ALL (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

static void test_functions(void)
{
        struct card card[3];
        struct world w;

        world_init(&w);
        for (unsigned i = 0; i < 3; i++) {
                card_init(&card[i], (uint8_t)(i + 1));
                CHECK_EQ(pci_host_add(&w.p, &card[i].f), 0);
                CHECK_EQ(get(&w, i + 1, PCI_VENDOR), 0x10441af4);
                CHECK_EQ(get(&w, i + 1, PCI_BAR(0)), (PLATFORM_PCI_IO_BASE + PORTS * i) | 1);
                CHECK_EQ(get(&w, i + 1, PCI_BAR(1)), PLATFORM_PCI_BASE + MEMORY * i);
                CHECK_EQ(get(&w, i + 1, PCI_COMMAND), 0);
        }
        CHECK_EQ(get(&w, 4, PCI_VENDOR), UINT32_MAX);
        /* nothing answers before the guest says so */
        CHECK_EQ(in(&w, PLATFORM_PCI_IO_BASE + 2, 4), UINT32_MAX);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(PLATFORM_PCI_BASE), 4), UINT32_MAX);
        for (unsigned i = 0; i < 3; i++)
                set(&w, i + 1, PCI_COMMAND, 0xffffffff);
        CHECK_EQ(get(&w, 2, PCI_COMMAND), ALL | PCI_COMMAND_INTX_OFF);
        CHECK_EQ(in(&w, PLATFORM_PCI_IO_BASE + PORTS + 2, 4), 0x22);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(PLATFORM_PCI_BASE + 2 * MEMORY + 8), 4), 0x38);
        /* one of the two kinds alone */
        set(&w, 2, PCI_COMMAND, PCI_COMMAND_MEMORY);
        CHECK_EQ(in(&w, PLATFORM_PCI_IO_BASE + PORTS + 2, 4), UINT32_MAX);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(PLATFORM_PCI_BASE + MEMORY + 4), 4), 0x24);
}

/* Parts of a register, and the function is told which. */
static void test_lanes(void)
{
        struct card card;
        struct world w;

        world_init(&w);
        card_init(&card, 1);
        pci_config_open(&card.f, 0x40, 4, 0xff00fff0);
        CHECK_EQ(pci_host_add(&w.p, &card.f), 0);
        set(&w, 1, 0x40, 0x12345678);
        CHECK_EQ(get(&w, 1, 0x40), 0x12005670);
        CHECK_EQ(card.written_at, 0x40);
        out(&w, CFC + 1, 1, 0xab);
        CHECK_EQ(card.written_at, 0x41);
        CHECK_EQ(in(&w, CFC + 1, 2), 0x00ab);
        CHECK_EQ(card.read_at, 0x41);
        card.reads = card.writes = 0;
        out(&w, CFC + 3, 2, 0xffff); /* runs out of the port's range: the bus splits it */
        CHECK_EQ(card.writes, 1);
        CHECK_EQ(get(&w, 1, 0x40), 0xff00ab70);
        card.reads = card.writes = 0;
        out(&w, CF8, 4, 0x80010840); /* not this bus, not this function */
        out(&w, CFC, 4, 0);
        out(&w, CF8, 4, 0x80000940);
        out(&w, CFC, 4, 0);
        CHECK_EQ(card.reads + card.writes, 0);
}

static void test_sizing(void)
{
        struct card card;
        struct world w;

        world_init(&w);
        card_init(&card, 1);
        CHECK_EQ(pci_host_add(&w.p, &card.f), 0);
        set(&w, 1, PCI_BAR(0), UINT32_MAX);
        CHECK_EQ(get(&w, 1, PCI_BAR(0)), (uint32_t) ~(PORTS - 1) | 1);
        set(&w, 1, PCI_BAR(1), UINT32_MAX);
        CHECK_EQ(get(&w, 1, PCI_BAR(1)), (uint32_t) ~(MEMORY - 1));
        set(&w, 1, PCI_BAR(2), UINT32_MAX); /* there is none */
        CHECK_EQ(get(&w, 1, PCI_BAR(2)), 0);
        set(&w, 1, PCI_COMMAND, ALL); /* both at the end of their spaces: no port is there */
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(0xffffe000), 4), 0x10);
        set(&w, 1, PCI_BAR(0), 0xfff0);
        CHECK_EQ(in(&w, 0xfff4, 4), 0x14);
        set(&w, 1, PCI_BAR(0), 0xd0001); /* bit 16 and up: beyond the ports */
        CHECK_EQ(in(&w, 0xfff4, 4), UINT32_MAX);
        CHECK_EQ(in(&w, 0, 4), UINT32_MAX);
}

static void test_move(void)
{
        const uint32_t first = PLATFORM_PCI_BASE, second = PLATFORM_PCI_BASE + MEMORY;
        struct card card[2];
        struct world w;

        world_init(&w);
        for (unsigned i = 0; i < 2; i++) {
                card_init(&card[i], (uint8_t)(i + 1));
                CHECK_EQ(pci_host_add(&w.p, &card[i].f), 0);
                set(&w, i + 1, PCI_COMMAND, ALL);
        }
        set(&w, 1, PCI_BAR(1), 0xe8000000);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(first), 4), UINT32_MAX);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(0xe8000004), 4), 0x14);
        /* onto the other one: that one stays, and when it goes the place is free */
        set(&w, 1, PCI_BAR(1), second);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(0xe8000004), 4), UINT32_MAX);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(second), 4), 0x20);
        set(&w, 2, PCI_BAR(1), first);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(second), 4), 0x10);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(first), 4), 0x20);
        /* by switching off, too */
        set(&w, 1, PCI_BAR(1), first);
        set(&w, 2, PCI_COMMAND, 0);
        CHECK_EQ(bus_mmio_read(&w.bus, GPA(first), 4), 0x10);
        /* ports onto the configuration mechanism's own */
        set(&w, 1, PCI_BAR(0), CF8 & ~(PORTS - 1));
        CHECK_EQ(get(&w, 1, PCI_VENDOR), 0x10441af4);
        set(&w, 1, PCI_BAR(0), 0xd000);
        CHECK_EQ(in(&w, 0xd001, 1), 0x11);
}

static void test_full(void)
{
        static struct card card[PCI_DEVICES_MAX];
        struct world w;

        world_init(&w);
        for (unsigned i = 1; i < PCI_DEVICES_MAX; i++) {
                card_init(&card[i], (uint8_t)i);
                CHECK_EQ(pci_host_add(&w.p, &card[i].f), 0);
                set(&w, i, PCI_COMMAND, ALL);
        }
        card_init(&card[0], 0);
        CHECK_EQ(pci_host_add(&w.p, &card[0].f), -ENOSPC);
        for (unsigned i = 1; i < PCI_DEVICES_MAX; i++)
                CHECK_EQ(in(&w, (uint16_t)(PLATFORM_PCI_IO_BASE + PORTS * (i - 1)), 4), i << 4);
        world_init(&w);
        card_init(&card[0], 0);
        card[0].f.bar[0].size = 2 * PLATFORM_PCI_IO_SIZE;
        CHECK_EQ(pci_host_add(&w.p, &card[0].f), -ENOSPC);
        CHECK_EQ(get(&w, 1, PCI_VENDOR), UINT32_MAX);
}

/* Writes at random to two cards' headers: whoever answers is where its BAR says, and somebody does.
 */
static void test_random_moves(void)
{
        static const uint32_t value[] = {0xc000, 0xc010, 0xe0000000, 0xe0002000, 0, 1, 3, 7};
        static const unsigned reg[] = {PCI_COMMAND, PCI_BAR(0), PCI_BAR(1)};
        uint64_t rng = unit_seed();
        struct card card[2];
        struct world w;

        world_init(&w);
        for (unsigned i = 0; i < 2; i++) {
                card_init(&card[i], (uint8_t)(i + 1));
                CHECK_EQ(pci_host_add(&w.p, &card[i].f), 0);
        }
        for (unsigned step = 0; step < 20000; step++) {
                uint32_t at = 0xe0000000 + (unit_random(&rng) % 2 ? MEMORY : 0);
                unsigned wanted = 0, answers;

                set(&w, 1 + unit_random(&rng) % 2, reg[unit_random(&rng) % 3],
                    value[unit_random(&rng) % 8]);
                for (unsigned i = 0; i < 2; i++)
                        if (get(&w, i + 1, PCI_COMMAND) & PCI_COMMAND_MEMORY &&
                            get(&w, i + 1, PCI_BAR(1)) == at)
                                wanted |= 1u << (i + 1);
                answers = (unsigned)bus_mmio_read(&w.bus, GPA(at), 4);
                CHECK(wanted ? wanted >> (answers >> 4) & 1 : answers == UINT32_MAX);
        }
}

int main(void)
{
        RUN(test_linux_checks);
        RUN(test_header);
        RUN(test_offsets);
        RUN(test_random);
        RUN(test_functions);
        RUN(test_lanes);
        RUN(test_sizing);
        RUN(test_move);
        RUN(test_full);
        RUN(test_random_moves);
        return unit_done();
}
