/*
 * The console that guests share with the hypervisor's log and its monitor: output goes to every log
 * sink; what is typed on the serial port goes to one of two readers, the running guest or the
 * monitor. The escape (guest/escape.h) switches between them at the moment it is typed, whether or
 * not the guest reads; what was typed before it stays with the reader it was meant for.
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

/* Whether anything typed can arrive. */
bool console_can_input(void);

/* Fetch what an NMI has announced. */
void console_poll(void);

/* A byte was typed. What a full buffer cannot take is lost. */
void console_type(uint8_t byte);

/* A byte of guest output. */
void console_put(char c);

/* The next byte typed for the guest, or -1; whether there is one. */
int console_get(void);
bool console_has_input(void);

/* The next byte typed for the monitor, or -1. */
int console_get_monitor(void);

/* Whether what is typed now goes to the monitor. */
bool console_in_monitor(void);

/* Choose the reader. When the monitor is left, what it has not read goes to the guest. */
void console_set_monitor(bool on);

/*
 * Rest until something may have been typed, at most. The caller has found nothing to read, with
 * interrupts off; guests that own the CPU's interrupts lose none of theirs.
 */
void console_wait(void);
