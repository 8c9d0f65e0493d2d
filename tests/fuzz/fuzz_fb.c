/*
 * Text on a framebuffer that the loader describes (drivers/fb.c, textterm.c): 17 bytes of
 * description, then text. The framebuffer is a block of just the length that the description tells.
 */
#include "drivers/fb.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"

#define BYTES_MAX (512 * KiB)
#define GLYPHS    (256 * 16)

static uint8_t glyphs[GLYPHS];

/* The smallest PSF 2 font: 256 characters of 8 by 16. */
static void make_font(uint8_t *file)
{
        const uint32_t header[] = {0x864ab572, 0, 32, 0, 256, 16, 16, 8};

        memcpy(file, header, sizeof header);
        memcpy(file + sizeof header, glyphs, sizeof glyphs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static uint8_t file[32 + GLYPHS];
        struct fuzz_input in = {data, size};
        struct framebuffer fb = {0};
        struct psf_font font;
        uint8_t *memory;
        char *text;
        int err;

        fb.pitch = (uint32_t)fuzz_take(&in, fuzz_take(&in, 1) & 1 ? 4 : 2);
        fb.width = (uint32_t)fuzz_take(&in, 2);
        fb.height = (uint32_t)fuzz_take(&in, 2);
        fb.bpp = (uint8_t)fuzz_take(&in, 1);
        fb.red_pos = (uint8_t)fuzz_take(&in, 1);
        fb.red_size = (uint8_t)fuzz_take(&in, 1);
        fb.green_pos = (uint8_t)fuzz_take(&in, 1);
        fb.green_size = (uint8_t)fuzz_take(&in, 1);
        fb.blue_pos = (uint8_t)fuzz_take(&in, 1);
        fb.blue_size = (uint8_t)fuzz_take(&in, 1);
        if ((uint64_t)fb.pitch * fb.height > BYTES_MAX)
                return 0;
        make_font(file);
        DEMAND(!psf_parse(file, sizeof file, &font));
        memory = fuzz_alloc((size_t)fb.pitch * fb.height);
        fb.base = HPA((uint64_t)memory);
        err = fb_init(&fb, &font);
        DEMAND(err == 0 || err == -EINVAL);
        text = fuzz_string(&in, 4096);
        if (!err)
                fb_log_sink(text, strlen(text));
        free(text);
        free(memory);
        return 0;
}
