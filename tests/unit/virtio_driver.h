/*
 * A driver of virtio devices for tests: the guest's side of a split ring in a block of memory, and
 * of the PCI transport by ports and memory of a VM's bus.
 */
#pragma once

#include "guest/dev/bus.h"
#include "guest/dev/virtio/device.h"
#include "hv/lib/types.h"

/* A buffer of a chain, by guest-physical address. */
struct driver_buffer {
        uint64_t gpa;
        uint32_t size;
        bool write; /* the device writes it */
};

#define DRIVER_RING_BYTES 0x3000u /* at most, for VIRTIO_QUEUE_SIZE_MAX entries */

/* A queue's rings at gpa, where `at` points; descriptors are used in turn. */
struct driver_ring {
        uint8_t *at;
        uint64_t gpa;
        unsigned size;
        uint16_t next_desc, next_avail, next_used;
};

/* Zero rings of size entries at gpa, which is aligned to 16 and for which `at` is the memory. */
void driver_ring_init(struct driver_ring *r, uint8_t *at, uint64_t gpa, unsigned size);

uint64_t driver_ring_avail(const struct driver_ring *r); /* the parts' addresses */
uint64_t driver_ring_used(const struct driver_ring *r);

/* One descriptor, as it is told. */
void driver_desc(uint8_t *table, unsigned index, uint64_t addr, uint32_t size, uint16_t flags,
                 uint16_t next);

/* Write a chain of n buffers without making it available; returns its head. */
uint16_t driver_chain(struct driver_ring *r, const struct driver_buffer *buffer, unsigned n);

/* Make a head available. driver_add: both; returns the head. */
void driver_make_available(struct driver_ring *r, uint16_t head);
uint16_t driver_add(struct driver_ring *r, const struct driver_buffer *buffer, unsigned n);

/* The next used element: false when there is none. */
bool driver_take_used(struct driver_ring *r, uint32_t *head, uint32_t *size);

/* Words of the rings, for tests of suppression. */
uint16_t *driver_avail_flags(const struct driver_ring *r);
uint16_t *driver_avail_index(const struct driver_ring *r);
uint16_t *driver_used_event(const struct driver_ring *r);
uint16_t *driver_used_flags(const struct driver_ring *r);
uint16_t *driver_used_index(const struct driver_ring *r);
uint16_t *driver_avail_event(const struct driver_ring *r);

/* A function on PCI bus 0 as its driver knows it. */
struct driver_pci {
        struct bus *bus;
        unsigned device;
        uint64_t common, isr, config, table; /* addresses */
        uint16_t notify;                     /* port */
};

/* Configuration space of a device, size 1, 2 or 4. */
uint32_t driver_config_read(const struct driver_pci *p, unsigned offset, unsigned size);
void driver_config_write(const struct driver_pci *p, unsigned offset, unsigned size,
                         uint32_t value);

/* Find the capabilities of the device and enable decoding and bus mastering. False: not found. */
bool driver_pci_probe(struct driver_pci *p, struct bus *bus, unsigned device);

/* Fields of the common configuration. */
enum {
        COMMON_DEVICE_FEATURE_SELECT = 0,
        COMMON_DEVICE_FEATURE = 4,
        COMMON_DRIVER_FEATURE_SELECT = 8,
        COMMON_DRIVER_FEATURE = 12,
        COMMON_CONFIG_VECTOR = 16,
        COMMON_QUEUES = 18,
        COMMON_STATUS = 20,
        COMMON_GENERATION = 21,
        COMMON_QUEUE_SELECT = 22,
        COMMON_QUEUE_SIZE = 24,
        COMMON_QUEUE_VECTOR = 26,
        COMMON_QUEUE_ENABLE = 28,
        COMMON_QUEUE_NOTIFY_OFF = 30,
        COMMON_QUEUE_DESC = 32,
        COMMON_QUEUE_DRIVER = 40,
        COMMON_QUEUE_DEVICE = 48
};

uint64_t driver_common(const struct driver_pci *p, unsigned field, unsigned size);
void driver_set_common(const struct driver_pci *p, unsigned field, unsigned size, uint64_t value);

/* The order of virtio 1.2, 3.1.1: up to the features; a queue; ready. */
bool driver_start(const struct driver_pci *p, uint64_t features);
void driver_enable_queue(const struct driver_pci *p, unsigned n, const struct driver_ring *r,
                         unsigned vector);
void driver_ready(const struct driver_pci *p);

/* MSI-X on, entry `vector` sends that interrupt vector to the APIC `dest`. */
void driver_enable_msix(const struct driver_pci *p, bool enabled, bool masked);
void driver_set_vector(const struct driver_pci *p, unsigned entry, uint8_t vector, uint8_t dest,
                       bool masked);

/* Notify queue n as a vCPU does: what the write has left is served. Whether all is done. */
bool driver_notify(const struct driver_pci *p, unsigned n);
