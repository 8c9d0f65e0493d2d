/*
 * Serial port model: a 16550A with 16-byte FIFOs as the PC wires it (National Semiconductor
 * PC16550D datasheet). Transmission takes no time: a byte written leaves at once through put.
 *
 * The interrupt line is gated by MCR.OUT2 as on the PC. set_irq is called only when the line
 * changes.
 */
#pragma once

#include "guest/dev/bus.h"
#include "hv/lib/types.h"

#define UART16550_PORTS 8
#define UART16550_FIFO  16

/* Where bytes and interrupts go; both functions are required, ctx is theirs. */
struct uart16550_ops {
        void *ctx;
        void (*put)(void *ctx, uint8_t byte);
        void (*set_irq)(void *ctx, bool level);
};

struct uart16550 {
        struct uart16550_ops ops;
        uint8_t ier, fcr, lcr, mcr, scr;
        uint8_t dll, dlm;
        uint8_t lsr_errors; /* overrun: latched until LSR is read */
        uint8_t msr_delta;  /* changes of the modem inputs, latched until MSR is read */
        bool thre_pending;  /* the transmitter-empty interrupt is due, until IIR shows it */
        bool irq;
        uint8_t rx[UART16550_FIFO];
        unsigned rx_head, rx_count;
};

/* State after power-on. ops is copied. Calls nothing back. */
void uart16550_init(struct uart16550 *u, const struct uart16550_ops *ops);

/* Registers 0 to 7, one byte each. */
uint8_t uart16550_read(struct uart16550 *u, unsigned reg);
void uart16550_write(struct uart16550 *u, unsigned reg, uint8_t value);

/* A byte arrives from outside. -ENOSPC: no room; the byte is lost and LSR tells an overrun. */
must_check int uart16550_receive(struct uart16550 *u, uint8_t byte);

/* How many bytes can arrive now without an overrun: FIFO off 0 or 1, looped back 0. */
unsigned uart16550_room(const struct uart16550 *u);

/* The handler for UART16550_PORTS ports. */
struct bus_handler uart16550_handler(struct uart16550 *u);
