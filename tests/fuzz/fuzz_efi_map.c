/*
 * The EFI memory map (boot/efi/efi_map.c): the size of a descriptor, then the map. Its entries go
 * on into a memory map as at boot; no address that only a reservation holds may become usable.
 */
#include "boot/efi/efi_map.h"

#include "hv/lib/errno.h"
#include "mm/memmap.h"
#include "tests/fuzz/fuzz.h"

static void check_entries(const struct boot_info *info)
{
        static struct memmap map;

        memmap_init(&map);
        for (size_t i = 0; i < info->map_count; i++) {
                const struct boot_map_entry *e = &info->map[i];
                const struct mem_source source = {.origin = MEM_FROM_EFI, .type = e->efi_type};
                enum mem_kind kind = memmap_kind_of_e820(e->type);
                int err = memmap_add(&map, e->start, e->size, kind, source);

                DEMAND(e->source == BOOT_MAP_EFI && e->size <= UINT64_MAX - e->start);
                DEMAND(!err || err == -ERANGE || err == -ENOSPC);
                if (kind == MEM_RAM || memmap_is_nvram(kind))
                        DEMAND(e->size && is_aligned(e->start | e->size, PAGE_4K));
        }
        for (size_t i = 1; i < map.count; i++)
                DEMAND(map.range[i - 1].start + map.range[i - 1].size <= map.range[i].start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct boot_info info;
        unsigned long before = fuzz_complaints;
        struct fuzz_input in = {data, size};
        uint64_t descriptor_size = fuzz_take(&in, 1);
        size_t len;
        uint8_t *map = fuzz_block(&in, size, &len);
        int err = efi_map_read(map, len, descriptor_size, &info);

        DEMAND(err == 0 || err == -EINVAL);
        DEMAND(!err || fuzz_complaints > before);
        DEMAND(info.map_count <= BOOT_MAP_MAX);
        if (!err)
                check_entries(&info);
        free(map);
        return 0;
}
