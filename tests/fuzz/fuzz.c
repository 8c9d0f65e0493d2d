/* The helpers of fuzz.h, and the log and the panic of a hosted program. */
#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>

#include "hv/lib/format.h"
#include "hv/lib/printk.h"

unsigned long fuzz_complaints;

void fuzz_fail(const char *file, int line, const char *what)
{
        fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, what);
        abort();
}

void *fuzz_alloc(size_t size)
{
        void *block = malloc(size);

        if (!block && size)
                abort();
        return block;
}

uint8_t *fuzz_block(struct fuzz_input *in, size_t size, size_t *got)
{
        uint8_t *block;

        *got = size < in->left ? size : in->left;
        block = fuzz_alloc(*got);
        if (*got)
                memcpy(block, in->at, *got);
        in->at += *got;
        in->left -= *got;
        return block;
}

char *fuzz_string(struct fuzz_input *in, size_t size)
{
        size_t len = size < in->left ? size : in->left;
        char *text = fuzz_alloc(len + 1);

        memcpy(text, in->at, len);
        text[len] = '\0';
        in->at += len;
        in->left -= len;
        return text;
}

void fuzz_fix_sum(uint8_t *table, size_t size, size_t checksum)
{
        uint8_t sum = 0;

        table[checksum] = 0;
        for (size_t i = 0; i < size; i++)
                sum = (uint8_t)(sum + table[i]);
        table[checksum] = (uint8_t)-sum;
}

/* Formatted as on the machine, and not shown: $VERBOSE shows it when a finding is looked at. */
void printk(enum log_level level, const char *fmt, ...)
{
        char line[512];
        va_list ap;

        va_start(ap, fmt);
        DEMAND(format_text_v(line, sizeof line, fmt, ap) >= 0);
        va_end(ap);
        fuzz_complaints += level <= LOG_WARN;
        if (getenv("VERBOSE"))
                fprintf(stderr, "# log %d: %s\n", (int)level, line);
}

void panic(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, ": panic\n");
        abort();
}

void log_raw(const char *text, size_t n)
{
        if (getenv("VERBOSE"))
                fwrite(text, 1, n, stderr);
}

size_t log_lines(void)
{
        return 0;
}

bool log_next_line(size_t *at, char *line, size_t size)
{
        if (*at >= 2)
                return false;
        format_text(line, size, "line %u", (unsigned)(*at)++);
        return true;
}
