/* Tests of the VM's buses: registration rules, dispatch, splitting, and random accesses to a model.
 */
#include "guest/dev/bus.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

/* A device that is plain memory and remembers its last access. */
struct ram_device {
        uint8_t byte[64];
        uint64_t offset;
        unsigned size, calls;
};

static uint64_t ram_read(void *ctx, uint64_t offset, unsigned size)
{
        struct ram_device *d = ctx;
        uint64_t v = 0;

        d->offset = offset;
        d->size = size;
        d->calls++;
        for (unsigned i = 0; i < size; i++)
                v |= (uint64_t)d->byte[offset + i] << (8 * i);
        return v | (size < 8 ? ~0ull << (8 * size) : 0); /* garbage above must not get through */
}

static void ram_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        struct ram_device *d = ctx;

        d->offset = offset;
        d->size = size;
        d->calls++;
        for (unsigned i = 0; i < size; i++)
                d->byte[offset + i] = (uint8_t)(value >> (8 * i));
}

static struct bus_handler ram(struct ram_device *d, unsigned width)
{
        return (struct bus_handler){d, ram_read, ram_write, width};
}

static void test_registration(void)
{
        struct ram_device d = {0};
        struct bus_handler h = ram(&d, 1), bad = h;
        struct bus bus;

        bus_init(&bus);
        CHECK_EQ(bus_add_ports(&bus, 0x3f8, 8, &h), 0);
        CHECK_EQ(bus_add_ports(&bus, 0x3ff, 1, &h), -EEXIST);
        CHECK_EQ(bus_add_ports(&bus, 0x3f0, 9, &h), -EEXIST);
        CHECK_EQ(bus_add_ports(&bus, 0x300, 0x200, &h), -EEXIST);
        CHECK_EQ(bus_add_ports(&bus, 0x3f0, 8, &h), 0);
        CHECK_EQ(bus_add_ports(&bus, 0x400, 1, &h), 0);
        CHECK_EQ(bus_add_ports(&bus, 0x500, 0, &h), -EINVAL);
        CHECK_EQ(bus_add_ports(&bus, 0xffff, 2, &h), -EINVAL);
        CHECK_EQ(bus_add_ports(&bus, 0xffff, 1, &h), 0);
        CHECK_EQ(bus_add_mmio(&bus, GPA(UINT64_MAX), 2, &h), -EINVAL);
        CHECK_EQ(bus_add_mmio(&bus, GPA(UINT64_MAX), 1, &h), 0);
        CHECK_EQ(bus_add_mmio(&bus, GPA(UINT64_MAX - 7), 8, &h), -EEXIST);
        bad.width = 0;
        CHECK_EQ(bus_add_ports(&bus, 0x600, 1, &bad), -EINVAL);
        bad = h;
        bad.write = NULL;
        CHECK_EQ(bus_add_ports(&bus, 0x600, 1, &bad), -EINVAL);
        for (unsigned i = 4; i < BUS_RANGES_MAX; i++)
                CHECK_EQ(bus_add_ports(&bus, (uint16_t)(0x1000 + i), 1, &h), 0);
        CHECK_EQ(bus_add_ports(&bus, 0x600, 1, &h), -ENOSPC);
}

static void test_removal(void)
{
        struct ram_device d[3] = {{.byte = {1}}, {.byte = {2}}, {.byte = {3}}};
        struct bus_handler h;
        struct bus bus;

        bus_init(&bus);
        for (unsigned i = 0; i < 3; i++) {
                h = ram(&d[i], 1);
                CHECK_EQ(bus_add_ports(&bus, (uint16_t)(0x100 * i), 0x10, &h), 0);
        }
        CHECK_EQ(bus_port_read(&bus, 0, 1), 1); /* the last hit goes away */
        CHECK_EQ(bus_remove_ports(&bus, 0), 0);
        CHECK_EQ(bus_remove_ports(&bus, 0), -ENOENT);
        CHECK_EQ(bus_remove_ports(&bus, 0x101), -ENOENT);
        CHECK_EQ(bus_port_read(&bus, 0, 1), 0xff);
        CHECK_EQ(bus_port_read(&bus, 0x100, 1), 2);
        CHECK_EQ(bus_port_read(&bus, 0x200, 1), 3);
        h = ram(&d[0], 1);
        CHECK_EQ(bus_add_ports(&bus, 0x300, 0x10, &h), 0);
        CHECK_EQ(bus_port_read(&bus, 0x300, 1), 1);
        for (unsigned i = 1; i < 4; i++)
                CHECK_EQ(bus_remove_ports(&bus, (uint16_t)(0x100 * i)), 0);
        CHECK_EQ(bus_port_read(&bus, 0x100, 1), 0xff);
        CHECK_EQ(bus_remove_mmio(&bus, GPA(0)), -ENOENT);
}

static void test_unclaimed(void)
{
        struct ram_device d = {0};
        struct bus_handler h = ram(&d, 4);
        struct bus bus;

        bus_init(&bus);
        CHECK_EQ(bus_port_read(&bus, 0, 1), 0xff);
        CHECK_EQ(bus_mmio_read(&bus, GPA(0), 1), 0xff);
        CHECK_EQ(bus_add_ports(&bus, 0x100, 4, &h), 0);
        CHECK_EQ(bus_port_read(&bus, 0x80, 1), 0xff);
        CHECK_EQ(bus_port_read(&bus, 0x80, 4), 0xffffffff);
        CHECK_EQ(bus_port_read(&bus, 0x104, 2), 0xffff);
        bus_port_write(&bus, 0xff, 1, 1);
        bus_port_write(&bus, 0x104, 4, 1);
        CHECK_EQ(d.calls, 0);
        CHECK(bus_mmio_read(&bus, GPA(0x100), 8) == UINT64_MAX);
}

static void test_split(void)
{
        struct ram_device narrow = {.byte = {1, 2, 3, 4}}, wide = {.byte = {5, 6, 7, 8}};
        struct bus_handler hn = ram(&narrow, 1), hw = ram(&wide, 4);
        struct bus bus;

        bus_init(&bus);
        CHECK_EQ(bus_add_ports(&bus, 0x10, 4, &hn), 0);
        CHECK_EQ(bus_add_ports(&bus, 0x14, 4, &hw), 0);
        CHECK_EQ(bus_port_read(&bus, 0x10, 4), 0x04030201);
        CHECK_EQ(narrow.calls, 4);
        CHECK_EQ(bus_port_read(&bus, 0x14, 4), 0x08070605);
        CHECK_EQ(wide.calls, 1);
        CHECK_EQ(bus_port_read(&bus, 0x12, 4), 0x06050403);
        CHECK_EQ(bus_port_read(&bus, 0x16, 4), 0xffff0807);
        bus_port_write(&bus, 0x13, 2, 0xbbaa);
        CHECK_EQ(narrow.byte[3], 0xaa);
        CHECK_EQ(wide.byte[0], 0xbb);
        bus_port_write(&bus, 0xfffe, 4, 0); /* past the last port */
        CHECK_EQ(bus_port_read(&bus, 0xfffe, 4), 0xffffffff);
}

/* Two devices at random places against an array of all addresses. */
static void test_random(void)
{
        static const unsigned sizes[] = {1, 2, 4, 8};
        uint64_t rng = unit_seed();

        for (unsigned round = 0; round < 200; round++) {
                struct ram_device d[2] = {0};
                struct bus_handler h[2] = {ram(&d[0], sizes[unit_random(&rng) % 4]),
                                           ram(&d[1], sizes[unit_random(&rng) % 4])};
                uint64_t base[2] = {unit_random(&rng) % 64, 64 + unit_random(&rng) % 64};
                uint8_t model[256], claimed[256] = {0};
                struct bus bus;

                bus_init(&bus);
                for (unsigned i = 0; i < sizeof(model); i++)
                        model[i] = 0xff;
                for (unsigned n = 0; n < 2; n++) {
                        uint64_t size = 1 + unit_random(&rng) % (n ? 64 : 64 - base[0]);

                        CHECK_EQ(bus_add_mmio(&bus, GPA(base[n]), size, &h[n]), 0);
                        for (uint64_t i = base[n]; i < base[n] + size; i++) {
                                claimed[i] = 1;
                                model[i] = 0;
                        }
                }
                for (unsigned step = 0; step < 200; step++) {
                        uint64_t at = unit_random(&rng) % 240, value = unit_random(&rng), v = 0;
                        unsigned size = sizes[unit_random(&rng) % 4];

                        bus_mmio_write(&bus, GPA(at), size, value);
                        for (unsigned i = 0; i < size; i++)
                                if (claimed[at + i])
                                        model[at + i] = (uint8_t)(value >> (8 * i));
                        at = unit_random(&rng) % 240;
                        for (unsigned i = 0; i < size; i++)
                                v |= (uint64_t)model[at + i] << (8 * i);
                        CHECK(bus_mmio_read(&bus, GPA(at), size) == v);
                }
        }
}

int main(void)
{
        RUN(test_registration);
        RUN(test_removal);
        RUN(test_unclaimed);
        RUN(test_split);
        RUN(test_random);
        return unit_done();
}
