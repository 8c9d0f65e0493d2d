/*
 * The line editor; keys and contract in line_edit.h.
 *
 * The cursor is moved left by backspaces and right by showing again what stands there; a change
 * shows the line from there on, and blanks over what it has become shorter.
 */
#include "guest/text/line_edit.h"

#include "hv/lib/string.h"

#define CTRL(c) ((c)&0x1f)
#define ESC     0x1b
#define DEL     0x7f

static void put(const struct line_edit *e, const char *text, size_t n)
{
        e->ops->put(e->ops->ctx, text, n);
}

static void put_times(const struct line_edit *e, char c, size_t n)
{
        while (n--)
                put(e, &c, 1);
}

static void ring(const struct line_edit *e)
{
        put_times(e, '\a', 1);
}

static void move_to(struct line_edit *e, size_t at)
{
        if (at < e->at)
                put_times(e, '\b', e->at - at);
        else
                put(e, e->text + e->at, at - e->at);
        e->at = at;
}

/* Show the text from the cursor on, wipe what was longer, and go back to the cursor. */
static void show_rest(const struct line_edit *e, size_t wiped)
{
        size_t rest = e->len - e->at;

        put(e, e->text + e->at, rest);
        put_times(e, ' ', wiped);
        put_times(e, '\b', rest + wiped);
}

/* Delete [from, to) and leave the cursor at from. */
static void erase(struct line_edit *e, size_t from, size_t to)
{
        if (from == to) {
                ring(e);
                return;
        }
        move_to(e, from);
        memmove(e->text + from, e->text + to, e->len - to + 1);
        e->len -= to - from;
        show_rest(e, to - from);
}

static void insert(struct line_edit *e, const char *text, size_t n)
{
        if (e->len + n >= sizeof e->text) {
                ring(e);
                return;
        }
        memmove(e->text + e->at + n, e->text + e->at, e->len - e->at + 1);
        memcpy(e->text + e->at, text, n);
        e->len += n;
        put(e, text, n);
        e->at += n;
        if (e->at < e->len)
                show_rest(e, 0);
}

/* The whole line becomes text, the cursor stands at its end. */
static void replace(struct line_edit *e, const char *text)
{
        size_t before = e->len;

        move_to(e, 0);
        e->len = strlen(text);
        memcpy(e->text, text, e->len + 1);
        show_rest(e, before > e->len ? before - e->len : 0);
        move_to(e, e->len);
}

static size_t word_start(const struct line_edit *e)
{
        size_t at = e->at;

        while (at && e->text[at - 1] == ' ')
                at--;
        while (at && e->text[at - 1] != ' ')
                at--;
        return at;
}

/* To the line typed `steps` lines ago; 0: back to the one being typed. */
static void show_history(struct line_edit *e, size_t steps)
{
        if (steps > e->entries) {
                ring(e);
                return;
        }
        if (e->shown == 0)
                memcpy(e->draft, e->text, e->len + 1);
        e->shown = steps;
        replace(e, steps ? e->history[steps - 1] : e->draft);
}

static void list_candidate(void *ctx, const char *candidate)
{
        const struct line_edit *e = ctx;

        put(e, "  ", 2);
        put(e, candidate, strlen(candidate));
}

static void complete(struct line_edit *e)
{
        char add[COMMAND_LINE_SIZE];
        size_t count;

        if (!e->ops->complete)
                return;
        count = e->ops->complete(e->ops->ctx, e->text, e->at, add, sizeof add, NULL, NULL);
        if (count == 0) {
                ring(e);
                return;
        }
        if (*add)
                insert(e, add, strlen(add));
        if (count == 1 || *add)
                return;
        put(e, "\n", 1);
        e->ops->complete(e->ops->ctx, e->text, e->at, add, sizeof add, list_candidate, e);
        line_edit_redraw(e);
}

/* The cursor keys, by the last byte of their sequence. */
static void cursor_key(struct line_edit *e, char key)
{
        switch (key) {
        case 'A':
                show_history(e, e->shown + 1);
                break;
        case 'B':
                if (e->shown)
                        show_history(e, e->shown - 1);
                else
                        ring(e);
                break;
        case 'C':
                move_to(e, e->at + (e->at < e->len));
                break;
        case 'D':
                move_to(e, e->at - (e->at > 0));
                break;
        case 'H':
                move_to(e, 0);
                break;
        case 'F':
                move_to(e, e->len);
                break;
        default:
                break;
        }
}

/* Keys told by number: ESC [ number ~. */
static void numbered_key(struct line_edit *e)
{
        switch (e->number) {
        case 1:
        case 7:
                move_to(e, 0);
                break;
        case 4:
        case 8:
                move_to(e, e->len);
                break;
        case 3:
                erase(e, e->at, e->at + (e->at < e->len));
                break;
        default:
                break;
        }
}

/* A byte within an escape sequence. What is not known is passed over to its last byte. */
static void sequence_byte(struct line_edit *e, uint8_t byte)
{
        enum line_edit_key key = e->key;

        if (key == LINE_EDIT_ESC && (byte == '[' || byte == 'O')) {
                e->key = byte == '[' ? LINE_EDIT_CSI : LINE_EDIT_SS3;
                e->number = 0;
                return;
        }
        if (key == LINE_EDIT_CSI && byte >= '0' && byte <= '9') {
                e->number = (e->number * 10 + byte - '0') % 1000;
                return;
        }
        if (key == LINE_EDIT_CSI && byte >= 0x20 && byte < 0x40)
                return;
        e->key = LINE_EDIT_PLAIN;
        if (key == LINE_EDIT_CSI && byte == '~')
                numbered_key(e);
        else if (key != LINE_EDIT_ESC)
                cursor_key(e, (char)byte);
}

static void control_byte(struct line_edit *e, uint8_t byte)
{
        static const struct {
                uint8_t byte;
                char key;
        } same[] = {{CTRL('p'), 'A'}, {CTRL('n'), 'B'}, {CTRL('f'), 'C'},
                    {CTRL('b'), 'D'}, {CTRL('a'), 'H'}, {CTRL('e'), 'F'}};

        for (size_t i = 0; i < ARRAY_LEN(same); i++)
                if (same[i].byte == byte)
                        cursor_key(e, same[i].key);
        if (byte == '\b' || byte == DEL)
                erase(e, e->at - (e->at > 0), e->at);
        else if (byte == CTRL('u'))
                erase(e, 0, e->at);
        else if (byte == CTRL('w'))
                erase(e, word_start(e), e->at);
        else if (byte == '\t')
                complete(e);
        else if (byte == ESC)
                e->key = LINE_EDIT_ESC;
}

static enum line_edit_event finish(struct line_edit *e, enum line_edit_event event)
{
        move_to(e, e->len);
        put(e, event == LINE_EDIT_DROPPED ? "^C\n" : "\n", event == LINE_EDIT_DROPPED ? 3 : 1);
        e->key = LINE_EDIT_PLAIN;
        return event;
}

enum line_edit_event line_edit_byte(struct line_edit *e, uint8_t byte)
{
        bool second = byte == '\n' && e->after_cr;
        char c = (char)byte;

        e->after_cr = byte == '\r';
        if (second)
                return LINE_EDIT_MORE;
        if (byte == '\r' || byte == '\n')
                return finish(e, LINE_EDIT_DONE);
        if (byte == CTRL('c'))
                return finish(e, LINE_EDIT_DROPPED);
        if (e->key != LINE_EDIT_PLAIN)
                sequence_byte(e, byte);
        else if (byte < 0x20 || byte == DEL)
                control_byte(e, byte);
        else if (byte < DEL)
                insert(e, &c, 1);
        return LINE_EDIT_MORE;
}

void line_edit_init(struct line_edit *e, const struct line_edit_ops *ops)
{
        memset(e, 0, sizeof *e);
        e->ops = ops;
        e->prompt = "";
}

void line_edit_redraw(struct line_edit *e)
{
        put(e, "\n", 1);
        put(e, e->prompt, strlen(e->prompt));
        put(e, e->text, e->len);
        put_times(e, '\b', e->len - e->at);
}

void line_edit_begin(struct line_edit *e, const char *prompt)
{
        e->prompt = prompt;
        e->len = e->at = e->shown = 0;
        e->text[0] = '\0';
        put(e, prompt, strlen(prompt));
}

void line_edit_remember(struct line_edit *e, const char *text)
{
        size_t len = strlen(text);

        if (!len || len >= COMMAND_LINE_SIZE || (e->entries && strcmp(e->history[0], text) == 0))
                return;
        if (e->entries < LINE_EDIT_HISTORY)
                e->entries++;
        memmove(e->history[1], e->history[0], (e->entries - 1) * sizeof e->history[0]);
        memcpy(e->history[0], text, len + 1);
}
