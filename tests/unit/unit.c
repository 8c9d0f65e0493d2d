/* The runner behind unit.h, and a log that goes to standard output when $VERBOSE is set. */
#include "tests/unit/unit.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "hv/lib/printk.h"

int unit_failed_checks;
static int failed_tests;

void unit_run(const char *name, void (*test)(void))
{
        int before = unit_failed_checks;

        test();
        if (unit_failed_checks != before)
                failed_tests++;
        printf("%s %s\n", unit_failed_checks == before ? "ok" : "not ok", name);
        fflush(stdout);
}

int unit_done(void)
{
        return failed_tests ? 1 : 0;
}

uint64_t unit_seed(void)
{
        const char *env = getenv("SEED");
        uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);

        printf("# SEED=%llu\n", (unsigned long long)seed);
        return seed;
}

uint64_t unit_random(uint64_t *state)
{
        uint64_t z = *state += 0x9e3779b97f4a7c15ull;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
}

static char log_text[65536];
static size_t log_used, log_count;

void unit_log_clear(void)
{
        log_text[0] = '\0';
        log_used = 0;
}

bool unit_log_has(const char *text)
{
        return strstr(log_text, text) != NULL;
}

void printk(enum log_level level, const char *fmt, ...)
{
        va_list ap;
        int n;

        log_count++;
        va_start(ap, fmt);
        n = vsnprintf(log_text + log_used, sizeof log_text - log_used, fmt, ap);
        va_end(ap);
        log_used =
            n < (int)(sizeof log_text - log_used) ? log_used + (size_t)n : sizeof log_text - 1;
        if (!getenv("VERBOSE"))
                return;
        printf("# log %d: ", (int)level);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf("\n");
}

void panic(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf(": panic\n");
        abort();
}

/* A test may have one of its own. */
__attribute__((weak)) void log_raw(const char *text, size_t n)
{
        if (getenv("VERBOSE"))
                fwrite(text, 1, n, stdout);
}

size_t log_lines(void)
{
        return log_count;
}

bool log_next_line(size_t *at, char *line, size_t size)
{
        static const char *const lines[] = {"first line", "second \"line\""};

        if (*at >= 2)
                return false;
        snprintf(line, size, "%s", lines[(*at)++]);
        return true;
}
