/*
 * The console: the one line that the guests, the hypervisor's log and its monitor share. Everything
 * about who has it is decided and kept here.
 *
 * Typed bytes go to one of two readers, the monitor or the guest in focus, and switch at the moment
 * that the escape is typed, whether or not anybody reads; what was typed before it stays with the
 * reader it was meant for.
 *
 *     Ctrl-] c        switches between guest and monitor
 *     Ctrl-] 1 to 9   chooses the guest of that number, which CPU 0 then puts into focus
 *     Ctrl-] Ctrl-]   is one Ctrl-]
 *
 * Any other key behind Ctrl-] is passed on together with it.
 *
 * Shown is the guest in focus, as it writes; of the others whole lines, labelled with their name.
 * The last of each guest's output is kept. The monitor has the screen from console_show_monitor on,
 * when CPU 0 has come to its prompt: until it gives it back no guest shows, but for what
 * console_flush and a guest's end bring.
 *
 * Safe on every CPU, and a byte may be typed by an interrupt. The focus is CPU 0's to change.
 */
#pragma once

#include "hv/lib/types.h"

#define CONSOLE_ESCAPE 0x1du /* Ctrl-] */
#define CONSOLE_SWITCH 'c'
#define CONSOLE_KEPT   8192u /* bytes of a guest's output */

#define CONSOLE_INPUT 256u /* bytes typed that wait for a reader */

struct uart;

/* What one reader has still to read. */
struct console_input {
        uint8_t byte[CONSOLE_INPUT];
        unsigned head, tail; /* head - tail bytes wait; both only grow */
};

/* A guest's end of the console, for all its devices that are one. */
struct guest_console {
        const char *name;
        struct guest_console *next; /* of all that exist */
        struct console_input sent;  /* for it alone, whoever has the focus */
        size_t head;                /* bytes written */
        size_t shown;               /* of them shown, or not to be shown any more */
        char text[CONSOLE_KEPT];
};

/*
 * Take input from uart by its interrupt, routed through the machine's I/O APIC to this CPU.
 * -ENODEV: no such interrupt; then nothing typed arrives.
 */
must_check int console_init(struct uart *uart);

/* Whether anything typed can arrive. */
bool console_can_input(void);

/* A byte was typed. What a full buffer cannot take is lost. */
void console_type(uint8_t byte);

/* Whether CPU 0 has something to do here: a guest was chosen, the monitor has something to read, or
 * the screen is to follow the reader. */
bool console_wants_service(void);

/* The number of the guest that was chosen, once; 0: none. */
unsigned console_take_choice(void);

/* The guest in focus, NULL: none; a change shows what was held back of it, and is told by a line
 * where another had the focus. */
struct guest_console *console_focus(void);
void console_set_focus(struct guest_console *c);

/* Type for a guest alone, in focus or not; false: there is no room. */
must_check bool console_send(struct guest_console *c, uint8_t byte);

/* Whether the guest in focus has something to read; the next byte for c, -1: none, or it is the
 * focus' and c is not in focus. */
bool console_has_input(void);
int console_get(struct guest_console *c);

/* The next byte typed for the monitor, or -1. */
int console_get_monitor(void);

/* Whether the monitor is the reader. When it is left, what it has not read goes to the guest. */
bool console_in_monitor(void);
void console_set_monitor(bool on);

/* Give the screen to the monitor, or back. */
void console_show_monitor(bool on);

/* A guest begins and ends; name stays the caller's. One that ends in focus leaves nobody there. */
void console_open(struct guest_console *c, const char *name);
void console_close(struct guest_console *c);

/* The guest has written n bytes; they may be in its memory, and change meanwhile. */
void console_write(struct guest_console *c, const char *text, size_t n);

/* Show what was held back of it, in the monitor too. */
void console_flush(struct guest_console *c);

/* Copy what is kept from *at on, which is 0 at first, up to size bytes; 0: that was all. */
size_t console_read(const struct guest_console *c, size_t *at, char *out, size_t size);
