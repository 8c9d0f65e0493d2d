/* The three page-table formats as data: which bits mean what; the walker is in paging.c. */
#include "mm/paging/paging.h"
#include "mm/paging/paging_bits.h"

/* Entries of EPT, SDM vol. 3 table 28-1 to 28-6. */
#define EPT_R    (1ull << 0)
#define EPT_W    (1ull << 1)
#define EPT_X    (1ull << 2)
#define EPT_WB   (6ull << 3)
#define EPT_MT   (7ull << 3)
#define EPT_IPAT (1ull << 6)
#define EPT_LEAF (1ull << 7)
#define EPT_A    (1ull << 8)
#define EPT_D    (1ull << 9)

/*
 * Accessed and dirty bits are set from the start: nobody reads them, and the CPU then need not
 * write them. The memory types use entries 0 and 3 of the PAT alone, for the hypervisor and NPT
 * alike: below KVM on SVM a guest's write to its PAT is one to ours, and these two are what Linux
 * leaves as they are.
 */
#define ORDINARY(VA_BITS, US, NX)                                                                  \
        {                                                                                          \
                .va_bits = (VA_BITS), .present = PT_P, .table = PT_P | PT_RW | (US) | PT_A,        \
                .leaf = (US) | PT_A | PT_D, .large = PT_PS,                                        \
                .prot = {[PAGING_R] = PT_P | (NX),                                                 \
                         [PAGING_RW] = PT_P | PT_RW | (NX),                                        \
                         [PAGING_RX] = PT_P,                                                       \
                         [PAGING_RWX] = PT_P | PT_RW},                                             \
                .prot_mask = PT_P | PT_RW | (NX),                                                  \
                .memtype = {[PAGING_WB] = 0, [PAGING_UC] = PT_PCD | PT_PWT},                       \
                .memtype_mask = PT_PCD | PT_PWT,                                                   \
        }

const struct paging_format paging_hv = ORDINARY(47, 0, PT_NX);
const struct paging_format paging_hv_no_nx = ORDINARY(47, 0, 0);

/* Every access of a guest counts as a user's, APM vol. 2 15.25.5: hence US. */
const struct paging_format paging_npt = ORDINARY(48, PT_US, PT_NX);

/* Write-back memory ignores the guest's PAT: a guest must not make aliases of another type. */
const struct paging_format paging_ept = {
    .va_bits = 48,
    .present = EPT_R | EPT_W | EPT_X,
    .table = EPT_R | EPT_W | EPT_X | EPT_A,
    .leaf = EPT_A | EPT_D,
    .large = EPT_LEAF,
    .prot = {[PAGING_R] = EPT_R,
             [PAGING_RW] = EPT_R | EPT_W,
             [PAGING_RX] = EPT_R | EPT_X,
             [PAGING_RWX] = EPT_R | EPT_W | EPT_X},
    .prot_mask = EPT_R | EPT_W | EPT_X,
    .memtype = {[PAGING_WB] = EPT_WB | EPT_IPAT, [PAGING_UC] = 0},
    .memtype_mask = EPT_MT | EPT_IPAT,
};
