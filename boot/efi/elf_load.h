/* Checks and copies an ELF image that wants fixed physical addresses (System V gABI, chapter 5). */
#pragma once

#include "boot/boot_info.h"
#include "hv/lib/types.h"

#define ELF_SEGMENTS_MAX 8
#define ELF_LOWEST       (1 * MiB) /* below is the firmware's and the first start of other CPUs */

struct elf_segment {
        uint64_t offset, file_size; /* bytes in the file */
        uint64_t start, size;       /* of memory; what the file does not fill is zero */
};

struct elf_image {
        struct elf_segment segment[ELF_SEGMENTS_MAX]; /* PT_LOADs, by rising addresses, disjoint */
        size_t segment_count;
        uint64_t start, size; /* all of them, in whole pages, below BOOT_MAPPED */
        uint64_t entry;       /* the 64-bit entry of its struct boot_header */
};

/*
 * Check the size bytes of a file; nothing in it is believed. Returns NULL, or in words why it
 * cannot be loaded; *out is then unusable.
 */
must_check const char *elf_check(const uint8_t *file, uint64_t size, struct elf_image *out);

/* Copy a checked file to memory, which is where image->start shall be, and zero the rest. */
void elf_copy(const uint8_t *file, const struct elf_image *image, uint8_t *memory);
