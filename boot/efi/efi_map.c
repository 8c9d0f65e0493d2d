/* What the EFI loader hands over, and the EFI memory map; contracts in efi_map.h. */
#include "boot/efi/efi_map.h"

#include "boot/boot_map.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/memmap.h"

/* UEFI 2.10, 7.2.1: EFI_MEMORY_TYPE */
enum efi_type {
        EFI_LOADER_CODE = 1,
        EFI_LOADER_DATA = 2,
        EFI_BOOT_CODE = 3,
        EFI_BOOT_DATA = 4,
        EFI_CONVENTIONAL = 7,
        EFI_UNUSABLE = 8,
        EFI_ACPI_RECLAIM = 9,
        EFI_ACPI_NVS = 10,
        EFI_PERSISTENT = 14
};

#define EFI_WRITE_BACK       (1ull << 3)
#define EFI_NONVOLATILE      (1ull << 15) /* it may hold somebody's data */
#define EFI_SPECIFIC_PURPOSE (1ull << 18)
#define EFI_RUNTIME          (1ull << 63) /* the firmware's own after the start, too */
#define EFI_NOT_RAM          (EFI_NONVOLATILE | EFI_SPECIFIC_PURPOSE | EFI_RUNTIME)

/* UEFI 2.10, 7.2.3: EFI_MEMORY_DESCRIPTOR */
struct descriptor {
        uint32_t type;
        uint32_t padding;
        uint64_t start;
        uint64_t virtual_start;
        uint64_t pages;
        uint64_t attributes;
};

static uint32_t meaning(const struct descriptor *d)
{
        bool ordinary = d->attributes & EFI_WRITE_BACK && !(d->attributes & EFI_NOT_RAM);

        switch (d->type) {
        case EFI_LOADER_CODE:
        case EFI_LOADER_DATA:
        case EFI_BOOT_CODE:
        case EFI_BOOT_DATA:
        case EFI_CONVENTIONAL:
                return ordinary ? E820_RAM : E820_RESERVED;
        case EFI_UNUSABLE:
                return E820_UNUSABLE;
        case EFI_ACPI_RECLAIM:
                return E820_ACPI_RECLAIM;
        case EFI_ACPI_NVS:
                return E820_ACPI_NVS;
        case EFI_PERSISTENT:
                return E820_PERSISTENT;
        default:
                return E820_RESERVED;
        }
}

/* The descriptor as an entry; false: it is passed over. */
static bool convert(const struct descriptor *d, struct boot_map_entry *out)
{
        uint32_t type = meaning(d);
        bool offers = type == E820_RAM || type == E820_PERSISTENT;
        bool wraps = d->pages > (UINT64_MAX - d->start) / PAGE_4K;

        if (!d->pages)
                return false;
        if (wraps || (offers && !is_aligned(d->start, PAGE_4K))) {
                printk(LOG_WARN, "efi: memory of type %u at 0x%lx, 0x%lx pages: %s", d->type,
                       d->start, d->pages,
                       offers ? "not believed, not used" : "reserved up to the last address");
                if (offers)
                        return false;
        }
        *out = (struct boot_map_entry){
            .start = d->start,
            .size = wraps ? UINT64_MAX - d->start : d->pages * PAGE_4K,
            .type = type,
            .source = BOOT_MAP_EFI,
            /* what was the loader's or the boot services' is conventional from here on */
            .efi_type = type == E820_RAM ? EFI_CONVENTIONAL : d->type,
        };
        return true;
}

int efi_map_read(const void *map, uint64_t size, uint64_t descriptor_size, struct boot_info *info)
{
        const uint8_t *p = map;
        struct boot_map_entry entry;
        struct descriptor d;

        info->map_count = info->map_left = 0;
        info->map_left_bytes = 0;
        if (descriptor_size < sizeof d || descriptor_size % 8 != 0 || size % descriptor_size != 0) {
                printk(LOG_ERROR, "efi: a memory map of %lu bytes in descriptors of %lu bytes",
                       size, descriptor_size);
                return -EINVAL;
        }
        for (uint64_t at = 0; at < size; at += descriptor_size) {
                memcpy(&d, p + at, sizeof d);
                if (convert(&d, &entry))
                        boot_map_add(info, &entry);
        }
        return 0;
}

/* Nothing of it can be used. */
static int refuse(struct boot_info *info, int err)
{
        memset(info, 0, sizeof *info);
        info->loader = info->cmdline = "";
        return err;
}

int efi_info_take(const struct boot_info *from, struct boot_info *info)
{
        int err;

        if (from->layout != BOOT_LAYOUT) {
                printk(LOG_ERROR,
                       "boot: BOOTX64.EFI is of another build (layout 0x%lx where 0x%lx is known)",
                       from->layout, BOOT_LAYOUT);
                return refuse(info, -EINVAL);
        }
        memcpy(info, from, sizeof *info);
        info->loader = "BOOTX64.EFI"; /* a name in its own image would be in free memory */
        err = efi_map_read((const void *)info->efi_map.v, info->efi_map_size,
                           info->efi_descriptor_size, info);
        return err ? refuse(info, err) : 0;
}
