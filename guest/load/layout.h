/* Where a VM's memory lies in its guest-physical address space. */
#pragma once

#include "guest/config/config.h"
#include "hv/lib/types.h"

#define LAYOUT_RAM_MAX 2

struct layout_range {
        gpa_t gpa;
        uint64_t size; /* bytes, multiple of 2 MiB */
};

/* An NVRAM region; nothing else stands within 2 MiB on either side of it. */
struct layout_region {
        char name[WORD_NAME_SIZE];
        gpa_t gpa; /* 1 GiB-aligned */
        uint64_t size;
        bool read_only;
};

/* Both lists ascend by address; region i is the configuration's region i. */
struct vm_layout {
        struct layout_range ram[LAYOUT_RAM_MAX];
        size_t ram_count;
        struct layout_region region[CONFIG_REGIONS_MAX];
        size_t region_count;
};

/*
 * Lay out the VM that vm (without mistakes) describes. -ERANGE: it does not fit in address_bits
 * bits of guest-physical address, 32 to 52.
 */
must_check int layout_compute(const struct vm_config *vm, unsigned address_bits,
                              struct vm_layout *layout);

/*
 * The kernel argument that tells the guest its regions, "permafrost.nvram=NAME@GPA:SIZE[:ro],..."
 * with numbers as 0x hexadecimal bytes; "" for none. Returns its length, as format_text.
 */
int layout_format_regions(const struct vm_layout *layout, char *buf, size_t size);
