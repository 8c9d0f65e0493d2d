/*
 * A text terminal's logic. The escape parser follows ECMA-48 as far as needed to drop a sequence:
 * CSI ends with 40h-7Eh, a control string (OSC, DCS...) with BEL or ESC \.
 */
#include "drivers/textterm.h"

#include "hv/lib/string.h"

#define TAB_WIDTH 8

static void mark_dirty(struct textterm *t, unsigned lo, unsigned hi)
{
        if (lo < t->dirty_lo)
                t->dirty_lo = lo;
        if (hi > t->dirty_hi)
                t->dirty_hi = hi;
}

/*
 * Index of the first cell from col on that differs; cols when none does. Most of a screen is blank
 * before and after it scrolls, so equal cells are passed eight at a time.
 */
static unsigned next_change(const char *wanted, const char *shown, unsigned col, unsigned cols)
{
        for (; col + 8 <= cols; col += 8) {
                uint64_t w, s;

                __builtin_memcpy(&w, wanted + col, 8);
                __builtin_memcpy(&s, shown + col, 8);
                if (w != s)
                        return col + (unsigned)__builtin_ctzll(w ^ s) / 8;
        }
        while (col < cols && wanted[col] == shown[col])
                col++;
        return col;
}

static void flush(struct textterm *t)
{
        for (unsigned row = t->dirty_lo; row < t->dirty_hi; row++) {
                const char *wanted = t->wanted + (size_t)row * t->cols;
                char *shown = t->shown + (size_t)row * t->cols;

                for (unsigned col = 0;; col++) {
                        col = next_change(wanted, shown, col, t->cols);
                        if (col == t->cols)
                                break;
                        shown[col] = wanted[col];
                        t->ops->draw(t->ctx, row, col, wanted[col]);
                }
        }
        t->dirty_lo = t->rows;
        t->dirty_hi = 0;
        if (t->ops->move_cursor != NULL)
                t->ops->move_cursor(t->ctx, t->row, t->col < t->cols ? t->col : t->cols - 1);
}

static void new_line(struct textterm *t)
{
        size_t keep = (size_t)(t->rows - 1) * t->cols;

        t->col = 0;
        if (t->row + 1 < t->rows) {
                t->row++;
                return;
        }
        memmove(t->wanted, t->wanted + t->cols, keep);
        memset(t->wanted + keep, ' ', t->cols);
        mark_dirty(t, 0, t->rows);
}

static void put(struct textterm *t, char c)
{
        if (t->col == t->cols)
                new_line(t);
        t->wanted[(size_t)t->row * t->cols + t->col] = c;
        mark_dirty(t, t->row, t->row + 1);
        t->col++;
}

static void put_plain(struct textterm *t, char c)
{
        switch (c) {
        case '\n':
                new_line(t);
                break;
        case '\r':
                t->col = 0;
                break;
        case '\b':
                if (t->col != 0)
                        t->col--;
                break;
        case '\t':
                do
                        put(t, ' ');
                while (t->col % TAB_WIDTH != 0 && t->col < t->cols);
                break;
        case '\033':
                t->state = TEXTTERM_ESCAPE;
                break;
        default:
                if ((unsigned char)c >= ' ' && c != 0x7f)
                        put(t, c);
        }
}

/* The byte after ESC: intermediate bytes (20h-2Fh) announce one more, most others end it. */
static enum textterm_state after_escape(unsigned char c)
{
        if (c == '[')
                return TEXTTERM_CSI;
        if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
                return TEXTTERM_STRING;
        return c >= 0x20 && c <= 0x2f ? TEXTTERM_ESCAPE : TEXTTERM_PLAIN;
}

static void put_any(struct textterm *t, char c)
{
        switch (t->state) {
        case TEXTTERM_ESCAPE:
                t->state = after_escape((unsigned char)c);
                break;
        case TEXTTERM_CSI:
                /* a newline cannot be part of it: a cut sequence costs no more than its line */
                if (c == '\n' || c == '\033') {
                        t->state = TEXTTERM_PLAIN;
                        put_plain(t, c);
                } else if (c >= 0x40 && c <= 0x7e) {
                        t->state = TEXTTERM_PLAIN;
                }
                break;
        case TEXTTERM_STRING:
                if (c == '\n' || c == '\033') {
                        t->state = TEXTTERM_PLAIN;
                        put_plain(t, c);
                } else if (c == '\a') {
                        t->state = TEXTTERM_PLAIN;
                }
                break;
        case TEXTTERM_PLAIN:
                put_plain(t, c);
        }
}

void textterm_init(struct textterm *t, const struct textterm_ops *ops, void *ctx, unsigned cols,
                   unsigned rows, char *cells)
{
        size_t n = (size_t)cols * rows;

        *t = (struct textterm){.ops = ops,
                               .ctx = ctx,
                               .cols = cols,
                               .rows = rows,
                               .wanted = cells,
                               .shown = cells + n};
        memset(t->wanted, ' ', n);
        /* what the screen shows is unknown: NUL is never wanted, so every cell is drawn */
        memset(t->shown, 0, n);
        t->dirty_hi = rows;
        flush(t);
}

void textterm_write(struct textterm *t, const char *text, size_t n)
{
        for (size_t i = 0; i < n; i++)
                put_any(t, text[i]);
        flush(t);
}
