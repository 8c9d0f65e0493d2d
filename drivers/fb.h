/*
 * Text on a linear framebuffer (what GRUB or UEFI hands over): a log output on machines without VGA
 * text mode.
 */
#pragma once

#include "drivers/psf.h"
#include "hv/lib/types.h"

/* The fields of the multiboot2 framebuffer tag (type 1, direct RGB), multiboot2 3.6.12. */
struct framebuffer {
        hpa_t base;
        uint32_t pitch;         /* bytes from one line to the next */
        uint32_t width, height; /* pixels */
        uint8_t bpp;            /* 15, 16, 24 or 32 */
        uint8_t red_pos, red_size;
        uint8_t green_pos, green_size;
        uint8_t blue_pos, blue_size;
};

/* Characters at most; a larger screen is used in its upper left part. */
#define FB_COLS_MAX 240
#define FB_ROWS_MAX 80

/*
 * Clear the framebuffer and start at its top. Both arguments are copied; the font's bitmaps stay in
 * use. Returns 0, or -EINVAL when the description is inconsistent or too small for a character.
 */
must_check int fb_init(const struct framebuffer *fb, const struct psf_font *font);

/* A log_sink_fn: text to the framebuffer. */
void fb_log_sink(const char *text, size_t n);
