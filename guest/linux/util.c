/* What the persistence tests share; see pf_util.h. */
#include "guest/linux/pf_util.h"

#include <cpuid.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CACHE_LINE 64

enum flush { FLUSH_UNKNOWN, FLUSH_CLFLUSH, FLUSH_CLFLUSHOPT, FLUSH_CLWB };

static void print_line(const char *kind, const char *name, const char *fmt, va_list ap)
{
        char text[256];
        char line[320];
        int n;

        vsnprintf(text, sizeof(text), fmt, ap);
        n = snprintf(line, sizeof(line), "%s: %s %s\n", kind, name, text);
        /* One write, so that the lines of programs that run together do not mix. */
        if (write(STDOUT_FILENO, line, (size_t)n) != n)
                _exit(2);
}

void pf_fail(const char *name, const char *fmt, ...)
{
        char text[200];
        va_list ap;

        va_start(ap, fmt);
        snprintf(text, sizeof(text), "FAIL %s", fmt);
        print_line("PF-TEST", name, text, ap);
        va_end(ap);
        exit(1);
}

void pf_ack(const char *name, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        print_line("PF-ACK", name, fmt, ap);
        va_end(ap);
}

static enum flush find_flush(void)
{
        unsigned int a, b = 0, c, d;

        __get_cpuid_count(7, 0, &a, &b, &c, &d);
        if (b & (1u << 24))
                return FLUSH_CLWB;
        if (b & (1u << 23))
                return FLUSH_CLFLUSHOPT;
        return FLUSH_CLFLUSH;
}

void pf_persist(const void *p, size_t n)
{
        static enum flush flush;
        uintptr_t line = (uintptr_t)p & ~(uintptr_t)(CACHE_LINE - 1);
        uintptr_t end = (uintptr_t)p + n;

        if (flush == FLUSH_UNKNOWN)
                flush = find_flush();
        for (; line < end; line += CACHE_LINE) {
                volatile char *at = (volatile char *)line;

                if (flush == FLUSH_CLWB)
                        asm volatile(".byte 0x66; xsaveopt %0" : "+m"(*at)); /* CLWB */
                else if (flush == FLUSH_CLFLUSHOPT)
                        asm volatile(".byte 0x66; clflush %0" : "+m"(*at)); /* CLFLUSHOPT */
                else
                        asm volatile("clflush %0" : "+m"(*at));
        }
        asm volatile("sfence" ::: "memory");
}

uint64_t pf_random(uint64_t *state)
{
        uint64_t z = *state += 0x9e3779b97f4a7c15ull;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
}

void pf_fill(void *p, size_t n, uint64_t seed, uint64_t stream)
{
        uint64_t state = seed * 0x100000001b3ull ^ stream;
        uint64_t *word = p;

        for (size_t i = 0; i < n / 8; i++)
                word[i] = pf_random(&state);
}

uint64_t pf_checksum(const void *p, size_t n)
{
        const uint64_t *word = p;
        uint64_t sum = 0xcbf29ce484222325ull;

        for (size_t i = 0; i < n / 8; i++)
                sum = ((sum ^ word[i]) * 0x100000001b3ull) ^ (sum >> 47);
        return sum;
}
