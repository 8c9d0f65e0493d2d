/*
 * What stands between a device model and the transport it is reached by (virtio 1.2, 2): features,
 * status, configuration space, queues. A model contains a struct virtio_device, fills in what it
 * offers, and is called through its struct virtio_model. It knows no transport.
 *
 * Locks, the outer first:
 *
 * - vm->devices: the transport's registers. config_write and reset of the model are called under
 *   it. A model never takes it.
 * - A queue's lock: its rings, and what of the model belongs to that queue. notify is called with
 *   the lock of its queue held, and without vm->devices, as it may take long. Of two queues' locks
 *   the first is of one that the driver fills (transmission), the second of one that the device
 *   fills (reception), be it another VM's.
 * - What a model has of its own, and the locks of its backend, stand below the queue it came from
 *   and above a queue for reception.
 * - The transport's, of its interrupts. Those of the scheduler and of posted interrupts are below.
 *
 * So a model may use a queue from any CPU, another VM's too, once it holds the queue's lock; it
 * must be sure by its own means that the device still exists. Interrupts are off at all times.
 */
#pragma once

#include "guest/dev/virtio/queue.h"
#include "hv/lib/types.h"

#define VIRTIO_QUEUES_MAX 8u

/* Device types, virtio 1.2, 5. */
#define VIRTIO_TYPE_NET     1
#define VIRTIO_TYPE_BLOCK   2
#define VIRTIO_TYPE_CONSOLE 3
#define VIRTIO_TYPE_RNG     4

/* Features that the transport offers for every device, 6. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

/* Device status, 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u

struct virtio_device;

/* One for each type of device. */
struct virtio_model {
        uint16_t type; /* VIRTIO_TYPE_... */
        uint8_t class; /* PCI class code and subclass, for who lists the devices */
        uint8_t subclass;
        /*
         * The driver has notified queue n, whose lock is held; the queue is enabled and live. Take
         * what is there and signal it. False: not all is done, the bound of one call was reached.
         * Then the guest makes its notification again, after others have had their turn. A call
         * does a bounded amount of work, whatever the guest adds meanwhile: at most as many chains
         * as the queue has entries, and no more than some 100 microseconds.
         */
        bool (*notify)(struct virtio_device *d, unsigned n);
        /* The driver writes size bytes (1, 2 or 4) of the configuration space. NULL: it may not. */
        void (*config_write)(struct virtio_device *d, unsigned offset, unsigned size,
                             uint32_t value);
        /* The device was reset; its queues are already. NULL: nothing to do. */
        void (*reset)(struct virtio_device *d);
};

struct virtio_device {
        const struct virtio_model *model;
        uint64_t offered;   /* features of the type, beside those of the transport */
        const void *config; /* what the driver reads of the configuration space, little-endian */
        unsigned config_size;
        unsigned queues;
        struct virtio_queue queue[VIRTIO_QUEUES_MAX];
        uint64_t features;  /* that the driver has accepted; fixed once FEATURES_OK */
        uint8_t status;     /* NEEDS_RESET may be set from any CPU */
        uint8_t generation; /* of the configuration space */
        bool live;         /* DRIVER_OK, not broken, and it may reach memory; read without a lock */
        const char *owner; /* the VM's name, for the log */
        /* The transport's: interrupt for queue n, or (-1) for a change of the configuration. */
        void (*interrupt)(struct virtio_device *d, int n);
        void *transport;
};

/*
 * Before the device is given to a transport: what model, offered, config, config_size and queues
 * (at most VIRTIO_QUEUES_MAX) say is set by the caller; mem is the memory and owner the name of the
 * VM.
 */
void virtio_device_init(struct virtio_device *d, const struct gmem *mem, const char *owner);

static inline bool virtio_has(const struct virtio_device *d, uint64_t feature)
{
        return (d->features & feature) != 0;
}

/*
 * The end of some work on queue n, whose lock is held: the driver sees what was given and is
 * interrupted if it wants that. If the queue is broken, so is the device.
 */
void virtio_device_signal(struct virtio_device *d, unsigned n);

/*
 * The driver has broken a rule that the device cannot go on after: NEEDS_RESET is set, the driver
 * told, and no queue gives anything until the driver has reset the device. Nothing else happens to
 * the VM. From any CPU, with a queue's lock or without.
 */
void virtio_device_break(struct virtio_device *d);

/* The model has changed what config holds: the driver is told. Under the model's own lock of it. */
void virtio_device_config_changed(struct virtio_device *d);
