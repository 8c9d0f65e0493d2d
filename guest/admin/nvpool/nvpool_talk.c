/*
 * How the off-line tool talks: output on standard output, errors, the log and questions on standard
 * error.
 */
#include "guest/admin/nvpool/nvpool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/lib/printk.h"

static bool log_muted;

void tool_say(const char *fmt, ...)
{
        va_list ap;

        fflush(stdout);
        fputs("nvpool: ", stderr);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
}

/* The log comes in lines. */
static void log_line(const char *text, size_t n)
{
        if (!log_muted)
                tool_say("%.*s", (int)n - 1, text);
}

void tool_log_start(bool verbose)
{
        log_set_level(verbose ? LOG_DEBUG : LOG_WARN);
        log_add_sink(log_line);
}

void tool_log_mute(bool mute)
{
        log_muted = mute;
}

bool tool_confirm(const char *what)
{
        char answer[16] = "";

        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
                tool_say("%s wants -y when nobody can be asked", what);
                return false;
        }
        fflush(stdout);
        fprintf(stderr, "nvpool: %s: sure? [y/N] ", what);
        if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
                tool_say("nothing was changed");
                return false;
        }
        return true;
}

/* Verbs print errors as lines "error: ..."; here they go where a tool's errors are expected. In
 * JSON they stay what they are: objects. */
struct output {
        char head[7];
        size_t used;
        FILE *to;
};

static void put_char(struct output *output, char c)
{
        static const char mark[] = "error: ";

        if (output->used < sizeof output->head) {
                output->head[output->used++] = c;
                if (output->used == sizeof output->head && !memcmp(output->head, mark, 7)) {
                        fflush(stdout);
                        output->to = stderr;
                        fputs("nvpool: ", stderr);
                } else if (output->used == sizeof output->head || c == '\n') {
                        output->to = stdout;
                        fwrite(output->head, 1, output->used, stdout);
                }
        } else {
                fputc(c, output->to);
        }
        if (c == '\n')
                output->used = 0;
}

void tool_put(void *ctx, const char *text, size_t n)
{
        static struct output output;

        (void)ctx;
        for (size_t i = 0; i < n; i++)
                put_char(&output, text[i]);
}

void panic(const char *fmt, ...)
{
        va_list ap;

        fputs("nvpool: panic: ", stderr);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        abort();
}
