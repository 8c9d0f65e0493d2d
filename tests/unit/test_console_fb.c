/* Font files and text on a framebuffer: the pixels of a known glyph, in every pixel format. */
#include "drivers/fb.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define WIDTH  35 /* four characters and 3 pixels over */
#define HEIGHT 34 /* two rows and 2 lines over */
#define PITCH  (WIDTH * 4 + 8)

static uint8_t psf1[4 + 256 * 16];
static uint8_t memory[PITCH * HEIGHT + 16];

/* Glyph 'A' has its first pixel in line 0 and its last one in line 15. */
static struct psf_font make_font(void)
{
        struct psf_font font;

        memcpy(psf1, "\x36\x04\x02\x10", 4);
        psf1[4 + 'A' * 16] = 0x80;
        psf1[4 + 'A' * 16 + 15] = 0x01;
        CHECK_EQ(psf_parse(psf1, sizeof(psf1), &font), 0);
        return font;
}

static void test_psf1(void)
{
        struct psf_font font = make_font();

        CHECK_EQ(font.count, 256);
        CHECK_EQ(font.width, 8);
        CHECK_EQ(font.height, 16);
        CHECK(psf_pixel(&font, 'A', 0, 0));
        CHECK(!psf_pixel(&font, 'A', 1, 0));
        CHECK(psf_pixel(&font, 'A', 7, 15));
        CHECK(!psf_pixel(&font, 'B', 0, 0));
        CHECK(!psf_pixel(&font, 'A', 8, 0));
        CHECK(!psf_pixel(&font, 'A', 0, 16));
        CHECK_EQ(psf_parse(psf1, sizeof(psf1) - 1, &font), -EINVAL);
        psf1[2] = 1;
        CHECK_EQ(psf_parse(psf1, sizeof(psf1), &font), -EINVAL);
        psf1[2] = psf1[3] = 0;
        CHECK_EQ(psf_parse(psf1, sizeof(psf1), &font), -EINVAL);
        psf1[0] = 0;
        CHECK_EQ(psf_parse(psf1, sizeof(psf1), &font), -EINVAL);
        CHECK_EQ(psf_parse(psf1, 3, &font), -EINVAL);
}

static void put32(uint8_t *p, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> 8 * i);
}

/* Two glyphs of 10 x 3 pixels. */
static void test_psf2(void)
{
        uint8_t file[32 + 2 * 6] = {0};
        struct psf_font font;
        const uint32_t header[] = {0x864ab572, 0, 32, 0, 2, 6, 3, 10};

        for (unsigned i = 0; i < 8; i++)
                put32(file + 4 * i, header[i]);
        file[32 + 6 + 3] = 0x40; /* glyph 1, line 1, pixel 9 */
        CHECK_EQ(psf_parse(file, sizeof(file), &font), 0);
        CHECK_EQ(font.count, 2);
        CHECK(psf_pixel(&font, 1, 9, 1));
        CHECK(!psf_pixel(&font, 1, 8, 1));
        CHECK(!psf_pixel(&font, 2, 0, 0));
        CHECK_EQ(psf_parse(file, sizeof(file) - 1, &font), -EINVAL);
        put32(file + 16, 0x80000000); /* count times size does not wrap */
        CHECK_EQ(psf_parse(file, sizeof(file), &font), -EINVAL);
        put32(file + 16, 2);
        put32(file + 8, 0xffffffff);
        CHECK_EQ(psf_parse(file, sizeof(file), &font), -EINVAL);
        put32(file + 8, 32);
        put32(file + 20, 5);
        CHECK_EQ(psf_parse(file, sizeof(file), &font), -EINVAL);
}

static struct framebuffer make_fb(uint8_t bpp)
{
        struct framebuffer fb = {.base = HPA((uintptr_t)memory),
                                 .pitch = PITCH,
                                 .width = WIDTH,
                                 .height = HEIGHT,
                                 .bpp = bpp,
                                 .red_pos = 16,
                                 .red_size = 8,
                                 .green_pos = 8,
                                 .green_size = 8,
                                 .blue_pos = 0,
                                 .blue_size = 8};

        if (bpp == 16) {
                fb.red_pos = 11;
                fb.red_size = fb.blue_size = 5;
                fb.green_pos = 5;
                fb.green_size = 6;
        }
        return fb;
}

static uint32_t pixel(unsigned bytes, unsigned x, unsigned y)
{
        uint32_t v = 0;

        for (unsigned i = bytes; i-- != 0;)
                v = v << 8 | memory[y * PITCH + x * bytes + i];
        return v;
}

static unsigned count_lit(unsigned bytes)
{
        unsigned n = 0;

        for (unsigned y = 0; y < HEIGHT; y++)
                for (unsigned x = 0; x < WIDTH; x++)
                        n += pixel(bytes, x, y) != 0;
        return n;
}

static void check_format(uint8_t bpp, uint32_t ink)
{
        struct psf_font font = make_font();
        struct framebuffer fb = make_fb(bpp);
        unsigned bytes = bpp / 8;

        memset(memory, 0xee, sizeof(memory));
        CHECK_EQ(fb_init(&fb, &font), 0);
        CHECK_EQ(count_lit(bytes), 0);
        fb_log_sink("BA\nA", 4);
        CHECK_EQ(pixel(bytes, 8, 0), ink);
        CHECK_EQ(pixel(bytes, 15, 15), ink);
        CHECK_EQ(pixel(bytes, 0, 16), ink);
        CHECK_EQ(pixel(bytes, 7, 31), ink);
        CHECK_EQ(count_lit(bytes), 4);
        /* scrolled: the second row is the first one now */
        fb_log_sink("\n", 1);
        CHECK_EQ(pixel(bytes, 0, 0), ink);
        CHECK_EQ(count_lit(bytes), 2);
        /* nothing between the lines and behind the last one was touched */
        CHECK_EQ(memory[WIDTH * bytes], 0xee);
        CHECK_EQ(memory[PITCH * HEIGHT], 0xee);
}

static void test_pixel_formats(void)
{
        check_format(32, 0xaaaaaa);
        check_format(24, 0xaaaaaa);
        check_format(16, 20u << 11 | 42u << 5 | 20u);
}

static void test_bad_framebuffers(void)
{
        struct psf_font font = make_font();
        struct framebuffer fb = make_fb(32);

        fb.pitch = WIDTH * 4 - 1;
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(8);
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(40);
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(32);
        fb.width = 7;
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(32);
        fb.red_pos = 25;
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(32);
        fb.blue_size = 32;
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        fb = make_fb(32);
        fb.base = HPA(0);
        CHECK_EQ(fb_init(&fb, &font), -EINVAL);
        /* and the sink of a framebuffer that was refused writes nowhere */
        memset(memory, 0xee, sizeof(memory));
        fb_log_sink("A", 1);
        CHECK_EQ(memory[0], 0xee);
}

int main(void)
{
        RUN(test_psf1);
        RUN(test_psf2);
        RUN(test_pixel_formats);
        RUN(test_bad_framebuffers);
        return unit_done();
}
