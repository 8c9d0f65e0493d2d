/*
 * A line editor for a serial terminal: typed bytes in, echo out. It uses printable ASCII, backspace
 * and bell only, so that every terminal and the screen's log show the same.
 *
 *     backspace, DEL    delete before the cursor       Ctrl-U  delete the line before the cursor
 *     Delete            delete under the cursor        Ctrl-W  delete the word before the cursor
 *     left, right, Home, End (Ctrl-B, -F, -A, -E)      Ctrl-C  drop the line
 *     up, down (Ctrl-P, Ctrl-N)  history               Tab     complete
 *
 * A line that is wider than the terminal can be edited, but is not redrawn well.
 */
#pragma once

#include "guest/text/command.h"
#include "hv/lib/types.h"

#define LINE_EDIT_HISTORY 8

/* What the editor needs from its owner; ctx is theirs. */
struct line_edit_ops {
        /* show n bytes of echo */
        void (*put)(void *ctx, const char *text, size_t n);
        /* as command_complete; NULL: Tab does nothing */
        size_t (*complete)(void *ctx, const char *line, size_t len, char *add, size_t size,
                           void (*show)(void *show_ctx, const char *candidate), void *show_ctx);
        void *ctx;
};

enum line_edit_event {
        LINE_EDIT_MORE,    /* the line goes on */
        LINE_EDIT_DONE,    /* ended by CR, LF or CR LF; it stands in text */
        LINE_EDIT_DROPPED, /* Ctrl-C */
};

enum line_edit_key { LINE_EDIT_PLAIN, LINE_EDIT_ESC, LINE_EDIT_CSI, LINE_EDIT_SS3 };

struct line_edit {
        char text[COMMAND_LINE_SIZE]; /* terminated at len */
        size_t len;
        /* private */
        size_t at; /* cursor */
        const struct line_edit_ops *ops;
        const char *prompt;
        enum line_edit_key key; /* in which escape sequence */
        unsigned number;        /* its parameter */
        bool after_cr;
        char history[LINE_EDIT_HISTORY][COMMAND_LINE_SIZE];
        size_t entries, shown; /* shown: steps back in the history, 0: the line being typed */
        char draft[COMMAND_LINE_SIZE];
};

/* Empty history. ops is kept by reference. */
void line_edit_init(struct line_edit *edit, const struct line_edit_ops *ops);

/* Show prompt (kept by reference) and begin an empty line. */
void line_edit_begin(struct line_edit *edit, const char *prompt);

/*
 * Take a byte. After DONE and DROPPED the cursor is on a new line, and line_edit_begin comes next.
 * A byte that does not fit into the line any more rings the bell.
 */
enum line_edit_event line_edit_byte(struct line_edit *edit, uint8_t byte);

/* Remember text for up and down; empty lines and repetitions of the latest are passed over. */
void line_edit_remember(struct line_edit *edit, const char *text);

/* Show prompt and line again, after other text was shown: on a new line. */
void line_edit_redraw(struct line_edit *edit);
