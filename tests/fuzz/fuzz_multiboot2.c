/*
 * Multiboot2 boot information (boot/multiboot2.c): the input is the whole structure, and what is
 * read from it goes on to the options, the module lines and the memory map as it does at boot.
 */
#include "boot/multiboot2.h"
#include "guest/config/config.h"
#include "hv/lib/errno.h"
#include "mm/memmap.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/e820.h"

static bool lies_within(const char *text, const uint8_t *mbi, size_t size)
{
        const uint8_t *p = (const uint8_t *)text;

        return *text == '\0' ||
               (p >= mbi && p < mbi + size && memchr(p, 0, size - (size_t)(p - mbi)));
}

static void read_on(const struct boot_info *info)
{
        static struct config config;
        static struct memmap map;
        int err = 0;

        config_init(&config);
        err |= config_parse_options(&config, info->cmdline);
        for (size_t i = 0; i < info->module_count; i++)
                err |= config_add_module(&config, info->module[i].start, info->module[i].size,
                                         info->module[i].string);
        config_finish(&config);
        DEMAND(!err || config.error_count);
        memmap_init(&map);
        for (size_t i = 0; i < info->map_count; i++)
                err |=
                    memmap_add_e820(&map, info->map[i].start, info->map[i].size, info->map[i].type);
        for (size_t i = 1; i < map.count; i++)
                DEMAND(map.range[i - 1].start + map.range[i - 1].size <= map.range[i].start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct boot_info info;
        unsigned long before = fuzz_complaints;
        struct fuzz_input in = {data, size};
        size_t len;
        uint8_t *mbi = fuzz_block(&in, size, &len);
        int err = multiboot2_parse(mbi, len, &info);

        DEMAND(err == 0 || err == -EINVAL);
        DEMAND(!err || fuzz_complaints > before);
        if (!err) {
                DEMAND(lies_within(info.cmdline, mbi, len) && lies_within(info.loader, mbi, len));
                DEMAND(info.module_count <= BOOT_MODULES_MAX && info.map_count <= BOOT_MAP_MAX);
                DEMAND(info.rsdp_size <= BOOT_RSDP_SIZE_MAX && info.size <= len);
                for (size_t i = 0; i < info.module_count; i++)
                        DEMAND(lies_within(info.module[i].string, mbi, len));
                read_on(&info);
        }
        free(mbi);
        return 0;
}
