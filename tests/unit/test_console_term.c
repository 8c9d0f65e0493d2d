/* The text terminal: what a screen shows after a text, and that only changed cells are drawn. */
#include "drivers/textterm.h"
#include "tests/unit/unit.h"

#include <string.h>

#define COLS 10 /* a word of cells and a rest */
#define ROWS 4

static char screen[ROWS][COLS];
static unsigned draws, cursor_row, cursor_col;
static struct textterm term;
static char cells[2 * COLS * ROWS];

static void draw(void *ctx, unsigned row, unsigned col, char ch)
{
        CHECK(ctx == screen);
        CHECK(row < ROWS && col < COLS);
        screen[row][col] = ch;
        draws++;
}

static void move_cursor(void *ctx, unsigned row, unsigned col)
{
        (void)ctx;
        CHECK(row < ROWS && col < COLS);
        cursor_row = row;
        cursor_col = col;
}

static const struct textterm_ops ops = {.draw = draw, .move_cursor = move_cursor};

static void start(void)
{
        memset(screen, '#', sizeof(screen));
        textterm_init(&term, &ops, screen, COLS, ROWS, cells);
        draws = 0;
}

static void say(const char *text)
{
        textterm_write(&term, text, strlen(text));
}

static void check_row(unsigned row, const char *text)
{
        char want[COLS];

        memset(want, ' ', COLS);
        memcpy(want, text, strlen(text));
        if (memcmp(want, screen[row], COLS) != 0)
                printf("row %u: \"%.*s\", expected \"%s\"\n", row, COLS, screen[row], text);
        CHECK(memcmp(want, screen[row], COLS) == 0);
}

static void test_init_draws_all_cells(void)
{
        memset(screen, '#', sizeof(screen));
        draws = 0;
        textterm_init(&term, &ops, screen, COLS, ROWS, cells);
        CHECK_EQ(draws, COLS * ROWS);
        check_row(0, "");
        check_row(ROWS - 1, "");
}

static void test_control_characters(void)
{
        start();
        say("ab\rX\nc\bd\te\a\177");
        check_row(0, "Xb");
        check_row(1, "d       e");
        CHECK_EQ(cursor_row, 1);
        CHECK_EQ(cursor_col, 9);
        say("\r\b\b\tz\ty\t\tq");
        check_row(1, "        z ");
        check_row(2, "y         ");
        check_row(3, "q");
}

static void test_wrap_is_delayed(void)
{
        start();
        say("0123456789");
        CHECK_EQ(cursor_row, 0);
        CHECK_EQ(cursor_col, COLS - 1);
        say("\nn");
        check_row(1, "n");
        say("\r0123456789+");
        check_row(1, "0123456789");
        check_row(2, "+");
}

static void test_scroll(void)
{
        start();
        say("1\n2\n3\n4\n5\n6");
        check_row(0, "3");
        check_row(3, "6");
        CHECK_EQ(cursor_row, 3);
        say("\n");
        check_row(0, "4");
        check_row(3, "");
}

static void test_draws_changed_cells_only(void)
{
        start();
        say("same\nsame\nsame\nsame");
        CHECK_EQ(draws, 16);
        draws = 0;
        say("\nsame");
        CHECK_EQ(draws, 0);
        say("\rsome");
        CHECK_EQ(draws, 1);
        draws = 0;
        /* a long burst is drawn once, not once a line */
        for (int i = 0; i < 3; i++)
                say("");
        say("\na\nb\nc\nd\ne\nf\ng");
        CHECK_EQ(draws, 16);
}

static void test_escapes_are_dropped(void)
{
        start();
        say("a\033[1;31mb\033[0mc\033]0;title\ad\033]0;t\033\\e\033(Bf\0337g");
        check_row(0, "abcdefg");
        /* cut into single bytes it is the same */
        start();
        for (const char *p = "x\033[2Jy\033[?25lz"; *p != '\0'; p++)
                textterm_write(&term, p, 1);
        check_row(0, "xyz");
        /* a broken sequence does not eat the next line */
        say("\r\033[12\nok");
        check_row(1, "ok");
}

static void test_random_text_stays_inside(void)
{
        uint64_t state = unit_seed();
        char text[64];

        start();
        for (int round = 0; round < 20000; round++) {
                size_t n = unit_random(&state) % sizeof(text);

                for (size_t i = 0; i < n; i++)
                        text[i] = "\n\r\b\t\033[;m]\a abc\377"[unit_random(&state) % 16];
                textterm_write(&term, text, n);
                CHECK(memcmp(screen, term.wanted, sizeof(screen)) == 0);
        }
}

int main(void)
{
        RUN(test_init_draws_all_cells);
        RUN(test_control_characters);
        RUN(test_wrap_is_delayed);
        RUN(test_scroll);
        RUN(test_draws_changed_cells_only);
        RUN(test_escapes_are_dropped);
        RUN(test_random_text_stays_inside);
        return unit_done();
}
