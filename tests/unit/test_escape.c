/* The console's escape: every way to follow Ctrl-]. */
#include "guest/console/escape.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Feed typed; passed holds what the reader gets, with '!' for each switch and a capital for
 * each guest that was chosen. */
static void expect(const char *typed, const char *passed)
{
        struct escape e = {.open = false};
        char got[64] = "";
        size_t n = 0;

        for (const char *p = typed; *p; p++) {
                uint8_t pass[2];
                int count = escape_byte(&e, (uint8_t)*p, pass);

                if (count == ESCAPE_SWITCHES)
                        got[n++] = '!';
                if (count == ESCAPE_CHOOSES)
                        got[n++] = (char)('A' + pass[0]);
                for (int i = 0; i < count; i++)
                        got[n++] = (char)pass[i];
        }
        got[n] = '\0';
        CHECK(strcmp(got, passed) == 0);
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
}

int main(void)
{
        RUN(test_plain);
        RUN(test_switch);
        RUN(test_choice);
        RUN(test_doubled);
        RUN(test_others);
        return unit_done();
}
