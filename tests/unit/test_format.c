/* The text formatter against the C library's, over random conversions, widths, flags and values. */
#include "hv/lib/format.h"

#include <limits.h>
#include <string.h>

#include "tests/unit/unit.h"

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

static void check_same(const char *fmt, int n, const char *got, int m, const char *expected)
{
        if (n == m && !strcmp(got, expected))
                return;
        printf("%s: \"%s\" (%d), expected \"%s\" (%d)\n", fmt, got, n, expected, m);
        CHECK(false);
}

#define BOTH(size, ...)                                                                            \
        do {                                                                                       \
                char got[80], expected[80];                                                        \
                int n, m;                                                                          \
                memset(got, '#', sizeof got);                                                      \
                n = format_text(got, size, __VA_ARGS__);                                           \
                m = snprintf(expected, size, __VA_ARGS__);                                         \
                check_same(fmt, n, got, m, expected);                                              \
                CHECK_EQ(got[size], '#');                                                          \
        } while (0)

static uint64_t random_value(uint64_t *seed)
{
        static const uint64_t edges[] = {0,       1,        INT_MAX,   UINT_MAX,
                                         INT_MIN, LONG_MAX, ULONG_MAX, (uint64_t)LONG_MIN};

        if (unit_random(seed) % 3 == 0)
                return edges[unit_random(seed) % 8];
        return unit_random(seed) >> unit_random(seed) % 64;
}

static void random_spec(uint64_t *seed, char *fmt, const char *length, char conversion)
{
        static const char *const flags[] = {"", "-", "0"};
        char width[8] = "";

        if (unit_random(seed) % 2)
                snprintf(width, sizeof width, "%d", (int)(1 + unit_random(seed) % 30));
        snprintf(fmt, 32, "<%%%s%s%s%c>", flags[unit_random(seed) % 3], width, length, conversion);
}

static void test_random_numbers(void)
{
        static const char conversions[] = "diuxX";
        uint64_t seed = unit_seed();
        char fmt[32];

        for (int i = 0; i < 100000; i++) {
                uint64_t v = random_value(&seed);
                size_t size = 1 + unit_random(&seed) % 60;
                char c = conversions[unit_random(&seed) % 5];

                random_spec(&seed, fmt, "", c);
                BOTH(size, fmt, (int)v);
                random_spec(&seed, fmt, "l", c);
                BOTH(size, fmt, (long)v);
                random_spec(&seed, fmt, "ll", c);
                BOTH(size, fmt, (long long)v);
                random_spec(&seed, fmt, "z", c);
                BOTH(size, fmt, (size_t)v);
        }
}

static void test_text(void)
{
        static const char *const fmts[] = {"%s",   "<%10s>",  "<%-10s>",  "<%.3s>",
                                           "%.0s", "%12.5s|", "%-12.5s|", "%1s"};
        static const char *const texts[] = {"", "a", "permafrost", "a much longer text than that"};

        for (size_t f = 0; f < 8; f++) {
                const char *fmt = fmts[f];

                for (size_t t = 0; t < 4; t++)
                        for (size_t size = 1; size < 40; size++)
                                BOTH(size, fmt, texts[t]);
        }
}

static void test_other_conversions(void)
{
        const char *fmt = "others";
        const char *volatile null = NULL; /* volatile: or the compiler warns of it */
        char buf[8] = "unused", raw[3] = {'a', 'b', 'c'};

        BOTH(40, "%c%c%%%c", 'a', 'b', 'c');
        BOTH(40, "<%*d> <%-*d>", 7, 42, 7, -42);
        BOTH(40, "<%.*s>", 3, raw);
        BOTH(40, "100%% of %s", "it");
        BOTH(40, "%04x:%02x.%u", 0x12, 3, 4u);
        BOTH(40, "no conversion");
        CHECK_EQ(format_text(buf, sizeof buf, "%p", (void *)0xabc), 3);
        CHECK(!strcmp(buf, "abc"));
        CHECK_EQ(format_text(buf, sizeof buf, "%s", null), 6);
        CHECK(!strcmp(buf, "(null)"));
}

static void test_no_room(void)
{
        char c = '#';

        CHECK_EQ(format_text(NULL, 0, "%d", 12345), 5);
        CHECK_EQ(format_text(&c, 0, "%d", 12345), 5);
        CHECK_EQ(c, '#');
        CHECK_EQ(format_text(&c, 1, "%d", 12345), 5);
        CHECK_EQ(c, '\0');
}

int main(void)
{
        RUN(test_random_numbers);
        RUN(test_text);
        RUN(test_other_conversions);
        RUN(test_no_room);
        return unit_done();
}
