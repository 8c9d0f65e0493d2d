/* Pixel formats of EFI as bit positions; the contract is in efi_screen.h. */
#include "boot/efi/efi_screen.h"

#include "hv/lib/errno.h"

struct field {
        uint8_t pos, size;
};

/* Where the bits of a mask lie; false: it is empty or has gaps. */
static bool find_field(uint32_t mask, struct field *out)
{
        uint32_t low;

        if (!mask)
                return false;
        out->pos = (uint8_t)__builtin_ctz(mask);
        low = mask >> out->pos;
        out->size = (uint8_t)(32 - __builtin_clz(low));
        return (low & (low + 1)) == 0;
}

int efi_screen_describe(const struct efi_screen *screen, struct framebuffer *out)
{
        uint32_t red = 0xff, green = 0xff00, blue = 0xff0000, all = 0xffffffff;
        struct field r, g, b;
        uint32_t bits;

        if (screen->format >= EFI_PIXELS_BLT || !screen->base)
                return -ENODEV;
        if (screen->format == EFI_PIXELS_BGR) {
                red = 0xff0000;
                blue = 0xff;
        } else if (screen->format == EFI_PIXELS_MASK) {
                red = screen->red;
                green = screen->green;
                blue = screen->blue;
                all = red | green | blue | screen->reserved;
        }
        if (!find_field(red, &r) || !find_field(green, &g) || !find_field(blue, &b) ||
            screen->line < screen->width)
                return -EINVAL;
        bits = (uint32_t)align_up(32u - (uint32_t)__builtin_clz(all), 8);
        if (screen->line > UINT32_MAX / 4 || bits < 16)
                return -EINVAL;
        *out = (struct framebuffer){
            .base = HPA(screen->base),
            .pitch = screen->line * (bits / 8),
            .width = screen->width,
            .height = screen->height,
            .bpp = (uint8_t)bits,
            .red_pos = r.pos,
            .red_size = r.size,
            .green_pos = g.pos,
            .green_size = g.size,
            .blue_pos = b.pos,
            .blue_size = b.size,
        };
        return 0;
}
