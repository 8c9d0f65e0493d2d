/* The VGA text screen. */
#include "drivers/vga.h"

#include "drivers/textterm.h"
#include "hv/cpu.h"

#define VGA_COLS 80
#define VGA_ROWS 25

#define VGA_MEMORY    0xb8000ul
#define VGA_ATTRIBUTE 0x0700 /* light grey on black */

/* CRT controller in the colour position, and its cursor registers. */
#define CRTC_INDEX        0x3d4
#define CRTC_DATA         0x3d5
#define CRTC_CURSOR_START 0x0a
#define CRTC_START_HIGH   0x0c
#define CRTC_START_LOW    0x0d
#define CRTC_CURSOR_HIGH  0x0e
#define CRTC_CURSOR_LOW   0x0f

#define CURSOR_UNDERLINE 0x0e /* first scan line, and not disabled (bit 5) */

static struct textterm term;
static char cells[2 * VGA_COLS * VGA_ROWS];

static void crtc_write(uint8_t index, uint8_t value)
{
        cpu_outb(CRTC_INDEX, index);
        cpu_outb(CRTC_DATA, value);
}

static void draw(void *ctx, unsigned row, unsigned col, char ch)
{
        volatile uint16_t *screen = ctx;

        screen[row * VGA_COLS + col] = (uint16_t)(VGA_ATTRIBUTE | (unsigned char)ch);
}

static void move_cursor(void *ctx, unsigned row, unsigned col)
{
        unsigned at = row * VGA_COLS + col;

        (void)ctx;
        crtc_write(CRTC_CURSOR_HIGH, (uint8_t)(at >> 8));
        crtc_write(CRTC_CURSOR_LOW, (uint8_t)at);
}

static const struct textterm_ops vga_ops = {.draw = draw, .move_cursor = move_cursor};

void vga_init(void)
{
        /* a loader may have scrolled by moving the start of the display */
        crtc_write(CRTC_START_HIGH, 0);
        crtc_write(CRTC_START_LOW, 0);
        crtc_write(CRTC_CURSOR_START, CURSOR_UNDERLINE);
        textterm_init(&term, &vga_ops, (void *)VGA_MEMORY, VGA_COLS, VGA_ROWS, cells);
}

void vga_log_sink(const char *text, size_t n)
{
        if (term.ops != NULL)
                textterm_write(&term, text, n);
}
