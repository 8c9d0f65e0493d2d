/* The driver's side of virtio; contract in virtio_driver.h. */
#include "tests/unit/virtio_driver.h"

#include <string.h>

#define CF8      0xcf8
#define CFC      0xcfc
#define NEXT     1u
#define WRITE    2u
#define DESCSIZE 16u

void driver_ring_init(struct driver_ring *r, uint8_t *at, uint64_t gpa, unsigned size)
{
        *r = (struct driver_ring){.at = at, .gpa = gpa, .size = size};
        memset(at, 0, driver_ring_used(r) - gpa + 6 + 8 * size);
}

uint64_t driver_ring_avail(const struct driver_ring *r)
{
        return r->gpa + DESCSIZE * r->size;
}

uint64_t driver_ring_used(const struct driver_ring *r)
{
        return align_up(driver_ring_avail(r) + 6 + 2 * r->size, 4);
}

static uint16_t *avail(const struct driver_ring *r, unsigned word)
{
        return (uint16_t *)(r->at + (driver_ring_avail(r) - r->gpa)) + word;
}

static uint16_t *used(const struct driver_ring *r, unsigned word)
{
        return (uint16_t *)(r->at + (driver_ring_used(r) - r->gpa)) + word;
}

uint16_t *driver_avail_flags(const struct driver_ring *r)
{
        return avail(r, 0);
}

uint16_t *driver_avail_index(const struct driver_ring *r)
{
        return avail(r, 1);
}

uint16_t *driver_used_event(const struct driver_ring *r)
{
        return avail(r, 2 + r->size);
}

uint16_t *driver_used_flags(const struct driver_ring *r)
{
        return used(r, 0);
}

uint16_t *driver_used_index(const struct driver_ring *r)
{
        return used(r, 1);
}

uint16_t *driver_avail_event(const struct driver_ring *r)
{
        return used(r, 2 + 4 * r->size);
}

void driver_desc(uint8_t *table, unsigned index, uint64_t addr, uint32_t size, uint16_t flags,
                 uint16_t next)
{
        uint8_t *d = table + DESCSIZE * index;

        memcpy(d, &addr, 8);
        memcpy(d + 8, &size, 4);
        memcpy(d + 12, &flags, 2);
        memcpy(d + 14, &next, 2);
}

uint16_t driver_chain(struct driver_ring *r, const struct driver_buffer *buffer, unsigned n)
{
        uint16_t head = (uint16_t)(r->next_desc % r->size);

        for (unsigned i = 0; i < n; i++) {
                uint16_t at = (uint16_t)(r->next_desc++ % r->size);
                uint16_t flags = (uint16_t)((buffer[i].write ? WRITE : 0) | (i + 1 < n ? NEXT : 0));

                driver_desc(r->at, at, buffer[i].gpa, buffer[i].size, flags,
                            (uint16_t)(r->next_desc % r->size));
        }
        return head;
}

void driver_make_available(struct driver_ring *r, uint16_t head)
{
        *avail(r, 2 + r->next_avail % r->size) = head;
        *driver_avail_index(r) = ++r->next_avail;
}

uint16_t driver_add(struct driver_ring *r, const struct driver_buffer *buffer, unsigned n)
{
        uint16_t head = driver_chain(r, buffer, n);

        driver_make_available(r, head);
        return head;
}

bool driver_take_used(struct driver_ring *r, uint32_t *head, uint32_t *size)
{
        const uint16_t *element = used(r, 2 + 4 * (r->next_used % r->size));

        if (*driver_used_index(r) == r->next_used)
                return false;
        memcpy(head, element, 4);
        memcpy(size, element + 2, 4);
        r->next_used++;
        return true;
}

static void select_register(const struct driver_pci *p, unsigned offset)
{
        bus_port_write(p->bus, CF8, 4, 0x80000000 | p->device << 11 | (offset & 0xfc));
}

uint32_t driver_config_read(const struct driver_pci *p, unsigned offset, unsigned size)
{
        select_register(p, offset);
        return (uint32_t)bus_port_read(p->bus, (uint16_t)(CFC + (offset & 3)), size);
}

void driver_config_write(const struct driver_pci *p, unsigned offset, unsigned size, uint32_t value)
{
        select_register(p, offset);
        bus_port_write(p->bus, (uint16_t)(CFC + (offset & 3)), size, value);
}

static uint64_t bar_address(const struct driver_pci *p, unsigned bar)
{
        uint32_t value = driver_config_read(p, 0x10 + 4 * bar, 4);

        return value & 1 ? value & ~3u : value & ~15u;
}

/* A capability: where what it tells of stands. */
static void take_capability(struct driver_pci *p, unsigned at)
{
        unsigned id = driver_config_read(p, at, 1), type = driver_config_read(p, at + 3, 1);
        uint64_t where =
            bar_address(p, driver_config_read(p, at + 4, 1)) + driver_config_read(p, at + 8, 4);

        if (id == 0x11) {
                uint32_t table = driver_config_read(p, at + 4, 4);

                p->table = bar_address(p, table & 7) + (table & ~7u);
        } else if (id == 9 && type == 1) {
                p->common = where;
        } else if (id == 9 && type == 2) {
                p->notify = (uint16_t)where;
        } else if (id == 9 && type == 3) {
                p->isr = where;
        } else if (id == 9 && type == 4) {
                p->config = where;
        }
}

bool driver_pci_probe(struct driver_pci *p, struct bus *bus, unsigned device)
{
        unsigned at, n = 0;

        *p = (struct driver_pci){.bus = bus, .device = device};
        if (driver_config_read(p, 0, 2) != 0x1af4 || !(driver_config_read(p, 6, 2) & 0x10))
                return false;
        for (at = driver_config_read(p, 0x34, 1); at && n < 16; n++) {
                take_capability(p, at);
                at = driver_config_read(p, at + 1, 1);
        }
        driver_config_write(p, 4, 2, 7);
        return !at && p->common && p->notify && p->isr && p->config && p->table;
}

uint64_t driver_common(const struct driver_pci *p, unsigned field, unsigned size)
{
        return bus_mmio_read(p->bus, GPA(p->common + field), size);
}

void driver_set_common(const struct driver_pci *p, unsigned field, unsigned size, uint64_t value)
{
        bus_mmio_write(p->bus, GPA(p->common + field), size, value);
}

static void add_status(const struct driver_pci *p, uint8_t bit)
{
        driver_set_common(p, COMMON_STATUS, 1, driver_common(p, COMMON_STATUS, 1) | bit);
}

bool driver_start(const struct driver_pci *p, uint64_t features)
{
        driver_set_common(p, COMMON_STATUS, 1, 0);
        add_status(p, VIRTIO_STATUS_ACKNOWLEDGE);
        add_status(p, VIRTIO_STATUS_DRIVER);
        for (unsigned i = 0; i < 2; i++) {
                driver_set_common(p, COMMON_DRIVER_FEATURE_SELECT, 4, i);
                driver_set_common(p, COMMON_DRIVER_FEATURE, 4, (uint32_t)(features >> 32 * i));
        }
        add_status(p, VIRTIO_STATUS_FEATURES_OK);
        return driver_common(p, COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK;
}

void driver_enable_queue(const struct driver_pci *p, unsigned n, const struct driver_ring *r,
                         unsigned vector)
{
        const uint64_t part[] = {r->gpa, driver_ring_avail(r), driver_ring_used(r)};

        driver_set_common(p, COMMON_QUEUE_SELECT, 2, n);
        driver_set_common(p, COMMON_QUEUE_SIZE, 2, r->size);
        driver_set_common(p, COMMON_QUEUE_VECTOR, 2, vector);
        for (unsigned i = 0; i < 3; i++) {
                driver_set_common(p, COMMON_QUEUE_DESC + 8 * i, 4, (uint32_t)part[i]);
                driver_set_common(p, COMMON_QUEUE_DESC + 8 * i + 4, 4, part[i] >> 32);
        }
        driver_set_common(p, COMMON_QUEUE_ENABLE, 2, 1);
}

void driver_ready(const struct driver_pci *p)
{
        add_status(p, VIRTIO_STATUS_DRIVER_OK);
}

void driver_enable_msix(const struct driver_pci *p, bool enabled, bool masked)
{
        driver_config_write(p, 0x42, 2, (uint32_t)enabled << 15 | (uint32_t)masked << 14);
}

void driver_set_vector(const struct driver_pci *p, unsigned entry, uint8_t vector, uint8_t dest,
                       bool masked)
{
        const uint32_t word[] = {0xfee00000u | (uint32_t)dest << 12, 0, vector, masked};

        for (unsigned i = 0; i < 4; i++)
                bus_mmio_write(p->bus, GPA(p->table + 16 * entry + 4 * i), 4, word[i]);
}

bool driver_notify(const struct driver_pci *p, unsigned n)
{
        struct bus_later later;

        bus_port_write(p->bus, p->notify, 2, n);
        later = bus_take_later(p->bus);
        return bus_serve(&later);
}
