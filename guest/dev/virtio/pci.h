/*
 * The transport of virtio devices over PCI (virtio 1.2, 4.1): one function a device, modern only,
 * with MSI-X: a vector a queue and one for the configuration. There are no legacy registers and no
 * INTx: a driver without MSI-X has to poll.
 *
 * BAR 0 is the notification register, an I/O port: an OUT tells the CPU port, size and value in the
 * exit itself, where a store to memory has to be fetched and decoded. All queues share the port,
 * the value is the queue's number. BAR 1 is memory: the other registers, the MSI-X table and its
 * pending bits; they are used while a driver starts, and the table when it masks a vector.
 *
 * All functions here are called under vm->devices.
 */
#pragma once

#include "guest/dev/msix.h"
#include "guest/dev/pci_host.h"
#include "guest/dev/virtio/device.h"

struct virtio_pci {
        struct pci_function function; /* for pci_host_add */
        struct virtio_device *device;
        struct msix msix;
        uint8_t isr; /* what has happened while MSI-X was off */
        uint16_t config_vector, queue_vector[VIRTIO_QUEUES_MAX]; /* MSIX_NO_VECTOR: none */
        uint32_t device_feature_select, driver_feature_select;
        uint16_t queue_select;
};

/*
 * Make p the transport of d, which virtio_device_init has prepared; both stay until the VM's end.
 * send is where MSI-X messages go.
 */
void virtio_pci_init(struct virtio_pci *p, struct virtio_device *d, const struct msix_ops *send);
