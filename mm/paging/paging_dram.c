/* Page tables that live in frames of the DRAM allocator. */
#include "mm/dram/dram.h"
#include "mm/paging/paging.h"

static int alloc_table(void *ctx, hpa_t *out)
{
        return dram_alloc(ctx, 0, out);
}

static void free_table(void *ctx, hpa_t table)
{
        /* A table that is not allocated is reported by dram_free; there is nothing more to undo. */
        (void)!dram_free(ctx, table, 0);
}

static void *to_ptr(void *ctx, hpa_t table)
{
        const struct dram *dram = ctx;

        return dram->to_ptr(table);
}

const struct paging_ops paging_dram_ops = {
    .alloc_table = alloc_table,
    .free_table = free_table,
    .to_ptr = to_ptr,
};
