/* A look at an initrd's outside; contract in initrd.h. Format: buffer-format.rst of Linux. */
#include "guest/load/initrd.h"

#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define HEADER_BYTES 110u /* magic and 13 fields of 8 hexadecimal digits */
#define FILE_SIZE_AT 54u
#define NAME_SIZE_AT 94u
#define GZIP_LEAST   20u /* header, an empty block, sum and size: RFC 1952 2.3 */

static const char trailer[] = "TRAILER!!!";

/* A field of 8 digits; UINT64_MAX: it is none. */
static uint64_t read_field(const uint8_t *p)
{
        uint64_t value = 0;

        for (unsigned i = 0; i < 8; i++) {
                uint8_t c = p[i] | 0x20;

                if (c >= '0' && c <= '9')
                        value = value << 4 | (uint64_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        value = value << 4 | (uint64_t)(c - 'a' + 10);
                else
                        return UINT64_MAX;
        }
        return value;
}

static bool is_newc(const uint8_t *p, uint64_t size)
{
        return size >= 6 && memcmp(p, "07070", 5) == 0 && (p[5] == '1' || p[5] == '2');
}

static const char *walk_newc(const uint8_t *p, uint64_t size)
{
        for (uint64_t at = 0; at < size;) {
                uint64_t left = size - at, name, file;

                if (left < HEADER_BYTES || !is_newc(p + at, left))
                        break;
                file = read_field(p + at + FILE_SIZE_AT);
                name = read_field(p + at + NAME_SIZE_AT);
                if (file == UINT64_MAX || name == UINT64_MAX || name > left - HEADER_BYTES)
                        break;
                if (name == sizeof trailer &&
                    memcmp(p + at + HEADER_BYTES, trailer, sizeof trailer) == 0)
                        return NULL;
                at = align_up(at + HEADER_BYTES + name, 4);
                if (at > size || file > size - at)
                        break;
                at = align_up(at + file, 4);
        }
        return "the cpio archive ends without its trailer";
}

const char *initrd_looks_cut(const void *initrd, uint64_t size)
{
        const uint8_t *p = initrd, *end = p + size;

        while (p < end && !*p)
                p++;
        if (p == end)
                return "it holds nothing but zeros";
        size = (uint64_t)(end - p);
        if (is_newc(p, size))
                return walk_newc(p, size);
        if (size >= 2 && p[0] == 0x1f && p[1] == 0x8b && size < GZIP_LEAST)
                return "the gzip file ends in its header";
        return NULL;
}

void initrd_warn_of_cut(const struct config *config)
{
        for (size_t i = 0; i < config->vm_count; i++) {
                const struct vm_config *vm = &config->vm[i];
                const char *why =
                    vm->startable && vm->has_initrd
                        ? initrd_looks_cut((const void *)vm->initrd.start.v, vm->initrd.size)
                        : NULL;

                if (why)
                        printk(LOG_WARN,
                               "vm %s: its initrd looks cut: %s; in GRUB: module2 --nounzip",
                               vm->name, why);
        }
}
