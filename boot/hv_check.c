/* The rules for the hypervisor's page tables; contract in hv_check.h. */
#include "boot/hv_check.h"

struct judge {
        const struct hv_layout *layout;
        hv_breach_fn report;
        void *ctx;
        uint64_t leaves;
};

static bool overlaps(uint64_t start, uint64_t size, uint64_t from, uint64_t to)
{
        return start < to && start + size > from;
}

static bool has_guard(const struct hv_layout *layout, uint64_t va, uint64_t size)
{
        size_t low = 0, high = layout->guards; /* the first that ends behind va is in [low, high] */

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (layout->guard[middle] + PAGE_4K > va)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low < layout->guards &&
               overlaps(va, size, layout->guard[low], layout->guard[low] + PAGE_4K);
}

/* The rule that a page breaks, the gravest first; NULL: none. */
static const char *breach(const struct hv_layout *layout, uint64_t va,
                          const struct paging_leaf *leaf)
{
        uint64_t at = leaf->hpa.v;
        bool w = leaf->prot & PAGING_W, x = leaf->prot & PAGING_X;

        if (w && x)
                return "both writable and executable";
        if (x && (at < layout->start || at + leaf->size > layout->text_end))
                return "executable, but not the hypervisor's code";
        if (w && overlaps(at, leaf->size, layout->start, layout->rodata_end))
                return "the hypervisor's code or constants, writable";
        if (va != at)
                return "memory at an address that is not its own";
        if (va == 0)
                return "mapped at NULL";
        if (has_guard(layout, va, leaf->size))
                return "a guard page, mapped";
        return NULL;
}

static void see(void *ctx, uint64_t va, const struct paging_leaf *leaf)
{
        struct judge *judge = ctx;
        const char *rule = breach(judge->layout, va, leaf);

        judge->leaves++;
        if (rule)
                judge->report(judge->ctx, va, leaf, rule);
}

uint64_t hv_check_tables(const struct paging *tables, const struct hv_layout *layout,
                         hv_breach_fn report, void *ctx)
{
        struct judge judge = {layout, report, ctx, 0};

        paging_each_leaf(tables, see, &judge);
        return judge.leaves;
}
