/* What the EFI loader tells of the machine: ACPI's root pointer, the screen, the memory map. */
#pragma once

#include "boot/boot_info.h"

#include <efi.h>

/* Fill in info's RSDP and display, as far as the firmware has them. */
void efi_describe_platform(struct boot_info *info);

/* Bytes of room that efi_end_boot_services will need. */
uint64_t efi_map_room(void);

/*
 * End boot services and leave the memory map as it then is in room, described in info. No service
 * may be used behind it. Returns an EFI error when the firmware does not let go.
 */
EFI_STATUS efi_end_boot_services(EFI_HANDLE image, uint8_t *room, uint64_t room_size,
                                 struct boot_info *info);
