/*
 * A guest's console output: the last of it is kept, and what is shown of it on the line that all
 * guests, the log and the monitor share is decided here. The guest in focus shows as it writes;
 * of the others whole lines show, labelled with their name. In the monitor nothing shows; it comes
 * when the monitor is left or the guest ends, as far as it was kept.
 *
 * Safe on every CPU; the guest's own writes are made one at a time by its device's lock.
 */
#pragma once

#include "hv/lib/types.h"

#define VM_CONSOLE_SIZE 8192u

struct vm_console {
        const char *name;
        struct vm_console *next; /* of all that exist */
        size_t head;             /* bytes written */
        size_t shown;            /* of them shown, or not to be shown any more */
        char text[VM_CONSOLE_SIZE];
};

/* A guest begins and ends; name stays the caller's. */
void vm_console_open(struct vm_console *c, const char *name);
void vm_console_close(struct vm_console *c);

/* Show what was held back of it, in the monitor too. */
void vm_console_flush(struct vm_console *c);

/* The guest has written a byte. */
void vm_console_put(struct vm_console *c, char byte);

/*
 * Who shows as it writes, NULL for nobody; whether the monitor has the line. A change shows what
 * was held back. A new guest in focus is told by a line, unless it is the only one.
 */
void vm_console_set_focus(struct vm_console *c);
void vm_console_set_monitor(bool on);

/* Copy what is kept from *at on, which is 0 at first, up to size bytes; 0: that was all. */
size_t vm_console_read(const struct vm_console *c, size_t *at, char *out, size_t size);
