/*
 * MSI-X of a PCI function (PCI Local Bus 3.0, 6.8.2): the table, the pending bits, the two masks.
 * An interrupt becomes a message to local APICs (SDM vol. 3, 11.11), sent through ops.
 *
 * The lock is the module's own, so that an interrupt may be raised from any CPU.
 */
#pragma once

#include "guest/dev/vlapic.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/types.h"

#define MSIX_NO_VECTOR   0xffffu
#define MSIX_VECTORS_MAX 16u

struct msix_ops {
        void *ctx;
        void (*send)(void *ctx, const struct apic_message *message);
};

/* An entry as it stands in the table. */
struct msix_vector {
        uint32_t address_low, address_high, data, control;
};

#define MSIX_ENTRY_SIZE 16u

struct msix {
        struct spinlock lock;
        struct msix_ops ops;
        struct msix_vector table[MSIX_VECTORS_MAX];
        unsigned vectors; /* of them */
        uint64_t pending;
        bool enabled, masked; /* message control */
        bool silent;          /* the function may not send: it is no bus master */
};

/* State after reset: disabled, all vectors masked. ops is copied. */
void msix_init(struct msix *m, unsigned vectors, const struct msix_ops *ops);

/* The function's message control and command registers have changed. */
void msix_control(struct msix *m, bool enabled, bool masked, bool silent);

/*
 * Raise a vector, from any CPU: it is sent, or pending while it is masked. Nothing happens when
 * MSI-X is off or there is no such vector, as MSIX_NO_VECTOR.
 */
void msix_raise(struct msix *m, unsigned vector);

/* The table and the pending bits, by byte offset, of size 1, 2, 4 or 8 within one entry. */
uint64_t msix_table_read(struct msix *m, unsigned offset, unsigned size);
void msix_table_write(struct msix *m, unsigned offset, unsigned size, uint64_t value);
uint64_t msix_pending_read(struct msix *m, unsigned offset, unsigned size);
