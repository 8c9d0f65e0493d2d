/*
 * A VM's guest-physical memory as the hypervisor sees it: a list of extents, each mapped whole.
 * Every access by guest-physical address goes through here and is checked against this list, so
 * nothing a guest names can reach outside its own memory.
 *
 * The list holds what it is given: a VM's RAM in as many blocks as DRAM had, and all extents of all
 * its regions. Finding an address costs the logarithm of their number, and less in the first one,
 * where the kernel lies.
 */
#pragma once

#include "hv/lib/types.h"
#include "mm/dram/dram.h"

#define GMEM_FIRST 32u /* extents that need no memory from elsewhere */

struct gmem_extent {
        gpa_t gpa;
        uint64_t size; /* bytes */
        uint8_t *ptr;  /* the hypervisor's pointer to the first byte */
        bool read_only;
};

/* extents are sorted by gpa and do not overlap; what goes on where the one before ends, for guest
 * and hypervisor, is added to that. A list without anything in it is all zero. */
struct gmem {
        size_t count;
        struct dram *dram; /* where a longer list lies; NULL: none is longer than GMEM_FIRST */
        struct gmem_extent *more; /* the whole list when it has outgrown first; else NULL */
        unsigned more_order;
        struct gmem_extent first[GMEM_FIRST];
};

/* Start empty, growing with memory from dram. */
void gmem_init(struct gmem *mem, struct dram *dram);

/* Give the list's memory back; it is empty then. */
void gmem_destroy(struct gmem *mem);

/* Add an extent. -EINVAL: empty, wraps or overlaps another; -ENOMEM: no memory for the list. */
must_check int gmem_add(struct gmem *mem, gpa_t gpa, uint64_t size, void *ptr);

/* The same for what the guest may only read, so that the hypervisor writes nothing there for it. */
must_check int gmem_add_read_only(struct gmem *mem, gpa_t gpa, uint64_t size, const void *ptr);

/*
 * The hypervisor's pointer to len bytes from gpa, or NULL when they are not wholly inside the VM's
 * memory, some of them are read-only, or they lie in extents whose pointers are not adjacent.
 */
void *gmem_ptr(const struct gmem *mem, gpa_t gpa, uint64_t len);

/*
 * The host pointer to gpa and in *room how many bytes stand there in one piece, to the end of its
 * extent; NULL and 0 if there is no memory, or none that may be written.
 */
uint8_t *gmem_piece(const struct gmem *mem, gpa_t gpa, bool write, uint64_t *room);

/*
 * Copy between the hypervisor and the guest, over extent borders. -EFAULT: not the VM's memory, or
 * to be written but read-only; then nothing is copied.
 */
must_check int gmem_read(const struct gmem *mem, gpa_t gpa, void *dst, uint64_t len);
must_check int gmem_write(const struct gmem *mem, gpa_t gpa, const void *src, uint64_t len);
/* The same for 8 bytes at an address aligned to 8, faster. */
must_check int gmem_read_word(const struct gmem *mem, gpa_t gpa, uint64_t *out);
