/*
 * The line editor. Its echo is played on a model of a terminal's line, so that what the user sees
 * is compared with what the editor holds, cursor included.
 */
#include "guest/text/line_edit.h"

#include <string.h>

#include "tests/unit/unit.h"

#define PROMPT "> "

static struct line_edit edit;

/* The terminal: the line the cursor is on, and the one before. */
static char row[1024], above[1024];
static size_t column, bells;

static void terminal(void *ctx, const char *text, size_t n)
{
        (void)ctx;
        for (size_t i = 0; i < n; i++) {
                if (text[i] == '\b') {
                        CHECK(column > 0);
                        column -= column > 0;
                } else if (text[i] == '\a') {
                        bells++;
                } else if (text[i] == '\n') {
                        memcpy(above, row, sizeof row);
                        memset(row, 0, sizeof row);
                        column = 0;
                } else {
                        CHECK(text[i] >= ' ' && text[i] < 0x7f);
                        row[column++] = text[i];
                }
        }
}

static size_t complete(void *ctx, const char *line, size_t len, char *add, size_t size,
                       void (*show)(void *show_ctx, const char *candidate), void *show_ctx)
{
        static const char *const words[] = {"start", "stop", "list"};
        size_t count = 0, last = 0;

        (void)ctx;
        CHECK(size >= 16);
        *add = '\0';
        for (size_t i = 0; i < 3; i++) {
                if (strncmp(words[i], line, len) != 0)
                        continue;
                count++;
                last = i;
                if (show)
                        show(show_ctx, words[i]);
        }
        if (count == 1)
                sprintf(add, "%s ", words[last] + len);
        else if (count == 2 && len == 1)
                strcpy(add, "t");
        return count;
}

static const struct line_edit_ops ops = {terminal, complete, NULL};

static void start(void)
{
        memset(row, 0, sizeof row);
        memset(above, 0, sizeof above);
        column = bells = 0;
        line_edit_init(&edit, &ops);
        line_edit_begin(&edit, PROMPT);
}

/* The text on the terminal's line, without the blanks that wiping leaves. */
static bool row_is(const char *line, const char *text)
{
        size_t n = strlen(line);

        while (n && line[n - 1] == ' ')
                n--;
        return n == strlen(text) && memcmp(line, text, n) == 0;
}

static enum line_edit_event type_bytes(const char *bytes, size_t n)
{
        enum line_edit_event event = LINE_EDIT_MORE;

        for (size_t i = 0; i < n; i++) {
                CHECK_EQ(event, LINE_EDIT_MORE);
                event = line_edit_byte(&edit, (uint8_t)bytes[i]);
        }
        return event;
}

#define TYPE(bytes) type_bytes(bytes, sizeof(bytes) - 1)

/* Line and cursor, in the editor and on the terminal. */
static void expect(const char *text, size_t at)
{
        char shown[512];

        snprintf(shown, sizeof shown, PROMPT "%s", text);
        while (shown[strlen(shown) - 1] == ' ')
                shown[strlen(shown) - 1] = '\0';
        CHECK(strcmp(edit.text, text) == 0);
        CHECK_EQ(edit.len, strlen(text));
        CHECK_EQ(edit.at, at);
        CHECK_EQ(column, at + strlen(PROMPT));
        CHECK(row_is(row, shown));
        if (!row_is(row, shown))
                printf("# shown \"%s\", expected \"%s\"\n", row, shown);
}

static void test_typing(void)
{
        start();
        CHECK_EQ(TYPE("vm list"), LINE_EDIT_MORE);
        expect("vm list", 7);
        CHECK_EQ(TYPE("\r"), LINE_EDIT_DONE);
        CHECK(strcmp(edit.text, "vm list") == 0);
        CHECK(row_is(above, PROMPT "vm list"));
        line_edit_begin(&edit, PROMPT);
        expect("", 0);
}

/* CR, LF and CR LF end one line each. */
static void test_line_ends(void)
{
        start();
        CHECK_EQ(TYPE("a\r"), LINE_EDIT_DONE);
        line_edit_begin(&edit, PROMPT);
        CHECK_EQ(TYPE("\n"), LINE_EDIT_MORE);
        CHECK_EQ(TYPE("b\n"), LINE_EDIT_DONE);
        line_edit_begin(&edit, PROMPT);
        CHECK_EQ(TYPE("\n"), LINE_EDIT_DONE);
        CHECK_EQ(edit.len, 0);
}

static void test_deleting(void)
{
        start();
        TYPE("abc\b");
        expect("ab", 2);
        TYPE("\x7f\x7f");
        expect("", 0);
        CHECK_EQ(bells, 0);
        TYPE("\x7f");
        CHECK_EQ(bells, 1);
        TYPE("one two  three\x17");
        expect("one two  ", 9);
        TYPE("\x17");
        expect("one ", 4);
        TYPE("x\x15");
        expect("", 0);
        TYPE("abcd\x1b[D\x1b[D\x15");
        expect("cd", 0);
        TYPE("\x1b[3~");
        expect("d", 0);
        TYPE("\x1b[C\x1b[3~");
        expect("d", 1);
}

static void test_moving(void)
{
        start();
        TYPE("ad\x1b[Dbc");
        expect("abcd", 3);
        TYPE("\x1b[H_\x1b[F!");
        expect("_abcd!", 6);
        TYPE("\x1b[1~\x1bOC\x7f\x1b[4~\x1bOD?");
        expect("abcd?!", 5);
        TYPE("\x01<\x05>\x02\x02\x06");
        expect("<abcd?!>", 7);
        TYPE("\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D");
        expect("<abcd?!>", 0);
        TYPE("\x1b[7~\x1b[8~\x1b[C");
        expect("<abcd?!>", 8);
}

static void test_unknown_keys(void)
{
        start();
        TYPE("a\x1b[15~\x1b[1;5Z\x1bx\x1b[?25h\xc3\xa4\x12 b\0");
        expect("a b", 3);
}

static void test_dropping(void)
{
        start();
        CHECK_EQ(TYPE("poweroff\x1b[D\x03"), LINE_EDIT_DROPPED);
        CHECK(row_is(above, PROMPT "poweroff^C"));
        line_edit_begin(&edit, PROMPT);
        expect("", 0);
}

static void enter(const char *text)
{
        type_bytes(text, strlen(text));
        CHECK_EQ(TYPE("\r"), LINE_EDIT_DONE);
        line_edit_remember(&edit, edit.text);
        line_edit_begin(&edit, PROMPT);
}

static void test_history(void)
{
        start();
        TYPE("\x1b[A");
        CHECK_EQ(bells, 1);
        enter("first");
        enter("the second");
        enter("");
        enter("the second");
        TYPE("dra\x1b[Dft");
        TYPE("\x1b[A");
        expect("the second", 10);
        TYPE("\x10");
        expect("first", 5);
        TYPE("\x1b[A");
        expect("first", 5);
        CHECK_EQ(bells, 2);
        TYPE("\x1bOB\x0e");
        expect("drfta", 5);
        TYPE("\x1b[B");
        CHECK_EQ(bells, 3);
        for (int i = 0; i < 20; i++)
                enter((char[]){(char)('a' + i), (char)('a' + i), '\0'});
        for (unsigned i = 0; i < LINE_EDIT_HISTORY + 3; i++)
                TYPE("\x1b[A");
        expect("mm", 2);
}

static void test_completion(void)
{
        start();
        TYPE("l\t");
        expect("list ", 5);
        TYPE("\x15s\t");
        expect("st", 2);
        CHECK(row_is(above, ""));
        TYPE("\t");
        expect("st", 2);
        CHECK(row_is(above, "  start  stop"));
        TYPE("o\t");
        expect("stop ", 5);
        TYPE("\x15zz\t");
        CHECK_EQ(bells, 1);
        TYPE("\x15lx\x1b[D\t");
        expect("list x", 5);
}

/* Full: bytes are refused, nothing is overrun. */
static void test_full_line(void)
{
        char full[COMMAND_LINE_SIZE];

        start();
        for (size_t i = 0; i + 1 < sizeof full; i++) {
                full[i] = (char)('a' + i % 26);
                line_edit_byte(&edit, (uint8_t)full[i]);
        }
        full[sizeof full - 1] = '\0';
        CHECK_EQ(bells, 0);
        TYPE("xyz");
        CHECK_EQ(bells, 3);
        expect(full, COMMAND_LINE_SIZE - 1);
        CHECK_EQ(TYPE("\r"), LINE_EDIT_DONE);
        line_edit_remember(&edit, edit.text);
        line_edit_begin(&edit, PROMPT);
        TYPE("\x1b[A");
        expect(full, COMMAND_LINE_SIZE - 1);
}

/* After any bytes the terminal shows what the editor holds. */
static void test_random_bytes(void)
{
        static const char *const keys[] = {
            "a",  "b ",   "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x7f", "\x17", "\x15",
            "\t", "\x1b", "[",      "\x1b[H", "\x1b[F", "3~",     "s",    "\xff", "\x01"};
        uint64_t seed = unit_seed();
        char text[COMMAND_LINE_SIZE];

        start();
        for (unsigned n = 0; n < 30000; n++) {
                const char *key = keys[unit_random(&seed) % (sizeof keys / sizeof keys[0])];

                type_bytes(key, strlen(key));
                if (n % 16 == 0) {
                        memcpy(text, edit.text, sizeof text);
                        CHECK(edit.at <= edit.len && edit.len < sizeof text);
                        expect(text, edit.at);
                }
                if (n % 500 == 499)
                        enter("\x1b[F");
        }
}

int main(void)
{
        RUN(test_typing);
        RUN(test_line_ends);
        RUN(test_deleting);
        RUN(test_moving);
        RUN(test_unknown_keys);
        RUN(test_dropping);
        RUN(test_history);
        RUN(test_completion);
        RUN(test_full_line);
        RUN(test_random_bytes);
        return unit_done();
}
