/* Guests' console output; contract in vm_console.h. */
#include "guest/console/vm_console.h"

#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"

#define PIECE 256u

static struct spinlock lock; /* of all below, and of every console's counters */
static struct vm_console *all, *focus;
static bool in_monitor;
static bool amid; /* the guest in focus has begun a line */

static size_t kept_from(const struct vm_console *c, size_t at)
{
        size_t oldest = c->head > VM_CONSOLE_SIZE ? c->head - VM_CONSOLE_SIZE : 0;

        return at < oldest ? oldest : at;
}

static size_t copy(const struct vm_console *c, size_t *at, char *out, size_t size)
{
        size_t n = 0;

        for (*at = kept_from(c, *at); n < size && *at != c->head; (*at)++)
                out[n++] = c->text[*at % VM_CONSOLE_SIZE];
        return n;
}

/* The line may be slow: others at the consoles, and the CPU's vCPUs, get their turn. */
static void breathe(void)
{
        spin_unlock(&lock);
        work_step();
        spin_lock(&lock);
}

static void show_raw(struct vm_console *c)
{
        char piece[PIECE];
        size_t n;

        while ((n = copy(c, &c->shown, piece, sizeof piece))) {
                amid = piece[n - 1] != '\n';
                log_raw(piece, n);
                breathe();
        }
}

/* A line of one that is not in focus, cut where it is longer than a piece. */
static void show_line(struct vm_console *c, size_t end)
{
        char line[PIECE];
        size_t n = (size_t)format_text(line, sizeof line, "%s[%s] ", amid ? "\r\n" : "", c->name);
        char byte;

        for (c->shown = kept_from(c, c->shown); c->shown != end; c->shown++) {
                byte = c->text[c->shown % VM_CONSOLE_SIZE];
                if (n < sizeof line - 2 && byte != '\r' && byte != '\n')
                        line[n++] = byte;
        }
        line[n++] = '\r';
        line[n++] = '\n';
        amid = false;
        log_raw(line, n);
}

/* The next whole line that has not been shown; false: there is none. */
static bool show_next_line(struct vm_console *c)
{
        for (size_t at = kept_from(c, c->shown); at != c->head; at++)
                if (c->text[at % VM_CONSOLE_SIZE] == '\n') {
                        show_line(c, at + 1);
                        return true;
                }
        return false;
}

static void show_lines(struct vm_console *c)
{
        while (show_next_line(c))
                breathe();
}

static void show(struct vm_console *c)
{
        if (in_monitor)
                return;
        if (c == focus)
                show_raw(c);
        else
                show_lines(c);
}

void vm_console_open(struct vm_console *c, const char *name)
{
        spin_lock(&lock);
        c->name = name;
        c->head = c->shown = 0;
        c->next = all;
        all = c;
        spin_unlock(&lock);
}

static void show_all(struct vm_console *c)
{
        if (c == focus) {
                show_raw(c);
                return;
        }
        show_lines(c);
        if (c->shown != c->head)
                show_line(c, c->head);
}

void vm_console_flush(struct vm_console *c)
{
        spin_lock(&lock);
        show_all(c);
        spin_unlock(&lock);
}

void vm_console_close(struct vm_console *c)
{
        struct vm_console **link = &all;

        spin_lock(&lock);
        show_all(c);
        while (*link != c)
                link = &(*link)->next;
        *link = c->next;
        if (focus == c)
                focus = NULL;
        spin_unlock(&lock);
}

void vm_console_put(struct vm_console *c, char byte)
{
        spin_lock(&lock);
        c->text[c->head++ % VM_CONSOLE_SIZE] = byte;
        if (c == focus || byte == '\n')
                show(c);
        spin_unlock(&lock);
}

void vm_console_set_focus(struct vm_console *c)
{
        char line[64];
        int n;

        spin_lock(&lock);
        if (c && c != focus && all && all->next && focus) {
                n = format_text(line, sizeof line, "%s[%s] has the console\r\n", amid ? "\r\n" : "",
                                c->name);
                log_raw(line, (size_t)n);
                amid = false;
        }
        focus = c;
        if (c)
                show(c);
        spin_unlock(&lock);
}

void vm_console_set_monitor(bool on)
{
        spin_lock(&lock);
        in_monitor = on;
        for (struct vm_console *c = all; c; c = c->next)
                if (c != focus)
                        show(c);
        if (focus)
                show(focus);
        spin_unlock(&lock);
}

size_t vm_console_read(const struct vm_console *c, size_t *at, char *out, size_t size)
{
        size_t n;

        spin_lock(&lock);
        n = copy(c, at, out, size);
        spin_unlock(&lock);
        return n;
}
