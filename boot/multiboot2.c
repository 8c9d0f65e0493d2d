/* Reads the Multiboot2 boot information, believing no size in it; the contract is in multiboot2.h.
 */
#include "boot/multiboot2.h"

#include "boot/boot_map.h"
#include "boot/efi/efi_map.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

/* Multiboot2 specification 2.0, 3.6.x */
enum tag_type {
        TAG_END = 0,
        TAG_CMDLINE = 1,
        TAG_LOADER = 2,
        TAG_MODULE = 3,
        TAG_MEMORY_MAP = 6,
        TAG_FRAMEBUFFER = 8,
        TAG_RSDP_OLD = 14,
        TAG_RSDP_NEW = 15,
        TAG_EFI_MAP = 17
};

enum framebuffer_type { FRAMEBUFFER_RGB = 1, FRAMEBUFFER_TEXT = 2 };

#define HEADER_SIZE   8u /* of the structure and of a tag */
#define TAG_ALIGN     8u
#define MODULE_STRING 16u
#define MAP_ENTRIES   16u
#define MAP_ENTRY_MIN 24u
#define FB_TYPE       29u
#define FB_COLORS     32u
#define RSDP_OLD_SIZE 20u

struct tag {
        const uint8_t *p; /* its first byte */
        uint32_t offset;  /* in the structure, for messages */
        uint32_t type;
        uint32_t size; /* at least HEADER_SIZE, and all of it can be read */
};

/* The tags of memory maps; p NULL: there is none. */
struct maps {
        struct tag e820, efi;
};

static uint32_t get32(const uint8_t *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof v);
        return v;
}

static uint64_t get64(const uint8_t *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
        return v;
}

static int bad_tag(const struct tag *tag, const char *what)
{
        printk(LOG_ERROR, "multiboot2: tag %u at offset 0x%x, %u bytes: %s", tag->type, tag->offset,
               tag->size, what);
        return -EINVAL;
}

/* The text from offset at, not past the tag's end, to a terminator that stands within the tag. */
static int read_string(const struct tag *tag, uint32_t at, const char **out)
{
        const char *text = (const char *)tag->p + at;

        if (strnlen(text, tag->size - at) == tag->size - at)
                return bad_tag(tag, "string without an end");
        *out = text;
        return 0;
}

/* What a module beyond the table holds is in use all the same. */
static void leave_out(struct boot_info *info, const struct boot_module *module)
{
        uint64_t start = module->start.v, end = start + module->size;

        if (info->modules_left++) {
                uint64_t others = info->left_start.v;

                end = end > others + info->left_size ? end : others + info->left_size;
                start = start < others ? start : others;
        }
        info->left_start = HPA(start);
        info->left_size = end - start;
}

static int read_module(const struct tag *tag, struct boot_info *info)
{
        struct boot_module module;
        uint32_t start, end;
        int err;

        if (tag->size < MODULE_STRING)
                return bad_tag(tag, "too short for a module");
        start = get32(tag->p + 8);
        end = get32(tag->p + 12);
        if (end < start)
                return bad_tag(tag, "module ends before it starts");
        module.start = HPA(start);
        module.size = end - start;
        err = read_string(tag, MODULE_STRING, &module.string);
        if (err)
                return err;
        if (info->module_count < BOOT_MODULES_MAX)
                info->module[info->module_count++] = module;
        else
                leave_out(info, &module);
        return 0;
}

static int read_e820_map(const struct tag *tag, struct boot_info *info)
{
        uint32_t entry_size;

        if (tag->size < MAP_ENTRIES)
                return bad_tag(tag, "too short for a memory map");
        entry_size = get32(tag->p + 8);
        if (entry_size < MAP_ENTRY_MIN || entry_size % 8 != 0)
                return bad_tag(tag, "memory map with a bad entry size");
        if ((tag->size - MAP_ENTRIES) % entry_size != 0)
                return bad_tag(tag, "memory map ends within an entry");
        for (uint32_t at = MAP_ENTRIES; at < tag->size; at += entry_size) {
                const struct boot_map_entry entry = {
                    .start = get64(tag->p + at),
                    .size = get64(tag->p + at + 8),
                    .type = get32(tag->p + at + 16),
                };

                boot_map_add(info, &entry);
        }
        return 0;
}

/* 3.6.17: descriptor size and version, then what GetMemoryMap gave when boot services ended */
static int read_efi_map(const struct tag *tag, struct boot_info *info)
{
        if (tag->size < MAP_ENTRIES)
                return bad_tag(tag, "too short for an EFI memory map");
        return efi_map_read(tag->p + MAP_ENTRIES, tag->size - MAP_ENTRIES, get32(tag->p + 8), info);
}

/* The firmware's own map, or what the loader made of it or of the BIOS' where there is no other. */
static int read_memory_map(const struct maps *maps, struct boot_info *info)
{
        if (maps->efi.p)
                return read_efi_map(&maps->efi, info);
        return maps->e820.p ? read_e820_map(&maps->e820, info) : 0;
}

static int read_framebuffer(const struct tag *tag, struct boot_info *info)
{
        const uint8_t *p = tag->p;

        if (tag->size <= FB_TYPE)
                return bad_tag(tag, "too short for a framebuffer");
        if (p[FB_TYPE] == FRAMEBUFFER_TEXT) {
                info->display = BOOT_DISPLAY_TEXT;
        } else if (p[FB_TYPE] == FRAMEBUFFER_RGB) {
                if (tag->size < FB_COLORS + 6)
                        return bad_tag(tag, "framebuffer without its colour fields");
                info->display = BOOT_DISPLAY_FB;
                info->fb = (struct framebuffer){
                    .base = HPA(get64(p + 8)),
                    .pitch = get32(p + 16),
                    .width = get32(p + 20),
                    .height = get32(p + 24),
                    .bpp = p[28],
                    .red_pos = p[FB_COLORS],
                    .red_size = p[FB_COLORS + 1],
                    .green_pos = p[FB_COLORS + 2],
                    .green_size = p[FB_COLORS + 3],
                    .blue_pos = p[FB_COLORS + 4],
                    .blue_size = p[FB_COLORS + 5],
                };
        }
        return 0;
}

/* A new RSDP wins over an old one, wherever it stands: only it names the XSDT. */
static int read_rsdp(const struct tag *tag, struct boot_info *info)
{
        size_t want = tag->type == TAG_RSDP_NEW ? BOOT_RSDP_SIZE_MAX : RSDP_OLD_SIZE;

        if (tag->size < HEADER_SIZE + want)
                return bad_tag(tag, "too short for an RSDP");
        if (want > info->rsdp_size) {
                memcpy(info->rsdp, tag->p + HEADER_SIZE, want);
                info->rsdp_size = want;
        }
        return 0;
}

static int read_tag(const struct tag *tag, struct maps *maps, struct boot_info *info)
{
        switch (tag->type) {
        case TAG_CMDLINE:
                return read_string(tag, HEADER_SIZE, &info->cmdline);
        case TAG_LOADER:
                return read_string(tag, HEADER_SIZE, &info->loader);
        case TAG_MODULE:
                return read_module(tag, info);
        case TAG_MEMORY_MAP:
                maps->e820 = *tag;
                return 0;
        case TAG_EFI_MAP:
                maps->efi = *tag;
                return 0;
        case TAG_FRAMEBUFFER:
                return read_framebuffer(tag, info);
        case TAG_RSDP_OLD:
        case TAG_RSDP_NEW:
                return read_rsdp(tag, info);
        default:
                return 0;
        }
}

int multiboot2_parse(const void *mbi, uint64_t limit, struct boot_info *info)
{
        const uint8_t *base = mbi;
        struct maps maps = {0};
        uint32_t total;

        memset(info, 0, sizeof *info);
        info->loader = info->cmdline = "";
        info->start = HPA((uintptr_t)mbi);
        if (limit < HEADER_SIZE || (uintptr_t)mbi % TAG_ALIGN != 0) {
                printk(LOG_ERROR, "multiboot2: boot information at %p is not usable", mbi);
                return -EINVAL;
        }
        total = get32(base);
        info->size = total;
        if (total < HEADER_SIZE || total > limit) {
                printk(LOG_ERROR, "multiboot2: boot information of %u bytes is not believed",
                       total);
                return -EINVAL;
        }
        for (uint64_t at = HEADER_SIZE, next; at + HEADER_SIZE <= total; at = next) {
                struct tag tag = {base + at, (uint32_t)at, get32(base + at), get32(base + at + 4)};
                int err;

                if (tag.size < HEADER_SIZE || tag.size > total - at)
                        return bad_tag(&tag, "bad size");
                if (tag.type == TAG_END)
                        return read_memory_map(&maps, info);
                err = read_tag(&tag, &maps, info);
                if (err)
                        return err;
                next = at + align_up(tag.size, TAG_ALIGN);
        }
        printk(LOG_ERROR, "multiboot2: boot information ends without its end tag");
        return -EINVAL;
}
