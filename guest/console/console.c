/* Who has the console, what is typed and what shows; contract in console.h. */
#include "guest/console/console.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/uart.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/work.h"
#include "hv/trap/trap.h"

#define INPUT_VECTOR 0x40u
#define PIECE        256u

static struct {
        struct uart *uart; /* NULL: nothing typed arrives */

        struct spinlock typing; /* of the next five, and of what was sent to each guest */
        bool escaped;           /* the last byte was an escape that nothing has followed yet */
        bool in_monitor;        /* the monitor is the reader */
        unsigned chosen;        /* number that was typed behind the escape; 0: none since */
        struct console_input guest, monitor; /* what each reader has not read */

        struct spinlock showing;     /* of the rest, and of every guest's counters */
        struct guest_console *all;   /* in no order */
        struct guest_console *focus; /* changed by CPU 0 alone */
        bool shows_monitor;          /* the monitor has the screen */
        bool amid;                   /* the guest in focus has begun a line */
} console;

/* ---- What is typed ---- */

static void input_add(struct console_input *input, uint8_t byte)
{
        if (input->head - input->tail < CONSOLE_INPUT)
                input->byte[input->head++ % CONSOLE_INPUT] = byte;
}

static int input_take(struct console_input *input)
{
        return input->head != input->tail ? input->byte[input->tail++ % CONSOLE_INPUT] : -1;
}

static int input_get(struct console_input *input)
{
        int c;

        spin_lock(&console.typing);
        c = input_take(input);
        spin_unlock(&console.typing);
        return c;
}

static void pass_on(uint8_t byte)
{
        input_add(console.in_monitor ? &console.monitor : &console.guest, byte);
}

/* A byte behind the escape. */
static void escaped_byte(uint8_t byte)
{
        if (byte == CONSOLE_SWITCH) {
                console.in_monitor = !console.in_monitor;
        } else if (byte >= '1' && byte <= '9') {
                console.in_monitor = false;
                console.chosen = byte - '0';
        } else {
                pass_on(CONSOLE_ESCAPE);
                if (byte != CONSOLE_ESCAPE)
                        pass_on(byte);
        }
}

void console_type(uint8_t byte)
{
        bool escaped;

        spin_lock(&console.typing);
        escaped = console.escaped;
        console.escaped = !escaped && byte == CONSOLE_ESCAPE;
        if (escaped)
                escaped_byte(byte);
        else if (!console.escaped)
                pass_on(byte);
        spin_unlock(&console.typing);
}

static void receive(void)
{
        int c;

        while ((c = uart_read(console.uart)) >= 0)
                console_type((uint8_t)c);
        lapic_eoi();
}

int console_init(struct uart *uart)
{
        int irq = uart_irq(uart);

        if (irq < 0)
                return -ENODEV;
        console.uart = uart;
        trap_set_irq(INPUT_VECTOR, receive);
        if (ioapic_route_isa((uint8_t)irq, INPUT_VECTOR, lapic_id())) {
                console.uart = NULL;
                return -ENODEV;
        }
        uart_set_receive_irq(uart, true);
        return 0;
}

bool console_can_input(void)
{
        return console.uart != NULL;
}

bool console_wants_service(void)
{
        return console.chosen || console.monitor.head != console.monitor.tail ||
               console.in_monitor != console.shows_monitor;
}

unsigned console_take_choice(void)
{
        return __atomic_exchange_n(&console.chosen, 0, __ATOMIC_SEQ_CST);
}

bool console_has_input(void)
{
        return console.guest.head != console.guest.tail;
}

bool console_send(struct guest_console *c, uint8_t byte)
{
        bool fits;

        spin_lock(&console.typing);
        fits = c->sent.head - c->sent.tail < CONSOLE_INPUT;
        input_add(&c->sent, byte);
        spin_unlock(&console.typing);
        return fits;
}

int console_get(struct guest_console *c)
{
        int sent = c ? input_get(&c->sent) : -1;

        if (sent >= 0)
                return sent;
        return console_focus() == c ? input_get(&console.guest) : -1;
}

int console_get_monitor(void)
{
        return input_get(&console.monitor);
}

bool console_in_monitor(void)
{
        return console.in_monitor;
}

void console_set_monitor(bool on)
{
        int c;

        spin_lock(&console.typing);
        console.in_monitor = on;
        while (!on && (c = input_take(&console.monitor)) >= 0)
                input_add(&console.guest, (uint8_t)c);
        spin_unlock(&console.typing);
}

/* ---- What shows ---- */

static size_t kept_from(const struct guest_console *c, size_t at)
{
        size_t oldest = c->head > CONSOLE_KEPT ? c->head - CONSOLE_KEPT : 0;

        return at < oldest ? oldest : at;
}

static size_t copy(const struct guest_console *c, size_t *at, char *out, size_t size)
{
        size_t n = 0;

        for (*at = kept_from(c, *at); n < size && *at < c->head; (*at)++)
                out[n++] = c->text[*at % CONSOLE_KEPT];
        return n;
}

/* The line may be slow: others at the consoles, and the CPU's vCPUs, get their turn. */
static void breathe(void)
{
        spin_unlock(&console.showing);
        work_step();
        spin_lock(&console.showing);
}

static void show_raw(struct guest_console *c)
{
        char piece[PIECE];
        size_t n;

        while ((n = copy(c, &c->shown, piece, sizeof piece))) {
                console.amid = piece[n - 1] != '\n';
                log_raw(piece, n);
                breathe();
        }
}

/* A line of one that is not in focus, cut where it is longer than a piece. */
static void show_line(struct guest_console *c, size_t end)
{
        char line[PIECE];
        size_t n =
            (size_t)format_text(line, sizeof line, "%s[%s] ", console.amid ? "\r\n" : "", c->name);
        char byte;

        for (c->shown = kept_from(c, c->shown); c->shown != end; c->shown++) {
                byte = c->text[c->shown % CONSOLE_KEPT];
                if (n < sizeof line - 2 && byte != '\r' && byte != '\n')
                        line[n++] = byte;
        }
        line[n++] = '\r';
        line[n++] = '\n';
        console.amid = false;
        log_raw(line, n);
}

/* The next whole line that has not been shown; false: there is none. */
static bool show_next_line(struct guest_console *c)
{
        for (size_t at = kept_from(c, c->shown); at != c->head; at++)
                if (c->text[at % CONSOLE_KEPT] == '\n') {
                        show_line(c, at + 1);
                        return true;
                }
        return false;
}

static void show_lines(struct guest_console *c)
{
        while (show_next_line(c))
                breathe();
}

static void show(struct guest_console *c)
{
        if (console.shows_monitor)
                return;
        if (c == console.focus)
                show_raw(c);
        else
                show_lines(c);
}

void console_open(struct guest_console *c, const char *name)
{
        spin_lock(&console.showing);
        c->name = name;
        c->head = c->shown = 0;
        c->sent.head = c->sent.tail = 0;
        c->next = console.all;
        console.all = c;
        spin_unlock(&console.showing);
}

static void show_all(struct guest_console *c)
{
        if (c == console.focus) {
                show_raw(c);
                return;
        }
        show_lines(c);
        if (c->shown != c->head)
                show_line(c, c->head);
}

void console_flush(struct guest_console *c)
{
        spin_lock(&console.showing);
        show_all(c);
        spin_unlock(&console.showing);
}

void console_close(struct guest_console *c)
{
        struct guest_console **link = &console.all;

        spin_lock(&console.showing);
        show_all(c);
        while (*link != c)
                link = &(*link)->next;
        *link = c->next;
        if (console.focus == c)
                console.focus = NULL;
        spin_unlock(&console.showing);
}

/* Keep up to a piece of what a guest has written; whether a line has ended. */
static bool keep(struct guest_console *c, const char *text, size_t n)
{
        bool line = false;

        for (size_t i = 0; i < n; i++) {
                char byte = text[i];

                c->text[c->head++ % CONSOLE_KEPT] = byte;
                line |= byte == '\n';
        }
        return line;
}

void console_write(struct guest_console *c, const char *text, size_t n)
{
        spin_lock(&console.showing);
        for (size_t done = 0, piece; done < n; done += piece) {
                piece = n - done < CONSOLE_KEPT / 2 ? n - done : CONSOLE_KEPT / 2;
                if (keep(c, text + done, piece) || c == console.focus)
                        show(c);
        }
        spin_unlock(&console.showing);
}

struct guest_console *console_focus(void)
{
        return __atomic_load_n(&console.focus, __ATOMIC_RELAXED);
}

void console_set_focus(struct guest_console *c)
{
        char line[64];
        int n;

        spin_lock(&console.showing);
        if (c && c != console.focus && console.all && console.all->next && console.focus) {
                n = format_text(line, sizeof line, "%s[%s] has the console\r\n",
                                console.amid ? "\r\n" : "", c->name);
                log_raw(line, (size_t)n);
                console.amid = false;
        }
        console.focus = c;
        if (c)
                show(c);
        spin_unlock(&console.showing);
}

void console_show_monitor(bool on)
{
        spin_lock(&console.showing);
        console.shows_monitor = on;
        for (struct guest_console *c = console.all; c; c = c->next)
                if (c != console.focus)
                        show(c);
        if (console.focus)
                show(console.focus);
        spin_unlock(&console.showing);
}

size_t console_read(const struct guest_console *c, size_t *at, char *out, size_t size)
{
        size_t n;

        spin_lock(&console.showing);
        n = copy(c, at, out, size);
        spin_unlock(&console.showing);
        return n;
}
