/* RSDP (UEFI 2.10, 4.6), screen (12.9) and ExitBootServices (7.4.6); contracts in efi_platform.h.
 */
#include "boot/efi/efi_platform.h"

#include "boot/efi/efi_io.h"
#include "boot/efi/efi_screen.h"
#include "hv/lib/string.h"

#define RSDP_OLD_SIZE 20u
#define MAP_SLACK     (16 * KiB) /* the map grows by what is allocated until the end */
#define EXIT_TRIES    8

static const void *find_table(const EFI_GUID *guid)
{
        const EFI_SYSTEM_TABLE *st = efi_system();

        for (UINTN i = 0; i < st->NumberOfTableEntries; i++)
                if (memcmp(&st->ConfigurationTable[i].VendorGuid, guid, sizeof *guid) == 0)
                        return st->ConfigurationTable[i].VendorTable;
        return NULL;
}

static void describe_rsdp(struct boot_info *info)
{
        static const EFI_GUID acpi_2 = ACPI_20_TABLE_GUID, acpi_1 = ACPI_TABLE_GUID;
        const void *rsdp = find_table(&acpi_2);

        info->rsdp_size = BOOT_RSDP_SIZE_MAX;
        if (!rsdp) {
                rsdp = find_table(&acpi_1);
                info->rsdp_size = rsdp ? RSDP_OLD_SIZE : 0;
        }
        if (rsdp)
                memcpy(info->rsdp, rsdp, info->rsdp_size);
}

/* The console's own screen, or any other. */
static EFI_GRAPHICS_OUTPUT_PROTOCOL *find_screen(void)
{
        static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
        EFI_BOOT_SERVICES *bs = efi_boot_services();
        EFI_GRAPHICS_OUTPUT_PROTOCOL *gop = NULL;

        if (bs->HandleProtocol(efi_system()->ConsoleOutHandle, &guid, (void **)&gop) ==
                EFI_SUCCESS ||
            bs->LocateProtocol(&guid, NULL, (void **)&gop) == EFI_SUCCESS)
                return gop;
        return NULL;
}

static void describe_screen(struct boot_info *info)
{
        const EFI_GRAPHICS_OUTPUT_PROTOCOL *gop = find_screen();
        const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
        struct efi_screen screen;

        if (!gop || !gop->Mode || !gop->Mode->Info)
                return;
        mode = gop->Mode->Info;
        screen = (struct efi_screen){
            .base = gop->Mode->FrameBufferBase,
            .width = mode->HorizontalResolution,
            .height = mode->VerticalResolution,
            .line = mode->PixelsPerScanLine,
            .format = mode->PixelFormat,
            .red = mode->PixelInformation.RedMask,
            .green = mode->PixelInformation.GreenMask,
            .blue = mode->PixelInformation.BlueMask,
            .reserved = mode->PixelInformation.ReservedMask,
        };
        if (efi_screen_describe(&screen, &info->fb) == 0)
                info->display = BOOT_DISPLAY_FB;
}

void efi_describe_platform(struct boot_info *info)
{
        describe_rsdp(info);
        describe_screen(info);
}

uint64_t efi_map_room(void)
{
        UINTN size = 0, key, each;
        UINT32 version;

        efi_boot_services()->GetMemoryMap(&size, NULL, &key, &each, &version);
        return align_up(size, PAGE_4K) + MAP_SLACK;
}

EFI_STATUS efi_end_boot_services(EFI_HANDLE image, uint8_t *room, uint64_t room_size,
                                 struct boot_info *info)
{
        EFI_BOOT_SERVICES *bs = efi_boot_services();
        EFI_STATUS status = EFI_INVALID_PARAMETER;

        /* The first try may have changed the map, which the next one must tell. */
        for (unsigned i = 0; status == EFI_INVALID_PARAMETER && i < EXIT_TRIES; i++) {
                UINTN size = room_size, key, each;
                UINT32 version;

                status =
                    bs->GetMemoryMap(&size, (EFI_MEMORY_DESCRIPTOR *)room, &key, &each, &version);
                if (status != EFI_SUCCESS)
                        return status;
                info->efi_map = HPA((uint64_t)room);
                info->efi_map_size = size;
                info->efi_descriptor_size = each;
                status = bs->ExitBootServices(image, key);
        }
        return status;
}
