/* The guest's paging modes as data, for the two files that walk its tables. */
#pragma once

#include "mm/paging/paging.h"

#define GUEST_CR0_PG   (1ull << 31)
#define GUEST_CR4_PSE  (1ull << 4)
#define GUEST_CR4_PAE  (1ull << 5)
#define GUEST_CR4_LA57 (1ull << 12)
#define GUEST_EFER_LMA (1ull << 10)

#define GUEST_ENTRY_P    (1ull << 0)
#define GUEST_ENTRY_PS   (1ull << 7)
#define GUEST_ENTRY_ADDR 0x000ffffffffff000ull

#define GUEST_LEVELS_MAX 4

/* How a paging mode cuts an address, SDM vol. 3 4.1.1: as many levels of so many bits each. */
struct guest_mode {
        unsigned levels;
        unsigned index_bits;
        unsigned entry_size;  /* bytes */
        unsigned large_level; /* entries up to this level may be leaves */
        uint64_t root_mask;   /* the table's address in CR3 */
};

/* The mode that these registers select, with 4 levels for 5. */
struct guest_mode guest_mode_of(const struct paging_guest_regs *regs);

/* The address a leaf of 2^shift bytes points to. */
uint64_t guest_leaf_base(const struct guest_mode *mode, uint64_t entry, unsigned shift);
