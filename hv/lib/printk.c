/* The log: a ring of the last lines and the outputs that show them; contract in printk.h. */
#include "hv/lib/printk.h"

#include <stdarg.h>

#include "hv/lib/format.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/string.h"

#define RING_SIZE 16384u
#define LINE_SIZE 256u

static char ring[RING_SIZE];
static size_t ring_used;
static size_t lines;
static log_sink_fn sinks[LOG_SINKS_MAX];
static size_t sink_count;
static enum log_level shown = LOG_NOTICE;
static struct spinlock lock; /* of ring and sinks: lines of several CPUs do not mix */

/* A line in the ring begins with its level, as a digit. */
static void ring_add(enum log_level level, const char *line, size_t n)
{
        ring[ring_used++ % RING_SIZE] = (char)('0' + level);
        for (size_t i = 0; i < n; i++)
                ring[ring_used++ % RING_SIZE] = line[i];
}

/* The level of the line that was copied; -1 behind the last one. */
static int next_line(size_t *at, char *line, size_t size)
{
        int level;
        size_t n = 0;

        if (ring_used > RING_SIZE && *at < ring_used - RING_SIZE) {
                /* the oldest line has lost its beginning: pass over it */
                *at = ring_used - RING_SIZE;
                while (*at < ring_used && ring[(*at)++ % RING_SIZE] != '\n')
                        ;
        }
        if (*at >= ring_used)
                return -1;
        level = ring[(*at)++ % RING_SIZE] - '0';
        for (char c; *at < ring_used && (c = ring[(*at)++ % RING_SIZE]) != '\n';)
                if (n + 1 < size)
                        line[n++] = c;
        line[n] = '\0';
        return level;
}

bool log_next_line(size_t *at, char *line, size_t size)
{
        return next_line(at, line, size) >= 0;
}

static void show(const char *text, size_t n)
{
        for (size_t i = 0; i < sink_count; i++)
                sinks[i](text, n);
}

void log_raw(const char *text, size_t n)
{
        spin_lock(&lock);
        show(text, n);
        spin_unlock(&lock);
}

void log_break_lock(void)
{
        lock = (struct spinlock){0};
}

size_t log_lines(void)
{
        return __atomic_load_n(&lines, __ATOMIC_RELAXED);
}

void log_set_level(enum log_level level)
{
        shown = level;
}

void log_add_sink(log_sink_fn sink)
{
        char line[LINE_SIZE];
        size_t at = 0;
        int level;

        if (sink_count == LOG_SINKS_MAX)
                return;
        sinks[sink_count++] = sink;
        while ((level = next_line(&at, line, sizeof line)) >= 0) {
                if (level > (int)shown)
                        continue;
                sink(line, strlen(line));
                sink("\n", 1);
        }
}

void printk(enum log_level level, const char *fmt, ...)
{
        static const char *const prefix[] = {"error: ", "warning: ", "", "", "debug: "};
        char line[LINE_SIZE];
        size_t n = strlen(prefix[level]);
        size_t room = sizeof line - 1 - n;
        va_list ap;
        int len;

        if (level > shown && level > LOG_INFO)
                return;
        memcpy(line, prefix[level], n);
        va_start(ap, fmt);
        len = format_text_v(line + n, room, fmt, ap);
        va_end(ap);
        n += (size_t)len < room ? (size_t)len : room - 1;
        line[n++] = '\n';
        spin_lock(&lock);
        ring_add(level, line, n);
        if (level <= shown) {
                lines++;
                show(line, n);
        }
        spin_unlock(&lock);
}

void log_report(void *ctx, const char *line)
{
        printk(LOG_ERROR, "%s%s", (const char *)ctx, line);
}
