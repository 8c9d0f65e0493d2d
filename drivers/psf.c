/* PC Screen Fonts. */
#include "drivers/psf.h"

#include "hv/lib/errno.h"

#define PSF1_MAGIC      0x0436
#define PSF1_HEADER     4
#define PSF1_MODE_512   0x01
#define PSF2_MAGIC      0x864ab572u
#define PSF2_HEADER_MIN 32

#define WIDTH_MAX  32
#define HEIGHT_MAX 64
#define GLYPHS_MAX 65536

static uint32_t read_le32(const uint8_t *p)
{
        return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static unsigned row_bytes(const struct psf_font *font)
{
        return (font->width + 7) / 8;
}

int psf_parse(const void *file, size_t len, struct psf_font *font)
{
        const uint8_t *p = file;
        uint32_t header;

        *font = (struct psf_font){0};
        if (len >= PSF1_HEADER && (p[0] | p[1] << 8) == PSF1_MAGIC) {
                header = PSF1_HEADER;
                font->count = p[2] & PSF1_MODE_512 ? 512 : 256;
                font->width = 8;
                font->height = font->glyph_bytes = p[3];
        } else if (len >= PSF2_HEADER_MIN && read_le32(p) == PSF2_MAGIC) {
                header = read_le32(p + 8);
                font->count = read_le32(p + 16);
                font->glyph_bytes = read_le32(p + 20);
                font->height = read_le32(p + 24);
                font->width = read_le32(p + 28);
        } else {
                return -EINVAL;
        }
        if (font->width == 0 || font->width > WIDTH_MAX || font->height == 0 ||
            font->height > HEIGHT_MAX || font->count == 0 || font->count > GLYPHS_MAX ||
            font->glyph_bytes != row_bytes(font) * font->height)
                return -EINVAL;
        if (header > len || font->count * font->glyph_bytes > len - header)
                return -EINVAL;
        font->glyphs = p + header;
        return 0;
}

bool psf_pixel(const struct psf_font *font, unsigned char ch, unsigned x, unsigned y)
{
        const uint8_t *glyph = font->glyphs + (size_t)ch * font->glyph_bytes;

        if (ch >= font->count || x >= font->width || y >= font->height)
                return false;
        return glyph[y * row_bytes(font) + x / 8] >> (7 - x % 8) & 1;
}
