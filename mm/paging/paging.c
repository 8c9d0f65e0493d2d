/*
 * Page tables: mapping, unmapping, protecting and translating in any struct paging_format.
 *
 * Level 0 is the table of 4 KiB pages, level 3 the root. One function, lookup, walks down; all
 * others step through their range by the size of the entry it stops at. Between calls no table but
 * the root is empty.
 */
#include "mm/paging/paging.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/dram/dram.h"
#include "mm/paging/paging_bits.h"

#define LEVELS  4u
#define ENTRIES 512u

/* The bytes that one entry of a level covers. */
static uint64_t span(unsigned level)
{
        return PAGE_4K << (9 * level);
}

static uint64_t *table_ptr(const struct paging *p, hpa_t table)
{
        return p->ops->to_ptr(p->ctx, table);
}

static hpa_t entry_hpa(uint64_t entry)
{
        return HPA(entry & ENTRY_ADDR);
}

/* One store, after all earlier ones: the CPU may walk the tables at any time. */
static void entry_set(uint64_t *entry, uint64_t value)
{
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* One load, before all later ones: another CPU may set it at any time. */
static uint64_t entry_get(const uint64_t *entry)
{
        return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static bool is_leaf(const struct paging *p, uint64_t entry, unsigned level)
{
        return (entry & p->fmt->present) && (!level || (entry & p->fmt->large));
}

static bool is_table(const struct paging *p, uint64_t entry, unsigned level)
{
        return (entry & p->fmt->present) && level && !(entry & p->fmt->large);
}

/* Walk down to the entry for va at level stop, or to the one above where the walk ends. */
static uint64_t *lookup(const struct paging *p, uint64_t va, unsigned stop, unsigned *level)
{
        unsigned at = LEVELS - 1;
        uint64_t *entry = &table_ptr(p, p->root)[va / span(at) % ENTRIES];

        while (at > stop && is_table(p, *entry, at)) {
                at--;
                entry = &table_ptr(p, entry_hpa(*entry))[va / span(at) % ENTRIES];
        }
        *level = at;
        return entry;
}

static bool range_ok(const struct paging *p, uint64_t va, uint64_t size)
{
        uint64_t limit = 1ull << p->fmt->va_bits;

        return size && is_aligned(va | size, PAGE_4K) && va < limit && size <= limit - va;
}

static bool prot_ok(const struct paging *p, unsigned prot)
{
        return prot < PAGING_PROTS && p->fmt->prot[prot];
}

static uint64_t leaf_entry(const struct paging *p, hpa_t hpa, unsigned level, unsigned prot,
                           enum paging_memtype memtype)
{
        const struct paging_format *f = p->fmt;

        return hpa.v | f->leaf | f->prot[prot] | f->memtype[memtype] | (level ? f->large : 0);
}

static int table_new(struct paging *p, hpa_t *out)
{
        int err = p->ops->alloc_table(p->ctx, out);

        if (!err)
                memset(table_ptr(p, *out), 0, PAGE_4K);
        return err;
}

static bool table_empty(const uint64_t *table)
{
        for (unsigned i = 0; i < ENTRIES; i++)
                if (table[i])
                        return false;
        return true;
}

/* Free the tables above va that have become empty, from the lowest up. */
static void prune(struct paging *p, uint64_t va)
{
        unsigned at;

        for (unsigned level = 1; level < LEVELS; level++) {
                uint64_t *entry = lookup(p, va, level, &at);
                hpa_t table;

                if (at != level || !is_table(p, *entry, level))
                        continue;
                table = entry_hpa(*entry);
                if (!table_empty(table_ptr(p, table)))
                        return;
                entry_set(entry, 0);
                p->ops->free_table(p->ctx, table);
        }
}

/* Replace a large leaf by a table that maps the same as `leaf` in the next smaller size. */
static int split(struct paging *p, uint64_t *entry, unsigned level, uint64_t leaf)
{
        uint64_t part = leaf & ~(level == 1 ? p->fmt->large : 0);
        uint64_t *table;
        hpa_t hpa;
        int err = table_new(p, &hpa);

        if (err)
                return err;
        table = table_ptr(p, hpa);
        for (unsigned i = 0; i < ENTRIES; i++)
                table[i] = part + i * span(level - 1);
        entry_set(entry, hpa.v | p->fmt->table);
        return 0;
}

/* Split pages until none reaches over the border at va. */
static int split_at(struct paging *p, uint64_t va)
{
        for (;;) {
                unsigned level;
                uint64_t *entry = lookup(p, va, 0, &level);
                int err;

                if (!is_leaf(p, *entry, level) || is_aligned(va, span(level)))
                        return 0;
                err = split(p, entry, level, *entry);
                if (err)
                        return err;
        }
}

/* Where the entry that covers va ends. */
static uint64_t next_entry(uint64_t va, unsigned level)
{
        return align_down(va, span(level)) + span(level);
}

/* Whether any page of a range has a leaf. */
static bool is_mapped(const struct paging *p, uint64_t va, uint64_t end)
{
        while (va < end) {
                unsigned level;
                uint64_t entry = *lookup(p, va, 0, &level);

                if (is_leaf(p, entry, level))
                        return true;
                va = next_entry(va, level);
        }
        return false;
}

/* Clear all leaves in a range whose ends no leaf crosses. */
static void clear(struct paging *p, uint64_t va, uint64_t end)
{
        while (va < end) {
                unsigned level;
                uint64_t *entry = lookup(p, va, 0, &level);
                uint64_t next = next_entry(va, level);

                if (is_leaf(p, *entry, level))
                        entry_set(entry, 0);
                if (next >= end || is_aligned(next, span(level + 1)))
                        prune(p, va);
                va = next;
        }
}

/*
 * The entry for va at a level, with the tables above it made where they are missing. Nothing is
 * mapped there, so it is empty: a table in its place would have to be empty itself.
 */
static int make_entry(struct paging *p, uint64_t va, unsigned level, uint64_t **out)
{
        for (;;) {
                unsigned at;
                hpa_t table;
                int err;

                *out = lookup(p, va, level, &at);
                if (at == level)
                        return 0;
                err = table_new(p, &table);
                if (err)
                        return err;
                entry_set(*out, table.v | p->fmt->table);
        }
}

/* The level of the largest page for va and hpa that is no larger than left. */
static unsigned best_level(const struct paging *p, uint64_t va, hpa_t hpa, uint64_t left)
{
        unsigned level = PAGING_SIZES - 1;

        while (level && (span(level) > p->max_page || span(level) > left ||
                         !is_aligned(va | hpa.v, span(level))))
                level--;
        return level;
}

int paging_init(struct paging *p, const struct paging_format *fmt, uint64_t max_page,
                const struct paging_ops *ops, void *ctx)
{
        if (max_page != PAGE_4K && max_page != PAGE_2M && max_page != PAGE_1G)
                return -EINVAL;
        *p = (struct paging){.fmt = fmt, .ops = ops, .ctx = ctx, .max_page = max_page};
        return table_new(p, &p->root);
}

int paging_map(struct paging *p, uint64_t va, hpa_t hpa, uint64_t size, unsigned prot,
               enum paging_memtype memtype)
{
        uint64_t end = va + size;
        hpa_t to = hpa;

        if (!range_ok(p, va, size) || !prot_ok(p, prot) || memtype >= PAGING_MEMTYPES ||
            !is_aligned(hpa.v, PAGE_4K) || hpa.v > ENTRY_ADDR ||
            size > ENTRY_ADDR + PAGE_4K - hpa.v)
                return -EINVAL;
        if (is_mapped(p, va, end))
                return -EEXIST;
        for (uint64_t at = va; at < end;) {
                unsigned level = best_level(p, at, to, end - at);
                uint64_t *entry;
                int err = make_entry(p, at, level, &entry);

                if (err) {
                        prune(p, at);
                        clear(p, va, at);
                        return err;
                }
                entry_set(entry, leaf_entry(p, to, level, prot, memtype));
                at += span(level);
                to.v += span(level);
        }
        return 0;
}

int paging_unmap(struct paging *p, uint64_t va, uint64_t size)
{
        uint64_t end = va + size;
        int err;

        if (!range_ok(p, va, size))
                return -EINVAL;
        err = split_at(p, va);
        if (!err && end < 1ull << p->fmt->va_bits) /* the very top is no border */
                err = split_at(p, end);
        if (!err)
                clear(p, va, end);
        return err;
}

int paging_protect_small(struct paging *p, uint64_t va, unsigned prot)
{
        if (va >> p->fmt->va_bits || !prot_ok(p, prot))
                return -EINVAL;
        for (;;) {
                unsigned level;
                uint64_t *entry = lookup(p, va, 0, &level);
                uint64_t changed = (*entry & ~p->fmt->prot_mask) | p->fmt->prot[prot];
                int err;

                if (!is_leaf(p, *entry, level))
                        return -ENOENT;
                if (level == 0) {
                        entry_set(entry, changed);
                        return 0;
                }
                err = split(p, entry, level, level == 1 ? changed : *entry);
                if (err || level == 1)
                        return err;
        }
}

/* What a leaf says; its address is that of the page. */
static struct paging_leaf read_leaf(const struct paging *p, uint64_t entry, unsigned level)
{
        const struct paging_format *f = p->fmt;
        struct paging_leaf leaf = {
            .hpa = HPA(align_down(entry_hpa(entry).v, span(level))),
            .size = span(level),
        };

        while ((entry & f->prot_mask) != f->prot[leaf.prot])
                leaf.prot++;
        while ((entry & f->memtype_mask) != f->memtype[leaf.memtype])
                leaf.memtype++;
        return leaf;
}

int paging_walk(const struct paging *p, uint64_t va, struct paging_leaf *leaf)
{
        unsigned level = LEVELS - 1;
        uint64_t entry;

        if (va >> p->fmt->va_bits)
                return -ENOENT;
        entry = entry_get(&table_ptr(p, p->root)[va / span(level) % ENTRIES]);
        while (is_table(p, entry, level)) {
                level--;
                entry = entry_get(&table_ptr(p, entry_hpa(entry))[va / span(level) % ENTRIES]);
        }
        if (!is_leaf(p, entry, level))
                return -ENOENT;
        *leaf = read_leaf(p, entry, level);
        leaf->hpa.v += va % span(level);
        return 0;
}

static void each_leaf(const struct paging *p, hpa_t table, unsigned level, uint64_t va,
                      paging_see_fn see, void *ctx)
{
        const uint64_t *entry = table_ptr(p, table);
        struct paging_leaf leaf;

        for (unsigned i = 0; i < ENTRIES; i++, va += span(level)) {
                if (is_table(p, entry[i], level)) {
                        each_leaf(p, entry_hpa(entry[i]), level - 1, va, see, ctx);
                } else if (is_leaf(p, entry[i], level)) {
                        leaf = read_leaf(p, entry[i], level);
                        see(ctx, va, &leaf);
                }
        }
}

void paging_each_leaf(const struct paging *p, paging_see_fn see, void *ctx)
{
        each_leaf(p, p->root, LEVELS - 1, 0, see, ctx);
}

static void count_leaf(void *ctx, uint64_t va, const struct paging_leaf *leaf)
{
        uint64_t *bytes = ctx;

        (void)va;
        bytes[leaf->size == PAGE_4K ? 0 : leaf->size == PAGE_2M ? 1 : 2] += leaf->size;
}

void paging_count_leaves(const struct paging *p, uint64_t bytes[PAGING_SIZES])
{
        memset(bytes, 0, PAGING_SIZES * sizeof bytes[0]);
        paging_each_leaf(p, count_leaf, bytes);
}

static void free_tables(struct paging *p, hpa_t table, unsigned level)
{
        const uint64_t *entry = table_ptr(p, table);

        for (unsigned i = 0; i < ENTRIES; i++)
                if (is_table(p, entry[i], level))
                        free_tables(p, entry_hpa(entry[i]), level - 1);
        p->ops->free_table(p->ctx, table);
}

void paging_destroy(struct paging *p)
{
        free_tables(p, p->root, LEVELS - 1);
        p->root = HPA(0);
}

/* ---- Tables in frames of the DRAM allocator. ---- */

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
