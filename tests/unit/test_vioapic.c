/* Tests of the I/O APIC: registers, edge and level lines, EOI, and a random level line on both
 * APICs. */
#include "guest/dev/vioapic.h"
#include "hv/lib/errno.h"
#include "tests/unit/deliver.h"
#include "tests/unit/unit.h"

struct world {
        struct vioapic io;
        struct vlapic l;
        struct apic_message message;
        unsigned delivered;
};

static void world_deliver(void *ctx, const struct apic_message *message)
{
        struct world *w = ctx;

        w->delivered++;
        w->message = *message;
        deliver_to(&w->l, message);
}

static void world_eoi(void *ctx, uint8_t vector)
{
        struct world *w = ctx;

        vioapic_eoi(&w->io, vector);
}

static void world_init(struct world *w)
{
        struct vioapic_ops io_ops = {w, world_deliver};
        struct vlapic_ops l_ops = {.ctx = w, .eoi = world_eoi};

        *w = (struct world){0};
        vioapic_init(&w->io, 3, &io_ops);
        vlapic_init(&w->l, 0, true, 8, &l_ops);
        CHECK_EQ(vlapic_msr_write(&w->l, 0x80f, 0x1ff, 0), 0);
}

static uint32_t rd(struct world *w, uint8_t reg)
{
        vioapic_write(&w->io, VIOAPIC_INDEX, reg);
        return vioapic_read(&w->io, VIOAPIC_DATA);
}

static void wr(struct world *w, uint8_t reg, uint32_t value)
{
        vioapic_write(&w->io, VIOAPIC_INDEX, reg);
        vioapic_write(&w->io, VIOAPIC_DATA, value);
}

static void set_rte(struct world *w, unsigned pin, uint32_t low, uint8_t dest)
{
        wr(w, (uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
        wr(w, (uint8_t)(0x10 + 2 * pin), low);
}

static void test_registers(void)
{
        struct world w;

        world_init(&w);
        CHECK_EQ(rd(&w, 0), 0x03000000);
        CHECK_EQ(rd(&w, 1), 0x00170020);
        wr(&w, 1, 0);
        CHECK_EQ(rd(&w, 1), 0x00170020);
        wr(&w, 0, 0xff123456);
        CHECK_EQ(rd(&w, 0), 0x0f000000);
        for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
                CHECK_EQ(rd(&w, (uint8_t)(0x10 + 2 * pin)), 0x10000);
        wr(&w, 0x3e, 0xffffffff); /* the last pin: all that can be written */
        wr(&w, 0x3f, 0xffffffff);
        CHECK_EQ(rd(&w, 0x3e), 0x1afff);
        CHECK_EQ(rd(&w, 0x3f), 0xff000000);
        wr(&w, 0x40, 0xffffffff);
        wr(&w, 0xff, 0xffffffff);
        CHECK_EQ(rd(&w, 0x40), 0);
        CHECK_EQ(vioapic_read(&w.io, VIOAPIC_INDEX), 0x40);
        CHECK_EQ(vioapic_read(&w.io, 0x20), 0);
        vioapic_set_irq(&w.io, VIOAPIC_PINS, true);
        vioapic_set_irq(&w.io, 1000, true);
        CHECK_EQ(w.delivered, 0);
}

static void test_edge(void)
{
        struct world w;

        world_init(&w);
        vioapic_set_irq(&w.io, 4, true);
        CHECK_EQ(w.delivered, 0);
        vioapic_set_irq(&w.io, 4, false);
        set_rte(&w, 4, 0x0931, 0x01);
        CHECK_EQ(w.delivered, 0);
        vioapic_set_irq(&w.io, 4, true);
        CHECK_EQ(w.delivered, 1);
        CHECK_EQ(w.message.vector, 0x31);
        CHECK_EQ(w.message.dest, 1);
        CHECK(w.message.logical && !w.message.level);
        CHECK_EQ(w.message.mode, APIC_LOWEST);
        vioapic_set_irq(&w.io, 4, true);
        CHECK_EQ(w.delivered, 1);
        vioapic_set_irq(&w.io, 4, false);
        vioapic_eoi(&w.io, 0x31);
        CHECK_EQ(w.delivered, 1);
        vioapic_set_irq(&w.io, 4, true);
        CHECK_EQ(w.delivered, 2);
        set_rte(&w, 5, 0x0032, 0xff);
        vioapic_set_irq(&w.io, 5, true);
        CHECK_EQ(w.message.dest, APIC_DEST_ALL);
}

static void test_level(void)
{
        struct world w;

        world_init(&w);
        set_rte(&w, 9, 0x18040, 0); /* level, masked */
        vioapic_set_irq(&w.io, 9, true);
        CHECK_EQ(w.delivered, 0);
        wr(&w, 0x22, 0x8040); /* unmasked while asserted */
        CHECK_EQ(w.delivered, 1);
        CHECK(w.message.level && !w.message.logical);
        CHECK_EQ(rd(&w, 0x22), 0xc040);
        vioapic_set_irq(&w.io, 9, false);
        vioapic_set_irq(&w.io, 9, true);
        CHECK_EQ(w.delivered, 1); /* not before its EOI */
        vioapic_write(&w.io, VIOAPIC_EOI, 0x41);
        CHECK_EQ(w.delivered, 1);
        vioapic_write(&w.io, VIOAPIC_EOI, 0x40);
        CHECK_EQ(w.delivered, 2); /* asserted still */
        vioapic_set_irq(&w.io, 9, false);
        vioapic_eoi(&w.io, 0x40);
        CHECK_EQ(w.delivered, 2);
        CHECK_EQ(rd(&w, 0x22), 0x8040);
        vioapic_set_irq(&w.io, 9, true);
        CHECK_EQ(w.delivered, 3);
        wr(&w, 0x22, 0x10040); /* Linux' EOI by masking and going to edge and back */
        CHECK_EQ(rd(&w, 0x22), 0x10040);
        wr(&w, 0x22, 0x8040);
        CHECK_EQ(w.delivered, 4);
}

static void test_handler(void)
{
        struct bus_handler h;
        struct world w;
        struct bus bus;

        world_init(&w);
        h = vioapic_handler(&w.io);
        bus_init(&bus);
        CHECK_EQ(bus_add_mmio(&bus, GPA(0xfec00000), VIOAPIC_SIZE, &h), 0);
        bus_mmio_write(&bus, GPA(0xfec00000), 1, 1);
        CHECK_EQ(bus_mmio_read(&bus, GPA(0xfec00010), 4), 0x170020);
        CHECK_EQ(bus_mmio_read(&bus, GPA(0xfec00010), 1), 0);
        bus_mmio_write(&bus, GPA(0xfec00000), 4, 0x10);
        bus_mmio_write(&bus, GPA(0xfec00010), 8, 0);
        CHECK_EQ(bus_mmio_read(&bus, GPA(0xfec00010), 4), 0x10000);
        bus_mmio_write(&bus, GPA(0xfec00010), 4, 0x40);
        CHECK_EQ(bus_mmio_read(&bus, GPA(0xfec00010), 4), 0x40);
}

/*
 * A device asserts at random times until it is served; the guest takes what comes, serves the
 * device and ends the interrupt, and masks at random in between. No request may be left behind.
 */
static void test_random_level(void)
{
        uint64_t rng = unit_seed();
        bool masked = false;
        struct world w;

        world_init(&w);
        set_rte(&w, 7, 0x8050, 0);
        for (unsigned step = 0; step < 100000; step++) {
                switch (unit_random(&rng) % 4) {
                case 0:
                        vioapic_set_irq(&w.io, 7, true);
                        break;
                case 1:
                        masked = !masked;
                        wr(&w, 0x1e, masked ? 0x18050 : 0x8050);
                        break;
                case 2:
                        if (vlapic_next_irq(&w.l) != 0x50)
                                break;
                        vlapic_accept(&w.l, 0x50);
                        if (unit_random(&rng) % 2)
                                vioapic_set_irq(&w.io, 7, false);
                        break;
                default:
                        vlapic_eoi(&w.l);
                        break;
                }
                /* Asserted and not masked: it is requested or in service. */
                if (!masked && (w.io.line >> 7) & 1)
                        CHECK(w.l.irr.word[2] == 0x10000 || w.l.isr.word[2] == 0x10000);
        }
        CHECK(w.delivered > 1000);
}

int main(void)
{
        RUN(test_registers);
        RUN(test_edge);
        RUN(test_level);
        RUN(test_handler);
        RUN(test_random_level);
        return unit_done();
}
