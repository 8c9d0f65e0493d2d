/*
 * What is typed on the serial port that guests share with the hypervisor's log and its monitor: it
 * goes to one of two readers, the guest in focus or the monitor. The escape
 * (guest/console/escape.h) switches between them at the moment it is typed, whether or not the
 * guest reads; what was typed before it stays with the reader it was meant for.
 */
#pragma once

#include "drivers/acpi.h"
#include "drivers/uart.h"
#include "hv/lib/types.h"

/*
 * Take input from uart by its interrupt, routed through the machine's I/O APIC to this CPU.
 * -ENODEV: no such interrupt; then nothing typed arrives.
 */
must_check int console_init(struct uart *uart);

/* Whether anything typed can arrive. */
bool console_can_input(void);

/* A byte was typed. What a full buffer cannot take is lost. */
void console_type(uint8_t byte);

/* The number typed behind the escape, once; 0: none. Whether there is one. */
unsigned console_take_choice(void);
bool console_has_choice(void);

/* The next byte typed for the guest, or -1; whether there is one. */
int console_get(void);
bool console_has_input(void);

/* The next byte typed for the monitor, or -1; whether there is one. */
int console_get_monitor(void);
bool console_has_monitor_input(void);

/* Whether what is typed now goes to the monitor. */
bool console_in_monitor(void);

/* Choose the reader. When the monitor is left, what it has not read goes to the guest. */
void console_set_monitor(bool on);

/* The guest that gets what is typed, by any pointer; NULL: nobody. */
const void *console_focus(void);
void console_set_focus(const void *guest);
