/* Takes the EFI loader's struct boot_info; the contract is in efi_info.h. */
#include "boot/efi/efi_info.h"

#include "boot/efi/efi_map.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

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
