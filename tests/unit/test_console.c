/* The console: every way to follow Ctrl-], who reads what was typed, and what shows of each guest.
 */
#include "guest/console/console.h"

#include <string.h>

#include "hv/lib/printk.h"
#include "tests/unit/unit.h"

static char screen[4096];

/* In place of the log's outputs. */
void log_raw(const char *text, size_t n)
{
        strncat(screen, text, n);
}

static void shows(const char *text)
{
        CHECK(strcmp(screen, text) == 0);
        if (strcmp(screen, text) != 0)
                printf("# shows %s\n", screen);
        screen[0] = '\0';
}

/* Feed typed; passed holds what the readers get, with '!' for each switch and a capital for
 * each guest that was chosen. */
static void expect(const char *typed, const char *passed)
{
        char got[64] = "";
        size_t n = 0;

        console_set_monitor(false);
        for (const char *p = typed; *p; p++) {
                bool monitor = console_in_monitor();
                unsigned number;
                int c;

                console_type((uint8_t)*p);
                if (console_in_monitor() != monitor)
                        got[n++] = '!';
                if ((number = console_take_choice()))
                        got[n++] = (char)('A' + number);
                CHECK_EQ(console_in_monitor() ? console_get(NULL) : console_get_monitor(), -1);
                while ((c = console_in_monitor() ? console_get_monitor() : console_get(NULL)) >= 0)
                        got[n++] = (char)c;
        }
        CHECK(strcmp(got, passed) == 0);
        if (strcmp(got, passed) != 0)
                printf("# %s\n", got);
}

static void test_plain(void)
{
        expect("abc\r\x1b[A\x03", "abc\r\x1b[A\x03");
}

static void test_switch(void)
{
        expect("a\x1d"
               "cb",
               "a!b");
        expect("\x1d"
               "c\x1d"
               "c",
               "!!");
}

static void test_choice(void)
{
        expect("a\x1d"
               "1\x1d"
               "9b\x1d"
               "0",
               "aBJb\x1d"
               "0");
}

static void test_doubled(void)
{
        expect("\x1d\x1d", "\x1d");
        expect("\x1d\x1d"
               "c",
               "\x1d"
               "c");
        expect("\x1d\x1d\x1d"
               "c",
               "\x1d!");
}

static void test_others(void)
{
        expect("\x1dx", "\x1dx");
        expect("\x1d\rc", "\x1d\rc");
        expect("\x1d"
               "C",
               "\x1d"
               "C");
        expect("\x1d", "");
        console_type(CONSOLE_ESCAPE); /* no escape stays open */
        (void)console_get(NULL);
}

static void type(const char *text)
{
        for (; *text; text++)
                console_type((uint8_t)*text);
}

static void write_to(struct guest_console *c, const char *text)
{
        for (; *text; text++)
                console_write(c, text, 1);
}

static struct guest_console a, b;

static void open_both(void)
{
        console_open(&a, "a");
        console_open(&b, "b");
        console_set_focus(&a);
        screen[0] = '\0';
}

static void close_both(void)
{
        console_close(&a);
        console_close(&b);
        CHECK(!console_focus());
        screen[0] = '\0';
}

/* What was typed stays with its reader, and only the guest in focus reads. */
static void test_readers(void)
{
        open_both();
        CHECK(!console_wants_service());
        type("x\x1d"
             "cy");
        CHECK(console_wants_service()); /* the screen is to follow */
        console_show_monitor(true);
        CHECK(console_wants_service()); /* there is something to read */
        CHECK_EQ(console_get(&b), -1);
        CHECK_EQ(console_get(&a), 'x');
        CHECK_EQ(console_get(&a), -1);
        CHECK_EQ(console_get_monitor(), 'y');
        CHECK(!console_wants_service());
        type("z");
        console_set_monitor(false);
        CHECK_EQ(console_get_monitor(), -1);
        CHECK(console_has_input());
        CHECK_EQ(console_get(&a), 'z');
        console_show_monitor(false);
        CHECK(!console_wants_service());
        type("\x1d"
             "2");
        CHECK(console_wants_service());
        CHECK_EQ(console_take_choice(), 2);
        CHECK_EQ(console_take_choice(), 0);
        close_both();
}

static void test_input_is_bounded(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < 1000; i++)
                console_type((uint8_t)('a' + i % 16));
        while (console_get(NULL) >= 0)
                n++;
        CHECK_EQ(n, 256);
}

static void test_focus_shows(void)
{
        open_both();
        write_to(&a, "one");
        shows("one");
        write_to(&b, "two");
        shows("");
        write_to(&b, " lines\r\nand ");
        shows("\r\n[b] two lines\r\n");
        console_set_focus(&b);
        shows("[b] has the console\r\nand ");
        write_to(&a, " more\n");
        shows("\r\n[a]  more\r\n");
        close_both();
}

static void test_monitor_holds_back(void)
{
        open_both();
        console_show_monitor(true);
        write_to(&a, "from a\n");
        write_to(&b, "from b\nrest");
        shows("");
        console_show_monitor(false);
        shows("[b] from b\r\nfrom a\n");
        console_show_monitor(true);
        console_flush(&b);
        shows("[b] rest\r\n");
        write_to(&a, "end");
        console_close(&a);
        shows("end");
        CHECK(!console_focus());
        console_show_monitor(false);
        console_close(&b);
        shows("");
}

/* The oldest is lost; what is read is what is kept. */
static void test_what_is_kept(void)
{
        char text[32] = "";
        size_t at = 0, n = 0, got;

        open_both();
        console_show_monitor(true);
        for (unsigned i = 0; i < CONSOLE_KEPT; i++)
                write_to(&b, i % 2 ? "." : "-");
        write_to(&b, "xyz");
        CHECK_EQ(console_read(&b, &at, text, 4), 4);
        CHECK(memcmp(text, ".-.-", 4) == 0);
        while ((got = console_read(&b, &at, text, sizeof text - 1)))
                n += got;
        CHECK_EQ(n, CONSOLE_KEPT - 4);
        console_show_monitor(false);
        close_both();
}

int main(void)
{
        RUN(test_plain);
        RUN(test_switch);
        RUN(test_choice);
        RUN(test_doubled);
        RUN(test_others);
        RUN(test_readers);
        RUN(test_input_is_bounded);
        RUN(test_focus_shows);
        RUN(test_monitor_holds_back);
        RUN(test_what_is_kept);
        return unit_done();
}
