/*
 * Text formatting: the subset of C's printf that the tree uses.
 *
 * Conversions: %d %i %u %x %X %c %s %p %% with flags '-' and '0', width (also *), precision for %s
 * (also *), and lengths l, ll, z. Anything else is printed as it stands.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/*
 * Format into buf, always terminated when size > 0. Returns the length the whole text has, which is
 * >= size when it was cut, as C's vsnprintf does.
 */
int format_text(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int format_text_v(char *buf, size_t size, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
