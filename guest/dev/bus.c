/* The I/O buses of a VM: registration of ranges and the dispatch of accesses to devices. */
#include "guest/dev/bus.h"

#include "hv/lib/errno.h"

#define PORTS_END 0x10000ull

void bus_init(struct bus *bus)
{
        *bus = (struct bus){0};
}

/* The last address is what is compared, so that a range may end at the top of the space. */
static int space_add(struct bus_space *space, uint64_t base, uint64_t size,
                     const struct bus_handler *handler)
{
        if (size == 0 || base + (size - 1) < base)
                return -EINVAL;
        if (handler->read == NULL || handler->write == NULL || handler->width == 0)
                return -EINVAL;
        for (size_t i = 0; i < space->count; i++) {
                const struct bus_range *r = &space->range[i];

                if (base <= r->base + (r->size - 1) && r->base <= base + (size - 1))
                        return -EEXIST;
        }
        if (space->count == BUS_RANGES_MAX)
                return -ENOSPC;
        space->range[space->count++] = (struct bus_range){base, size, *handler};
        return 0;
}

int bus_add_ports(struct bus *bus, uint16_t base, uint32_t count, const struct bus_handler *handler)
{
        if (base + (uint64_t)count > PORTS_END)
                return -EINVAL;
        return space_add(&bus->ports, base, count, handler);
}

int bus_add_mmio(struct bus *bus, gpa_t base, uint64_t size, const struct bus_handler *handler)
{
        return space_add(&bus->mmio, base.v, size, handler);
}

/* The last one takes its place, and leaves one of size 0: the latest hit may have been there. */
static int space_remove(struct bus_space *space, uint64_t base)
{
        for (size_t i = 0; i < space->count; i++) {
                if (space->range[i].base != base)
                        continue;
                space->range[i] = space->range[--space->count];
                space->range[space->count] = (struct bus_range){0};
                return 0;
        }
        return -ENOENT;
}

int bus_remove_ports(struct bus *bus, uint16_t base)
{
        return space_remove(&bus->ports, base);
}

int bus_remove_mmio(struct bus *bus, gpa_t base)
{
        return space_remove(&bus->mmio, base.v);
}

static const struct bus_range *space_search(struct bus_space *space, uint64_t addr)
{
        for (size_t i = 0; i < space->count; i++) {
                if (addr - space->range[i].base < space->range[i].size) {
                        space->last = i;
                        return &space->range[i];
                }
        }
        return NULL;
}

static inline const struct bus_range *space_find(struct bus_space *space, uint64_t addr)
{
        const struct bus_range *r = &space->range[space->last];

        /* An empty space has a range of size 0 here, which nothing is in. */
        if (addr - r->base < r->size)
                return r;
        return space_search(space, addr);
}

static inline bool takes_whole(const struct bus_range *r, uint64_t addr, unsigned size)
{
        return r != NULL && size <= r->handler.width && size <= r->size - (addr - r->base);
}

static inline uint64_t size_mask(unsigned size)
{
        return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

static uint64_t space_read(struct bus_space *space, uint64_t addr, unsigned size)
{
        const struct bus_range *r = space_find(space, addr);
        uint64_t value = 0;

        if (takes_whole(r, addr, size))
                return r->handler.read(r->handler.ctx, addr - r->base, size) & size_mask(size);
        for (unsigned i = 0; i < size; i++) {
                uint64_t byte = 0xff;

                r = space_find(space, addr + i);
                if (r != NULL)
                        byte = r->handler.read(r->handler.ctx, addr + i - r->base, 1) & 0xff;
                value |= byte << (8 * i);
        }
        return value;
}

static void space_write(struct bus_space *space, uint64_t addr, unsigned size, uint64_t value)
{
        const struct bus_range *r = space_find(space, addr);

        if (takes_whole(r, addr, size)) {
                r->handler.write(r->handler.ctx, addr - r->base, size, value & size_mask(size));
                return;
        }
        for (unsigned i = 0; i < size; i++) {
                r = space_find(space, addr + i);
                if (r != NULL)
                        r->handler.write(r->handler.ctx, addr + i - r->base, 1,
                                         (value >> (8 * i)) & 0xff);
        }
}

uint64_t bus_port_read(struct bus *bus, uint16_t port, unsigned size)
{
        return space_read(&bus->ports, port, size);
}

void bus_port_write(struct bus *bus, uint16_t port, unsigned size, uint64_t value)
{
        space_write(&bus->ports, port, size, value);
}

uint64_t bus_mmio_read(struct bus *bus, gpa_t gpa, unsigned size)
{
        return space_read(&bus->mmio, gpa.v, size);
}

void bus_mmio_write(struct bus *bus, gpa_t gpa, unsigned size, uint64_t value)
{
        space_write(&bus->mmio, gpa.v, size, value);
}
