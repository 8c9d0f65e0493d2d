/*
 * The rules that the hypervisor's page tables must keep: no memory both writable and executable, no
 * second way to its code and constants, no page at NULL, no stack without a guard.
 */
#pragma once

#include "mm/paging/paging.h"

/* Physical addresses of the image, which runs where it lies; and virtual ones of the guard pages,
 * in ascending order. */
struct hv_layout {
        uint64_t start, text_end, rodata_end;
        const uint64_t *guard;
        size_t guards;
};

/* A page that breaks a rule, and which; va is where it is mapped. */
typedef void (*hv_breach_fn)(void *ctx, uint64_t va, const struct paging_leaf *leaf,
                             const char *rule);

/* Judge all pages that are mapped: how many there are, each breach is reported. Pure. */
uint64_t hv_check_tables(const struct paging *tables, const struct hv_layout *layout,
                         hv_breach_fn report, void *ctx);
