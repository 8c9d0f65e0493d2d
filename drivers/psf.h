/*
 * PC Screen Fonts, versions 1 and 2 (the Linux console's font files): finds the glyph bitmaps.
 * The font linked into the image is font_psf; see drivers/font.mk.
 */
#pragma once

#include "hv/lib/types.h"

struct psf_font {
        const uint8_t *glyphs; /* points into the file */
        unsigned count;
        unsigned width, height; /* of a glyph in pixels */
        unsigned glyph_bytes;
};

/* The font file linked into the image and its end. Not there in hosted builds. */
extern const uint8_t font_psf[], font_psf_end[];

/*
 * Parse a font file of len bytes, which must stay in memory. Returns 0, or -EINVAL when it is no
 * PSF, is cut short, or its glyphs are empty or larger than 32 x 64 pixels.
 */
must_check int psf_parse(const void *file, size_t len, struct psf_font *font);

/* Is a pixel of a glyph set? A character the font does not have is all blank. */
bool psf_pixel(const struct psf_font *font, unsigned char ch, unsigned x, unsigned y);
