/*
 * What the EFI loader needs of boot services: text on the console, memory, and files of the volume
 * that it was started from. UEFI 2.10: 12.4 (console), 7.2 (memory), 13.4 and 13.5 (files).
 */
#pragma once

#include "hv/lib/types.h"

#include <efi.h>

/* Call first; the firmware's tables stay in use until boot services end. */
void efi_io_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

EFI_BOOT_SERVICES *efi_boot_services(void);
EFI_SYSTEM_TABLE *efi_system(void);

/* A line of text on the console, as format_text. */
void efi_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same for what ends the loader; returns status. */
EFI_STATUS efi_fail(EFI_STATUS status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Give the user the time to read it: until a key is typed, 10 s at most. */
void efi_wait_for_key(void);

/*
 * Zeroed pages of size bytes (> 0) below 4 GiB, which are the loader's until efi_free_all. NULL:
 * none are left; reported.
 */
must_check void *efi_alloc(uint64_t size);

/* The same at an address of one's own, for code. NULL: the place is taken; reported with by whom.
 */
must_check void *efi_alloc_at(uint64_t start, uint64_t size);

/* Give back all that was allocated: on the way back to the firmware only. */
void efi_free_all(void);

/*
 * Read a whole file, its path from the root of the volume, with slashes. *out is memory by
 * efi_alloc, NULL for an empty file. What fails is reported with the path.
 */
must_check EFI_STATUS efi_read_file(const char *path, uint8_t **out, uint64_t *size);
