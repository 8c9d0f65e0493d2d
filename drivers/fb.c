/* Text on a linear framebuffer: light grey on black, no visible cursor. */
#include "drivers/fb.h"

#include "drivers/textterm.h"
#include "hv/lib/errno.h"

#define GREY 0xaa /* of 255, in all three colours */

static struct {
        struct framebuffer fb;
        struct psf_font font;
        unsigned pixel_bytes;
        uint32_t ink;
} screen;

static struct textterm term;
static char cells[2 * FB_COLS_MAX * FB_ROWS_MAX];

static uint32_t colour(uint8_t pos, uint8_t size)
{
        uint32_t max = (1u << size) - 1;

        return (GREY * max / 255) << pos;
}

/* Byte by byte only where a pixel has three: the framebuffer's memory is slow. */
static void put_pixel(uintptr_t at, uint32_t value)
{
        switch (screen.pixel_bytes) {
        case 2:
                *(volatile uint16_t *)at = (uint16_t)value;
                break;
        case 3:
                for (unsigned i = 0; i < 3; i++)
                        ((volatile uint8_t *)at)[i] = (uint8_t)(value >> 8 * i);
                break;
        default:
                *(volatile uint32_t *)at = value;
        }
}

static void draw(void *ctx, unsigned row, unsigned col, char ch)
{
        uintptr_t line = (uintptr_t)screen.fb.base.v +
                         (uintptr_t)row * screen.font.height * screen.fb.pitch +
                         (uintptr_t)col * screen.font.width * screen.pixel_bytes;

        (void)ctx;
        for (unsigned y = 0; y < screen.font.height; y++, line += screen.fb.pitch)
                for (unsigned x = 0; x < screen.font.width; x++)
                        put_pixel(line + (uintptr_t)x * screen.pixel_bytes,
                                  psf_pixel(&screen.font, (unsigned char)ch, x, y) ? screen.ink
                                                                                   : 0);
}

static const struct textterm_ops fb_ops = {.draw = draw};

static bool field_fits(uint8_t pos, uint8_t size, unsigned bits)
{
        return size >= 1 && size <= 8 && (unsigned)pos + size <= bits;
}

static bool is_usable(const struct framebuffer *fb, const struct psf_font *font)
{
        unsigned bits = (fb->bpp + 7u) / 8 * 8;

        return fb->base.v != 0 && bits >= 16 && bits <= 32 && fb->width >= font->width &&
               fb->height >= font->height && (uint64_t)fb->width * (bits / 8) <= fb->pitch &&
               field_fits(fb->red_pos, fb->red_size, bits) &&
               field_fits(fb->green_pos, fb->green_size, bits) &&
               field_fits(fb->blue_pos, fb->blue_size, bits);
}

static void clear(void)
{
        for (uint32_t y = 0; y < screen.fb.height; y++) {
                uintptr_t line = (uintptr_t)screen.fb.base.v + (uintptr_t)y * screen.fb.pitch;

                for (uint32_t x = 0; x < screen.fb.width; x++)
                        put_pixel(line + (uintptr_t)x * screen.pixel_bytes, 0);
        }
}

static unsigned at_most(unsigned n, unsigned max)
{
        return n < max ? n : max;
}

int fb_init(const struct framebuffer *fb, const struct psf_font *font)
{
        term.ops = NULL;
        if (!is_usable(fb, font))
                return -EINVAL;
        screen.fb = *fb;
        screen.font = *font;
        screen.pixel_bytes = (fb->bpp + 7u) / 8;
        screen.ink = colour(fb->red_pos, fb->red_size) | colour(fb->green_pos, fb->green_size) |
                     colour(fb->blue_pos, fb->blue_size);
        clear();
        textterm_init(&term, &fb_ops, NULL, at_most(fb->width / font->width, FB_COLS_MAX),
                      at_most(fb->height / font->height, FB_ROWS_MAX), cells);
        return 0;
}

void fb_log_sink(const char *text, size_t n)
{
        if (term.ops != NULL)
                textterm_write(&term, text, n);
}
