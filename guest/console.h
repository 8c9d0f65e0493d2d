/*
 * The console that guests share with the hypervisor's log: their output goes to every log sink,
 * what is typed on the serial port goes to the running guest.
 */
#pragma once

#include "drivers/acpi.h"
#include "drivers/uart.h"
#include "hv/lib/types.h"

/*
 * Take input from uart by its interrupt, routed through the machine's I/O APIC to this CPU; as an
 * NMI where guests may own the CPU's other interrupts. -ENODEV: no such interrupt; then nothing
 * typed arrives.
 */
must_check int console_init(struct uart *uart, bool nmi);

/* Fetch what an NMI has announced. */
void console_poll(void);

/* A byte of guest output. */
void console_put(char c);

/* The next typed byte, or -1. */
int console_get(void);

/* Whether console_get has one. */
bool console_has_input(void);
