/* Tests of the serial port: driven the way Linux' 8250 driver probes, starts and uses one. */
#include "guest/dev/uart16550.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct world {
        struct uart16550 u;
        uint8_t out[64];
        unsigned out_count, edges;
        bool irq;
};

static void world_put(void *ctx, uint8_t byte)
{
        struct world *w = ctx;

        if (w->out_count < sizeof(w->out))
                w->out[w->out_count++] = byte;
}

static void world_irq(void *ctx, bool level)
{
        struct world *w = ctx;

        CHECK(level != w->irq); /* only changes are told */
        w->irq = level;
        w->edges += level;
}

static void world_init(struct world *w)
{
        struct uart16550_ops ops = {w, world_put, world_irq};

        *w = (struct world){0};
        uart16550_init(&w->u, &ops);
}

static uint8_t in(struct world *w, unsigned reg)
{
        return uart16550_read(&w->u, reg);
}

static void out(struct world *w, unsigned reg, uint8_t value)
{
        uart16550_write(&w->u, reg, value);
}

/* The questions of autoconfig() in Linux' 8250 driver, in its order. */
static void test_linux_autoconfig(void)
{
        struct world w;

        world_init(&w);
        out(&w, IER, 0);
        CHECK_EQ(in(&w, IER), 0);
        out(&w, IER, 0x0f);
        CHECK_EQ(in(&w, IER), 0x0f);
        out(&w, IER, 0);
        out(&w, MCR, 0x1a); /* loopback, OUT2, RTS */
        CHECK_EQ(in(&w, MSR) & 0xf0, 0x90);
        out(&w, MCR, 0);
        out(&w, LCR, 0xbf);
        out(&w, 2, 0); /* no extended features register: this is the FCR */
        out(&w, LCR, 0);
        out(&w, FCR, 1);
        CHECK_EQ(in(&w, IIR) >> 6, 3); /* a 16550A */
        out(&w, LCR, 0x80);
        CHECK(in(&w, 2) != 0); /* no 16C950 or 16650 */
        out(&w, LCR, 0);
        out(&w, FCR, 0x01);
        CHECK_EQ(in(&w, IIR) >> 5, 6);
        out(&w, LCR, 0x80);
        out(&w, FCR, 0x21);
        CHECK_EQ(in(&w, IIR) >> 5, 6); /* no 64-byte FIFO: no 16750 */
        out(&w, LCR, 0);
        out(&w, IER, 0x40);
        CHECK_EQ(in(&w, IER), 0); /* no XScale */
        out(&w, FCR, 0);
        CHECK_EQ(in(&w, IIR), 1);
        CHECK_EQ(in(&w, LSR), 0x60);
        CHECK_EQ(w.edges, 0);
        CHECK_EQ(w.out_count, 0);
}

static void test_divisor_latch(void)
{
        struct world w;

        world_init(&w);
        out(&w, LCR, 0x83);
        out(&w, 0, 0x34);
        out(&w, 1, 0x12);
        CHECK_EQ(in(&w, 0), 0x34);
        CHECK_EQ(in(&w, 1), 0x12);
        out(&w, LCR, 0x03);
        CHECK_EQ(in(&w, IER), 0);
        CHECK_EQ(in(&w, LCR), 3);
        CHECK_EQ(w.out_count, 0);
        out(&w, SCR, 0xa5);
        CHECK_EQ(in(&w, SCR), 0xa5);
        CHECK_EQ(in(&w, 8), 0xff);
        CHECK_EQ(in(&w, MSR) & 0xf0, 0xb0);
}

/* serial8250_do_startup's two tests, and an interrupt-driven write. */
static void test_transmit_interrupt(void)
{
        struct world w;

        world_init(&w);
        out(&w, FCR, 0x07);
        out(&w, MCR, 0x08);
        for (unsigned i = 0; i < 2; i++) {
                out(&w, IER, 2);
                CHECK(w.irq);
                CHECK_EQ(in(&w, LSR), 0x60);
                CHECK_EQ(in(&w, IIR), 0xc2);
                CHECK(!w.irq);
                CHECK_EQ(in(&w, IIR), 0xc1);
                out(&w, IER, 0);
        }
        out(&w, IER, 2);
        w.edges = 0;
        out(&w, DATA, 'a'); /* still due: the line drops for the byte and an edge tells its end */
        CHECK_EQ(w.edges, 1);
        CHECK_EQ(in(&w, IIR), 0xc2);
        out(&w, DATA, 'b');
        CHECK_EQ(w.edges, 2);
        out(&w, IER, 2); /* enabled already: nothing new */
        CHECK_EQ(in(&w, IIR), 0xc2);
        out(&w, IER, 2);
        CHECK_EQ(in(&w, IIR), 0xc1);
        CHECK_EQ(w.out_count, 2);
        CHECK_EQ(w.out[0], 'a');
        CHECK_EQ(w.out[1], 'b');
}

static void test_receive(void)
{
        struct world w;

        world_init(&w);
        CHECK_EQ(uart16550_room(&w.u), 1);
        CHECK_EQ(uart16550_receive(&w.u, 'x'), 0);
        CHECK_EQ(uart16550_room(&w.u), 0);
        CHECK_EQ(uart16550_receive(&w.u, 'y'), -ENOSPC);
        CHECK_EQ(in(&w, LSR), 0x63);
        CHECK_EQ(in(&w, LSR), 0x61); /* the overrun is told once */
        CHECK_EQ(in(&w, DATA), 'x');
        CHECK_EQ(in(&w, LSR), 0x60);
        CHECK_EQ(in(&w, DATA), 0);

        CHECK_EQ(uart16550_receive(&w.u, 'x'), 0);
        out(&w, FCR, 0x81); /* FIFOs on: emptied, trigger at 8 */
        CHECK_EQ(uart16550_room(&w.u), UART16550_FIFO);
        out(&w, MCR, 0x08);
        out(&w, IER, 0x05);
        for (unsigned i = 0; i < UART16550_FIFO; i++) {
                CHECK_EQ(uart16550_receive(&w.u, (uint8_t)('0' + i)), 0);
                CHECK(w.irq);
                CHECK_EQ(in(&w, IIR), i + 1 < 8 ? 0xcc : 0xc4);
        }
        CHECK_EQ(w.edges, 1);
        CHECK_EQ(uart16550_receive(&w.u, '!'), -ENOSPC);
        CHECK_EQ(in(&w, IIR), 0xc6);
        CHECK_EQ(in(&w, LSR), 0x63);
        for (unsigned i = 0; i < UART16550_FIFO; i++) {
                CHECK(w.irq);
                CHECK_EQ(in(&w, DATA), '0' + i);
        }
        CHECK(!w.irq);
        CHECK_EQ(uart16550_receive(&w.u, 'z'), 0);
        CHECK_EQ(w.edges, 2);
        out(&w, FCR, 0x03);
        CHECK(!w.irq);
        CHECK_EQ(in(&w, LSR), 0x60);
}

static void test_loopback(void)
{
        struct world w;

        world_init(&w);
        out(&w, FCR, 1);
        out(&w, IER, 1);
        out(&w, MCR, 0x18);
        CHECK_EQ(uart16550_room(&w.u), 0);
        CHECK_EQ(uart16550_receive(&w.u, 'q'), -ENOSPC);
        out(&w, DATA, 'l');
        CHECK_EQ(w.out_count, 0);
        CHECK_EQ(in(&w, IIR), 0xc4);
        CHECK(!w.irq); /* OUT2's pin is inactive in loopback */
        CHECK_EQ(in(&w, DATA), 'l');
        CHECK_EQ(in(&w, LSR), 0x60);
}

static void test_modem_deltas(void)
{
        struct world w;

        world_init(&w);
        out(&w, MCR, 0x10);
        CHECK_EQ(in(&w, MSR), 0x0b); /* CTS, DSR and DCD fell */
        out(&w, MCR, 0x14);
        CHECK_EQ(in(&w, MSR), 0x40); /* a ring begins: not told */
        out(&w, MCR, 0x10);
        CHECK_EQ(in(&w, MSR), 0x04);
        CHECK_EQ(in(&w, MSR), 0x00);
        out(&w, IER, 8);
        out(&w, MCR, 0x08);
        CHECK(w.irq);
        CHECK_EQ(in(&w, IIR), 0x00);
        CHECK_EQ(in(&w, MSR), 0xbb);
        CHECK(!w.irq);
}

/* Any driver: what is received comes out in order, nothing else does, and the line tells IIR. */
static void test_random(void)
{
        uint64_t rng = unit_seed();
        uint8_t queue[UART16550_FIFO];
        unsigned count = 0;
        struct world w;

        world_init(&w);
        out(&w, FCR, 1);
        out(&w, MCR, 8);
        for (unsigned step = 0; step < 100000; step++) {
                uint8_t byte = (uint8_t)unit_random(&rng);

                switch (unit_random(&rng) % 6) {
                case 0:
                        CHECK_EQ(uart16550_receive(&w.u, byte), count < 16 ? 0 : -ENOSPC);
                        if (count < 16)
                                queue[count++] = byte;
                        break;
                case 1:
                        CHECK_EQ(in(&w, DATA), count ? queue[0] : 0);
                        for (unsigned i = 1; i < count; i++)
                                queue[i - 1] = queue[i];
                        count -= count > 0;
                        break;
                case 2:
                        out(&w, IER, byte & 0x0f);
                        break;
                case 3:
                        w.out_count = 0;
                        out(&w, DATA, byte);
                        CHECK_EQ(w.out_count, 1);
                        CHECK_EQ(w.out[0], byte);
                        break;
                case 4:
                        CHECK_EQ(in(&w, LSR) & 0x61, 0x60 | (count > 0));
                        break;
                default: { /* reading the IIR may end the interrupt it names */
                        bool due = w.irq;

                        CHECK_EQ(in(&w, IIR) & 1, !due);
                        break;
                }
                }
                CHECK_EQ(uart16550_room(&w.u), 16 - count);
        }
}

static void test_handler(void)
{
        struct bus_handler h;
        struct world w;
        struct bus bus;

        world_init(&w);
        h = uart16550_handler(&w.u);
        bus_init(&bus);
        CHECK_EQ(bus_add_ports(&bus, 0x3f8, UART16550_PORTS, &h), 0);
        bus_port_write(&bus, 0x3f8, 1, 'h');
        CHECK_EQ(w.out_count, 1);
        CHECK_EQ(bus_port_read(&bus, 0x3fd, 1), 0x60);
}

int main(void)
{
        RUN(test_linux_autoconfig);
        RUN(test_divisor_latch);
        RUN(test_transmit_interrupt);
        RUN(test_receive);
        RUN(test_loopback);
        RUN(test_modem_deltas);
        RUN(test_random);
        RUN(test_handler);
        return unit_done();
}
