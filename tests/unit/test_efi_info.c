/* What the EFI loader hands over: its struct boot_info, and pixel formats of EFI. */
#include "boot/efi/efi_map.h"
#include "boot/efi/efi_screen.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

static struct boot_info given, info;
static uint64_t map[2][5] = {{7, 0x100000, 0, 16, 8}, {14, 0x40000000, 0, 32, 8}};

static void give(void)
{
        memset(&given, 0, sizeof given);
        given.layout = BOOT_LAYOUT;
        given.loader = "BOOTX64.EFI";
        given.cmdline = "exit=halt";
        given.module_count = 1;
        given.module[0].size = 5;
        given.module[0].string = "initrd";
        given.efi_map = HPA((uint64_t)map);
        given.efi_map_size = sizeof map;
        given.efi_descriptor_size = sizeof map[0];
}

static void test_taken(void)
{
        give();
        CHECK_EQ(efi_info_take(&given, &info), 0);
        CHECK(strcmp(info.cmdline, "exit=halt") == 0);
        CHECK_EQ(info.module[0].size, 5);
        CHECK_EQ(info.map_count, 2);
        CHECK_EQ(info.map[1].start, 0x40000000);
        CHECK_EQ(info.map[1].efi_type, 14);
}

static void test_refused(void)
{
        give();
        given.layout += 8;
        CHECK_EQ(efi_info_take(&given, &info), -EINVAL);
        CHECK(strcmp(info.cmdline, "") == 0);
        CHECK_EQ(info.module_count, 0);
        give();
        given.efi_descriptor_size = 24;
        CHECK_EQ(efi_info_take(&given, &info), -EINVAL);
        CHECK_EQ(info.module_count + info.map_count, 0);
}

static void check_fields(const struct framebuffer *fb, unsigned red, unsigned green, unsigned blue)
{
        CHECK_EQ(fb->red_pos, red);
        CHECK_EQ(fb->green_pos, green);
        CHECK_EQ(fb->blue_pos, blue);
}

static void test_pixels(void)
{
        struct efi_screen s = {0x80000000, 1024, 768, 1040, EFI_PIXELS_RGB, 0, 0, 0, 0};
        struct framebuffer fb;

        CHECK_EQ(efi_screen_describe(&s, &fb), 0);
        CHECK_EQ(fb.base.v, 0x80000000);
        CHECK_EQ(fb.pitch, 4160);
        CHECK_EQ(fb.width, 1024);
        CHECK_EQ(fb.height, 768);
        CHECK_EQ(fb.bpp, 32);
        CHECK_EQ(fb.red_size, 8);
        check_fields(&fb, 0, 8, 16);
        s.format = EFI_PIXELS_BGR;
        CHECK_EQ(efi_screen_describe(&s, &fb), 0);
        check_fields(&fb, 16, 8, 0);
        s = (struct efi_screen){0x80000000, 8, 8, 8, EFI_PIXELS_MASK, 0xf800, 0x7e0, 0x1f, 0};
        CHECK_EQ(efi_screen_describe(&s, &fb), 0);
        CHECK_EQ(fb.bpp, 16);
        CHECK_EQ(fb.pitch, 16);
        CHECK_EQ(fb.green_size, 6);
        check_fields(&fb, 11, 5, 0);
        s = (struct efi_screen){1, 8, 8, 8, EFI_PIXELS_MASK, 0xff0000, 0xff00, 0xff, 0xff000000};
        CHECK_EQ(efi_screen_describe(&s, &fb), 0);
        CHECK_EQ(fb.bpp, 32);
        s.reserved = 0;
        CHECK_EQ(efi_screen_describe(&s, &fb), 0);
        CHECK_EQ(fb.bpp, 24);
}

static void test_no_pixels(void)
{
        const struct efi_screen good = {1, 8, 8, 8, EFI_PIXELS_MASK, 0xff0000, 0xff00, 0xff, 0};
        struct efi_screen s = good;
        struct framebuffer fb;

        for (uint32_t format = EFI_PIXELS_BLT; format < 6; format++) {
                s.format = format;
                CHECK_EQ(efi_screen_describe(&s, &fb), -ENODEV);
        }
        s = good;
        s.base = 0;
        CHECK_EQ(efi_screen_describe(&s, &fb), -ENODEV);
        s = good;
        s.line = 7;
        CHECK_EQ(efi_screen_describe(&s, &fb), -EINVAL);
        s.line = UINT32_MAX;
        CHECK_EQ(efi_screen_describe(&s, &fb), -EINVAL);
        s = good;
        s.green = 0;
        CHECK_EQ(efi_screen_describe(&s, &fb), -EINVAL);
        s.green = 0xf0f0;
        CHECK_EQ(efi_screen_describe(&s, &fb), -EINVAL);
        s = good;
        s.red = 1;
        s.green = 2;
        s.blue = 4;
        CHECK_EQ(efi_screen_describe(&s, &fb), -EINVAL); /* 8 bits a pixel */
}

int main(void)
{
        RUN(test_taken);
        RUN(test_refused);
        RUN(test_pixels);
        RUN(test_no_pixels);
        return unit_done();
}
