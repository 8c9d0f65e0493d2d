/* Text formatting without a C library; the contract and the supported conversions are in format.h.
 */
#include "hv/lib/format.h"

#include <stdbool.h>
#include <stdint.h>

#include "hv/lib/string.h"

struct out {
        char *buf;
        size_t size;
        size_t len;
};

struct spec {
        bool left;
        bool zero;
        int width;
        int precision;
        int longs;
};

static void put(struct out *o, char c)
{
        if (o->len + 1 < o->size)
                o->buf[o->len] = c;
        o->len++;
}

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t n)
{
        size_t width = s->width > 0 ? (size_t)s->width : 0;
        size_t pad = width > n ? width - n : 0;
        size_t i = 0;

        if (!s->left && s->zero && n && text[0] == '-') {
                put(o, '-');
                i = 1;
        }
        for (; !s->left && pad; pad--)
                put(o, s->zero ? '0' : ' ');
        for (; i < n; i++)
                put(o, text[i]);
        for (; pad; pad--)
                put(o, ' ');
}

static void put_number(struct out *o, const struct spec *s, uint64_t v, unsigned base,
                       bool negative, bool upper)
{
        const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
        char text[24];
        size_t at = sizeof text;

        do {
                text[--at] = digits[v % base];
                v /= base;
        } while (v);
        if (negative)
                text[--at] = '-';
        put_padded(o, s, text + at, sizeof text - at);
}

static uint64_t next_unsigned(const struct spec *s, va_list *ap)
{
        return s->longs ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned int);
}

static int64_t next_signed(const struct spec *s, va_list *ap)
{
        return s->longs ? va_arg(*ap, long) : va_arg(*ap, int);
}

static const char *parse_number(const char *p, int *out, va_list *ap)
{
        int v = 0;

        if (*p == '*') {
                *out = va_arg(*ap, int);
                return p + 1;
        }
        for (; *p >= '0' && *p <= '9'; p++)
                v = v * 10 + (*p - '0');
        *out = v;
        return p;
}

static const char *parse_spec(const char *p, struct spec *s, va_list *ap)
{
        *s = (struct spec){.precision = -1};
        for (;; p++) {
                if (*p == '-')
                        s->left = true;
                else if (*p == '0')
                        s->zero = true;
                else
                        break;
        }
        p = parse_number(p, &s->width, ap);
        if (*p == '.')
                p = parse_number(p + 1, &s->precision, ap);
        for (; *p == 'l' || *p == 'z'; p++)
                s->longs++;
        return p;
}

static void put_conversion(struct out *o, const struct spec *s, char c, va_list *ap)
{
        const char *text;
        int64_t sv;
        char ch;

        switch (c) {
        case 'd':
        case 'i':
                sv = next_signed(s, ap);
                put_number(o, s, sv < 0 ? -(uint64_t)sv : (uint64_t)sv, 10, sv < 0, false);
                break;
        case 'u':
                put_number(o, s, next_unsigned(s, ap), 10, false, false);
                break;
        case 'x':
        case 'X':
                put_number(o, s, next_unsigned(s, ap), 16, false, c == 'X');
                break;
        case 'p':
                put_number(o, s, (uintptr_t)va_arg(*ap, void *), 16, false, false);
                break;
        case 'c':
                ch = (char)va_arg(*ap, int);
                put_padded(o, s, &ch, 1);
                break;
        case 's':
                text = va_arg(*ap, const char *);
                if (!text)
                        text = "(null)";
                put_padded(o, s, text,
                           strnlen(text, s->precision < 0 ? SIZE_MAX : (size_t)s->precision));
                break;
        default:
                put(o, '%');
                put(o, c);
                break;
        }
}

int format_text_v(char *buf, size_t size, const char *fmt, va_list ap)
{
        struct out o = {.buf = buf, .size = size};
        struct spec s;
        va_list args;

        va_copy(args, ap);
        for (const char *p = fmt; *p; p++) {
                if (*p != '%') {
                        put(&o, *p);
                        continue;
                }
                p = parse_spec(p + 1, &s, &args);
                if (!*p)
                        break;
                if (*p == '%')
                        put(&o, '%');
                else
                        put_conversion(&o, &s, *p, &args);
        }
        va_end(args);
        if (size)
                buf[o.len < size ? o.len : size - 1] = '\0';
        return (int)o.len;
}

int format_text(char *buf, size_t size, const char *fmt, ...)
{
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = format_text_v(buf, size, fmt, ap);
        va_end(ap);
        return n;
}
