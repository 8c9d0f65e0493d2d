/*
 * Memory and string calls for the freestanding build. Bulk copies move 8 bytes at a time with REP,
 * which both processors and the emulators run fastest (one counted instruction a word on Bochs).
 */
#include "hv/lib/string.h"

#include <stdint.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
        void *d = dst;
        size_t words = n / 8;
        size_t rest = n % 8;

        __asm__ volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
        return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
        unsigned char *d = dst;
        const unsigned char *s = src;

        if ((uintptr_t)d - (uintptr_t)s >= n)
                return memcpy(dst, src, n);
        while (n--)
                d[n] = s[n];
        return dst;
}

void *memset(void *dst, int c, size_t n)
{
        void *d = dst;
        uint64_t word = 0x0101010101010101ull * (unsigned char)c;
        size_t words = n / 8;
        size_t rest = n % 8;

        __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(word) : "memory");
        return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
        const unsigned char *x = a;
        const unsigned char *y = b;

        for (size_t i = 0; i < n; i++)
                if (x[i] != y[i])
                        return x[i] < y[i] ? -1 : 1;
        return 0;
}

size_t strnlen(const char *s, size_t max)
{
        size_t n = 0;

        while (n < max && s[n])
                n++;
        return n;
}

size_t strlen(const char *s)
{
        return strnlen(s, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (a[i] != b[i])
                        return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
                if (!a[i])
                        break;
        }
        return 0;
}

int strcmp(const char *a, const char *b)
{
        return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
        for (;; s++) {
                if (*s == (char)c)
                        return (char *)(uintptr_t)s;
                if (!*s)
                        return NULL;
        }
}
