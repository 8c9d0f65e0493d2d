/* The framebuffer of EFI's Graphics Output Protocol (UEFI 2.10, 12.9) in multiboot2's terms. */
#pragma once

#include "drivers/fb.h"
#include "hv/lib/types.h"

/* EFI_GRAPHICS_PIXEL_FORMAT */
enum efi_pixels {
        EFI_PIXELS_RGB,  /* 32 bits, red in the lowest byte */
        EFI_PIXELS_BGR,  /* 32 bits, blue in the lowest byte */
        EFI_PIXELS_MASK, /* as the masks tell */
        EFI_PIXELS_BLT   /* no framebuffer that can be written to */
};

/* The mode that the screen is in. */
struct efi_screen {
        uint64_t base;
        uint32_t width, height;              /* pixels */
        uint32_t line;                       /* pixels from one line to the next */
        uint32_t format;                     /* enum efi_pixels, or what a firmware makes up */
        uint32_t red, green, blue, reserved; /* bits of a pixel, with EFI_PIXELS_MASK */
};

/* Describe it for fb_init. -ENODEV: it has no framebuffer; -EINVAL: it contradicts itself. */
must_check int efi_screen_describe(const struct efi_screen *screen, struct framebuffer *out);
