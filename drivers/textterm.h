/*
 * A text terminal's logic, without the screen: cursor, line wrap, scrolling, control characters
 * (\n \r \b \t). ANSI escape sequences are dropped. Two cell buffers, wanted and shown, let it
 * redraw changed cells only and never read the screen.
 */
#pragma once

#include "hv/lib/types.h"

struct textterm_ops {
        /* show character ch in a cell */
        void (*draw)(void *ctx, unsigned row, unsigned col, char ch);
        /* the cursor stands at a cell now; may be NULL */
        void (*move_cursor)(void *ctx, unsigned row, unsigned col);
};

enum textterm_state { TEXTTERM_PLAIN, TEXTTERM_ESCAPE, TEXTTERM_CSI, TEXTTERM_STRING };

struct textterm {
        const struct textterm_ops *ops;
        void *ctx;
        unsigned cols, rows;
        char *wanted; /* rows * cols characters */
        char *shown;
        unsigned row, col;           /* cursor; col == cols: the next character wraps */
        unsigned dirty_lo, dirty_hi; /* rows that may differ from the screen: lo <= row < hi */
        enum textterm_state state;   /* inside an escape sequence? */
};

/*
 * Set up an empty terminal and draw all its cells (as blanks). cells is the caller's memory of
 * 2 * cols * rows bytes, kept in use; ops is kept by reference. cols and rows are at least 1.
 */
void textterm_init(struct textterm *t, const struct textterm_ops *ops, void *ctx, unsigned cols,
                   unsigned rows, char *cells);

/* Print n bytes and bring the screen up to date. */
void textterm_write(struct textterm *t, const char *text, size_t n);
