/*
 * What a boot loader hands over, in one form for every loader. Strings point into the loader's own
 * structure, which must stay in place as long as they are used; everything else is copied.
 *
 * GRUB enters the image at its ELF entry point with multiboot2's structure, of which multiboot2.c
 * makes this one. Our own EFI loader fills it in itself: it finds struct boot_header in the image,
 * refuses one of another layout, and jumps to its entry with RDI = the struct boot_info, in 64-bit
 * mode with the firmware's page tables, after ExitBootServices.
 */
#pragma once

#include "drivers/fb.h"
#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define BOOT_MAPPED        (4 * GiB) /* below, entry code maps everything; hv_map the rest */
#define BOOT_RSDP_SIZE_MAX 36        /* ACPI 6.5, 5.2.5.3; 20 in ACPI 1.0 */

struct boot_module {
        hpa_t start;
        uint64_t size; /* bytes, may be 0 */
        const char *string;
};

enum boot_map_source { BOOT_MAP_E820, BOOT_MAP_EFI };

/* A memory map entry as the firmware gave it: any order, overlaps and wrapping included. */
struct boot_map_entry {
        uint64_t start;
        uint64_t size;
        uint32_t type; /* E820 type number */
        enum boot_map_source source;
        uint32_t efi_type; /* of an EFI map's entry: EFI_MEMORY_TYPE; what was lent is type 7 */
};

enum boot_display {
        BOOT_DISPLAY_NONE, /* the loader says nothing about the screen */
        BOOT_DISPLAY_TEXT, /* EGA text mode */
        BOOT_DISPLAY_FB    /* framebuffer with direct RGB colours, see fb */
};

struct boot_info {
        uint64_t layout;     /* our own loader: BOOT_LAYOUT as it was built */
        const char *loader;  /* its name, "" when it did not tell */
        const char *cmdline; /* the hypervisor's arguments, "" when there are none */
        struct boot_module module[BOOT_MODULES_MAX];
        size_t module_count;
        /* Modules beyond: how many, and the memory that holds them all. */
        size_t modules_left;
        hpa_t left_start;
        uint64_t left_size;
        struct boot_map_entry map[BOOT_MAP_MAX]; /* see boot_map.h */
        size_t map_count;
        size_t map_left; /* entries without a place in map, and their bytes */
        uint64_t map_left_bytes;
        enum boot_display display;
        struct framebuffer fb;
        uint8_t rsdp[BOOT_RSDP_SIZE_MAX]; /* copy of ACPI's root pointer, not checked */
        size_t rsdp_size;                 /* bytes used of rsdp; 0: the loader found none */
        hpa_t start;                      /* the loader's structure: keep it out of free memory */
        uint64_t size;
        /* our own loader: the EFI memory map as boot services left it; it lies within the above */
        hpa_t efi_map;
        uint64_t efi_map_size, efi_descriptor_size;
};

/* Count up whenever a field changes its meaning but not the size of struct boot_info. */
#define BOOT_LAYOUT_VERSION 1ul
#define BOOT_LAYOUT         (BOOT_LAYOUT_VERSION << 32 | sizeof(struct boot_info))

#define BOOT_INFO_MAGIC 0x6f666e69u /* what entry.asm tells boot_main of such a start: "info" */

/* Stands on 8 bytes within the first BOOT_HEADER_SEARCH bytes of the image's first segment. */
struct boot_header {
        char magic[16];  /* BOOT_HEADER_MAGIC, without a terminating zero */
        uint64_t layout; /* BOOT_LAYOUT as the image was built */
        uint64_t entry;  /* address of the 64-bit entry */
};

#define BOOT_HEADER_MAGIC  "Permafrost entry"
#define BOOT_HEADER_SEARCH (32 * KiB)
