/* `nv check`, `nv bad` and `nv scrub`: damage, bad granules, what is still to be overwritten. */
#include "guest/admin/nv/nv_region.h"

#include "guest/text/words.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define SCRUB_AT_ONCE 64u /* granules */

/* The only word that a verb takes. -EINVAL with the reason printed: it is another. */
static int has_word(const struct command_call *call, const char *word, bool *has)
{
        *has = call->words > 0;
        if (!*has || strcmp(call->word[0], word) == 0)
                return 0;
        out_error(call->out, "%s: only %s is expected here", call->word[0], word);
        return -EINVAL;
}

static void health_table(struct out *out, const struct pool *pool, const struct pool_health *health,
                         bool deep)
{
        static const struct out_column column[] = {
            {"objects", "OBJECTS", 7},
            {"half", "HALF", 6},
            {"broken", "BROKEN", 6},
            {"mended", "MENDED", 6},
            {"mended_at_start", "AT START", 8},
            {"deep", "DEEP", -4},
            {"dirty", "DIRTY", 6},
        };

        out_table_begin(out, column, ARRAY_LEN(column));
        out_cells(out, out_number(health->objects), out_number(health->half),
                  out_number(health->broken), out_number(health->mended), out_number(pool->mended),
                  out_bool(deep), out_number(health->dirty));
        out_table_end(out);
}

/* One line a kind of damage that is left: what it is and what to do. */
static void health_errors(struct out *out, const struct pool *pool,
                          const struct pool_health *health, bool mend)
{
        if (pool->lost)
                out_error(out,
                          "%u records were passed over at the start, damaged or contradictory: "
                          "export the intact regions, then repair the pool off-line",
                          pool->lost);
        if (health->half && !mend)
                out_error(out,
                          "%lu objects have one damaged copy: nothing is lost, `check mend` "
                          "rewrites it",
                          health->half);
        if (health->broken && !pool->lost)
                out_error(out,
                          "%lu objects have no copy that can be believed: export the intact "
                          "regions, then repair the pool off-line",
                          health->broken);
        if (health->dirty)
                out_error(out,
                          "%lu free granules do not read as zero: a new region could show old "
                          "data",
                          health->dirty);
}

int nv_check(const struct command_call *call)
{
        struct pool *pool = nv_pool(call);
        struct pool_health health = {0};
        bool mend;
        int err;

        if (!pool)
                return -ENODEV;
        err = has_word(call, "mend", &mend);
        if (err)
                return err;
        err = pool_check(pool, mend, call->verbose, &health);
        if (err && err != -EBADMSG) {
                out_error(call->out, err == -EROFS ? "the pool is read-only: nothing can be mended"
                                                   : "the check failed");
                return err;
        }
        health_table(call->out, pool, &health, call->verbose);
        /* What a repair gave up at the start is no damage any more. */
        if (pool->lost && pool->read_only)
                err = -EBADMSG;
        if (err)
                health_errors(call->out, pool, &health, mend);
        else
                out_line(call->out, "all is well");
        return err;
}

/* The region that holds the granule, or NULL. */
static const struct pool_region *holder_of(struct pool *pool, hpa_t granule)
{
        struct pool_region *region = NULL;

        while ((region = pool_next(pool, region)))
                for (size_t i = 0; i < pool_region_extents(region); i++) {
                        struct pool_extent extent = pool_region_extent(pool, region, i);

                        if (granule.v - extent.hpa.v < extent.size)
                                return region;
                }
        return NULL;
}

static int bad_list(const struct command_call *call, struct pool *pool)
{
        static const struct out_column column[] = {{"granule", "GRANULE", 14},
                                                   {"region", "REGION", -31}};
        hpa_t granule;

        out_table_begin(call->out, column, ARRAY_LEN(column));
        for (size_t i = 0; pool_bad(pool, i, &granule); i++) {
                const struct pool_region *region = holder_of(pool, granule);

                out_cells(call->out, out_address(granule.v),
                          out_text(region ? pool_region_name(region) : "-"));
        }
        out_table_end(call->out);
        return 0;
}

static int bad_failed(const struct command_call *call, const struct pool *pool, uint64_t at,
                      int err)
{
        switch (err) {
        case -EEXIST:
                out_error(call->out, "0x%lx: this granule is on the list of bad ones already", at);
                return err;
        case -ENOENT:
                out_error(call->out, "0x%lx is not in a range of the pool", at);
                return err;
        case -ENOTSUP:
                out_error(call->out, "0x%lx holds the pool's metadata, which cannot do without it",
                          at);
                return err;
        case -ENOSPC:
                out_error(call->out, "0x%lx: the list of bad granules is full", at);
                return err;
        default:
                return nv_failed(call, pool, NULL, "bad granules", 0, err);
        }
}

static int bad_add(const struct command_call *call, struct pool *pool)
{
        const char *text = call->word[0];
        const struct pool_region *region;
        uint64_t at;
        int err;

        err = word_size(word_of(text), &at);
        if (err) {
                out_error(call->out, "%s: %s", text, word_size_rule(err));
                return -EINVAL;
        }
        err = pool_add_bad(pool, HPA(at));
        if (err)
                return bad_failed(call, pool, at, err);
        at = align_down(at, POOL_GRANULE);
        region = holder_of(pool, HPA(at));
        if (region)
                out_line(call->out,
                         "granule 0x%lx leaves with region %s, which holds it: clone the region "
                         "(the copy is zero there), then delete it",
                         at, pool_region_name(region));
        else
                out_line(call->out, "granule 0x%lx is out of use", at);
        return call->out->json ? bad_list(call, pool) : 0;
}

int nv_bad(const struct command_call *call)
{
        struct pool *pool = nv_pool(call);

        if (!pool)
                return -ENODEV;
        return call->words ? bad_add(call, pool) : bad_list(call, pool);
}

/* Scrub to the end, or until there is no progress any more. */
static void scrub_all(struct pool *pool)
{
        uint64_t left = pool_usage(pool).dying, before;

        do {
                before = left;
                left = pool_scrub(pool, SCRUB_AT_ONCE);
        } while (left && left < before);
}

int nv_scrub(const struct command_call *call)
{
        static const struct out_column column[] = {{"left", "LEFT", 10}, {"total", "TOTAL", 10}};
        struct pool *pool = nv_pool(call);
        struct pool_usage usage;
        bool wait;
        int err;

        if (!pool)
                return -ENODEV;
        err = has_word(call, "wait", &wait);
        if (err)
                return err;
        if (wait && pool->read_only)
                return nv_failed(call, pool, NULL, "", 0, -EROFS);
        if (wait)
                scrub_all(pool);
        usage = pool_usage(pool);
        if (wait && usage.dying) {
                out_error(call->out, "%s cannot be scrubbed: `check` tells more",
                          nv_size(usage.dying * POOL_GRANULE).text);
                return -EBADMSG;
        }
        if (usage.dying)
                out_line(call->out, "%s of %s left to scrub",
                         nv_size(usage.dying * POOL_GRANULE).text,
                         nv_size(usage.dying_total * POOL_GRANULE).text);
        else
                out_line(call->out, "nothing left to scrub");
        if (call->out->json) {
                out_table_begin(call->out, column, ARRAY_LEN(column));
                out_cells(call->out, out_size(usage.dying * POOL_GRANULE),
                          out_size(usage.dying_total * POOL_GRANULE));
                out_table_end(call->out);
        }
        return 0;
}
