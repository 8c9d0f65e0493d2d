/*
 * Page tables of four levels: one mapper and walker for the hypervisor's own tables, Intel's EPT
 * and AMD's nested tables, which differ only in a struct paging_format.
 *
 * Addresses to be translated (va below) are plain numbers: a virtual address for the hypervisor's,
 * a guest-physical one for EPT and NPT. After paging_unmap and paging_protect_small, and before
 * memory that was unmapped is used otherwise, the caller flushes the TLBs that may hold the old
 * entries.
 */
#pragma once

#include "hv/lib/types.h"

struct dram;

/* Protection: a set of these. Write or execute without read is refused. */
#define PAGING_R     1u
#define PAGING_W     2u
#define PAGING_X     4u
#define PAGING_RW    (PAGING_R | PAGING_W)
#define PAGING_RX    (PAGING_R | PAGING_X)
#define PAGING_RWX   (PAGING_R | PAGING_W | PAGING_X)
#define PAGING_PROTS 8u

enum paging_memtype { PAGING_WB, PAGING_UC, PAGING_MEMTYPES };

/* Page sizes as indices: 4 KiB, 2 MiB, 1 GiB. */
#define PAGING_SIZES 3u

struct paging_format {
        unsigned va_bits;            /* addresses below 2^va_bits can be mapped */
        uint64_t present;            /* an entry with none of these bits is empty */
        uint64_t table;              /* an entry that points to a table */
        uint64_t leaf;               /* in every leaf */
        uint64_t large;              /* a leaf of 2 MiB or 1 GiB */
        uint64_t prot[PAGING_PROTS]; /* by protection; 0: cannot be expressed */
        uint64_t prot_mask;          /* all bits that prot[] may set */
        uint64_t memtype[PAGING_MEMTYPES];
        uint64_t memtype_mask;
};

extern const struct paging_format paging_hv;  /* SDM vol. 3 4.5 */
extern const struct paging_format paging_ept; /* SDM vol. 3 28.3.2 */
extern const struct paging_format paging_npt; /* APM vol. 2 15.25 */

/* paging_hv for a CPU without NX, where the bit is reserved: what can be read can be executed. */
extern const struct paging_format paging_hv_no_nx;

/* Where tables live. alloc_table gives any 4 KiB frame, its contents do not matter. */
struct paging_ops {
        int (*alloc_table)(void *ctx, hpa_t *out); /* -ENOMEM */
        void (*free_table)(void *ctx, hpa_t table);
        void *(*to_ptr)(void *ctx, hpa_t table);
};

/* Tables from a struct dram, which is the ctx. */
extern const struct paging_ops paging_dram_ops;

struct paging {
        const struct paging_format *fmt;
        const struct paging_ops *ops;
        void *ctx;
        hpa_t root;        /* for CR3, EPTP or nCR3 */
        uint64_t max_page; /* PAGE_4K, PAGE_2M or PAGE_1G */
};

struct paging_leaf {
        hpa_t hpa;     /* what the looked-up address itself translates to */
        uint64_t size; /* of the page it lies in, bytes */
        unsigned prot;
        enum paging_memtype memtype;
};

/* Allocate an empty root. Pages larger than max_page are never used. -ENOMEM; -EINVAL: max_page. */
must_check int paging_init(struct paging *p, const struct paging_format *fmt, uint64_t max_page,
                           const struct paging_ops *ops, void *ctx);

/* Free every table; the memory that was mapped is untouched. */
void paging_destroy(struct paging *p);

/*
 * Map size bytes at va to hpa, with the largest pages that alignment, size and max_page allow.
 * -EINVAL: not multiples of 4 KiB, size 0, out of range, prot; -EEXIST: something is mapped there;
 * -ENOMEM: no table. On any error nothing is mapped that was not before.
 */
must_check int paging_map(struct paging *p, uint64_t va, hpa_t hpa, uint64_t size, unsigned prot,
                          enum paging_memtype memtype);

/*
 * Unmap what is mapped in size bytes at va (holes are fine), splitting large pages at both ends and
 * freeing tables that become empty. -EINVAL as above; -ENOMEM: no table for a split, no
 * translation changed.
 */
must_check int paging_unmap(struct paging *p, uint64_t va, uint64_t size);

/*
 * Change the protection of the page that va lies in, so that afterwards pages of 4 KiB have it: a
 * large page is split, and the whole of the 2 MiB around va gets the protection. -EINVAL, -ENOMEM
 * as above; -ENOENT: nothing is mapped at va. Then no translation changed.
 */
must_check int paging_protect_small(struct paging *p, uint64_t va, unsigned prot);

/*
 * Translate va. -ENOENT: not mapped. On any CPU, also while another one maps, protects or splits,
 * but not while it unmaps.
 */
must_check int paging_walk(const struct paging *p, uint64_t va, struct paging_leaf *leaf);

/*
 * Call see with every page that is mapped, in ascending order of va: where the page begins, and
 * what its first byte translates to. see changes no table.
 */
typedef void (*paging_see_fn)(void *ctx, uint64_t va, const struct paging_leaf *leaf);
void paging_each_leaf(const struct paging *p, paging_see_fn see, void *ctx);

/* How many bytes are mapped with pages of 4 KiB, 2 MiB and 1 GiB. */
void paging_count_leaves(const struct paging *p, uint64_t bytes[PAGING_SIZES]);

/* The registers that say how a guest translates its own addresses. */
struct paging_guest_regs {
        uint64_t cr0, cr3, cr4, efer;
};

/* Read 8 bytes, aligned to 8, of guest-physical memory: 0, or a negative errno value. */
typedef int (*paging_guest_read_fn)(void *ctx, gpa_t gpa, uint64_t *out);

/*
 * Translate an address through the guest's own tables as its CPU would, for reading: paging off,
 * 32-bit, PAE and 4-level. No access right is checked, and nothing is marked as accessed.
 * -EFAULT: not mapped, not canonical, or a table that read does not give; -ENOTSUP: 5-level.
 */
must_check int paging_guest_walk(const struct paging_guest_regs *regs, uint64_t gva,
                                 paging_guest_read_fn read, void *ctx, gpa_t *out);

/*
 * Copy up to len bytes from gva, an address that the guest's own tables translate. Returns how many
 * came before the first one that is not mapped or cannot be read.
 */
size_t paging_guest_read(const struct paging_guest_regs *regs, uint64_t gva,
                         paging_guest_read_fn read, void *ctx, void *to, size_t len);

/* A guest's memory for a walk that leaves marks: read as above; set ORs bits into such 8 bytes. */
struct paging_guest_memory {
        paging_guest_read_fn read;
        void (*set)(void *ctx, gpa_t gpa, uint64_t bits);
        void *ctx;
};

/* An access to data: what for, by whom, and the guest's RFLAGS. */
struct paging_access {
        bool write, user;
        uint64_t rflags;
};

/* The error code of a page fault, SDM vol. 3 4.7. */
#define PAGING_FAULT_PRESENT  1u
#define PAGING_FAULT_WRITE    2u
#define PAGING_FAULT_USER     4u
#define PAGING_FAULT_RESERVED 8u
#define PAGING_FAULT          (1u << 31) /* no bit of the error code: there is a fault */

/*
 * Translate a canonical (outside of long mode: 32-bit) linear address as the guest's CPU would for
 * this access, and set the accessed and dirty bits as it would. 0, or the fault that the guest gets
 * (PAGING_FAULT set). Tables that are not in the guest's memory read as all ones, bits above the
 * CPU's physical address width are not taken as reserved, and protection keys are not looked at.
 */
must_check uint32_t paging_guest_access(const struct paging_guest_regs *regs, uint64_t gva,
                                        const struct paging_access *access,
                                        const struct paging_guest_memory *mem, gpa_t *out);
