/*
 * 16550 serial ports (COM ports), polled or with the receive interrupt: the log's first output and
 * the console of a guest. 115200 baud, 8 data bits, no parity, 1 stop bit.
 */
#pragma once

#include "hv/lib/types.h"

struct uart {
        uint16_t port;      /* base I/O port; 0 when the port is absent */
        uint8_t fifo_depth; /* bytes the transmitter takes at once: 16, or 1 without a FIFO */
        bool after_cr;      /* the last text byte was a carriage return */
        bool stuck;         /* the transmitter stopped draining: do not wait for it at each byte */
};

/* I/O ports of COM1 to COM4. */
extern const uint16_t uart_com_ports[4];

/*
 * Detect and set up the UART at an I/O port, interrupts off. Returns 0, or -ENODEV when nothing
 * answers there; *u then swallows all output.
 */
must_check int uart_init(struct uart *u, uint16_t port);

/*
 * Send n bytes as they stand. Waits for room, at most about 0.1 s; when the transmitter stays full
 * the rest is dropped.
 */
void uart_write(struct uart *u, const char *data, size_t n);

/* Send text: as uart_write with every \n sent as \r\n, unless the text has the \r already. */
void uart_write_text(struct uart *u, const char *text, size_t n);

/* The next received byte (0 to 255), or -1 when there is none. Never waits. */
int uart_read(struct uart *u);

/* Turn the interrupt "data received" on or off; its ISA line is uart_irq's. */
void uart_set_receive_irq(struct uart *u, bool on);

/* ISA interrupt line of a standard port: 4 for COM1 and COM3, 3 for COM2 and COM4; -1 otherwise. */
int uart_irq(const struct uart *u);

/* Choose the port uart_log_sink writes to. *u is kept by reference; NULL: none. */
void uart_set_log(struct uart *u);

/* A log_sink_fn: text to the port chosen by uart_set_log. */
void uart_log_sink(const char *text, size_t n);
