/* `nv list` and `nv show`: what is in the pool. */
#include "guest/admin/nv/nv_region.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"

static void totals_line(struct out *out, const struct pool *pool, const struct pool_usage *usage)
{
        out_line(out,
                 "pool of %zu ranges%s: %s, %s used by %zu regions, %s to be scrubbed, %s bad, %s "
                 "free",
                 usage->ranges, pool->simulated ? " (simulated, volatile)" : "",
                 nv_size(usage->total * POOL_GRANULE).text,
                 nv_size(usage->used * POOL_GRANULE).text, usage->regions,
                 nv_size(usage->dying * POOL_GRANULE).text, nv_size(usage->bad * POOL_GRANULE).text,
                 nv_size(usage->free * POOL_GRANULE).text);
}

static void totals_object(struct out *out, const struct pool *pool, const struct pool_usage *usage)
{
        static const struct out_column column[] = {
            {"uuid", "UUID", -36}, {"total", "TOTAL", 10},  {"metadata", "META", 10},
            {"used", "USED", 10},  {"scrub", "SCRUB", 10},  {"bad", "BAD", 10},
            {"free", "FREE", 10},  {"ranges", "RANGES", 6}, {"regions", "REGIONS", 7},
            {"lost", "LOST", 4},   {"simulated", "SIM", 3}, {"read_only", "RO", 3},
        };

        out_table_begin(out, column, ARRAY_LEN(column));
        out_cells(out, out_text(nv_uuid(pool->uuid).text), out_size(usage->total * POOL_GRANULE),
                  out_size(usage->metadata * POOL_GRANULE), out_size(usage->used * POOL_GRANULE),
                  out_size(usage->dying * POOL_GRANULE), out_size(usage->bad * POOL_GRANULE),
                  out_size(usage->free * POOL_GRANULE), out_number(usage->ranges),
                  out_number(usage->regions), out_number(pool->lost), out_bool(pool->simulated),
                  out_bool(pool->read_only));
        out_table_end(out);
}

static void region_table(const struct command_call *call, struct pool *pool)
{
        struct pool_region *region = NULL;

        nv_table_begin(call);
        while ((region = pool_next(pool, region))) {
                struct nv_facts facts = nv_facts(pool, region);

                nv_table_row(call, &facts);
        }
        out_table_end(call->out);
}

int nv_list(const struct command_call *call)
{
        struct pool *pool = nv_pool(call);
        struct pool_usage usage;

        if (!pool)
                return -ENODEV;
        region_table(call, pool);
        usage = pool_usage(pool);
        totals_line(call->out, pool, &usage);
        if (call->out->json)
                totals_object(call->out, pool, &usage);
        return 0;
}

void nv_log(struct pool *pool)
{
        struct pool_usage usage = pool_usage(pool);
        size_t unarmed = pool_unarmed(pool);
        struct out_log log;

        out_log_start(&log, LOG_NOTICE, "nvram: ");
        totals_line(&log.out, pool, &usage);
        if (unarmed)
                printk(LOG_WARN, "nvram: %zu of %zu ranges are not armed (volatile)", unarmed,
                       usage.ranges);
        if (usage.bad)
                printk(LOG_WARN, "nvram: %s are on the list of bad granules",
                       nv_size(usage.bad * POOL_GRANULE).text);
        log.level = LOG_INFO;
        if (usage.regions)
                region_table(&(struct command_call){.out = &log.out}, pool);
}

static void show_facts(struct out *out, const struct nv_facts *facts)
{
        static const struct out_column column[] = {
            {"name", "name", 0},       {"size", "size", 0},
            {"owner", "owner", 0},     {"state", "state", 0},
            {"readers", "readers", 0}, {"writer", "writer", 0},
            {"extents", "extents", 0}, {"generation", "generation", 0},
            {"uuid", "uuid", 0},       {"scrub", "to scrub", 0},
            {"bad", "bad", 0},         {"volatile", "volatile", 0},
        };

        out_record_begin(out, column, ARRAY_LEN(column));
        out_cells(out, out_text(facts->name), out_size(facts->size), out_text(nv_owner(facts)),
                  out_text(nv_state(facts)), out_number(facts->readers), out_bool(facts->writer),
                  out_number(facts->extents), out_number(facts->generation),
                  out_text(nv_uuid(facts->uuid).text), out_size(facts->dying),
                  out_number(facts->bad), out_bool(facts->is_volatile));
        out_table_end(out);
}

static void show_grants(struct out *out, const struct pool_region *region)
{
        static const struct out_column column[] = {{"vm", "GRANTED TO", -31},
                                                   {"access", "ACCESS", -6}};
        enum pool_access access;
        char vm[POOL_NAME_SIZE];

        if (!out->json && !pool_region_grant(region, 0, vm, &access))
                return;
        out_line(out, "%s", "");
        out_table_begin(out, column, ARRAY_LEN(column));
        for (size_t i = 0; pool_region_grant(region, i, vm, &access); i++) {
                out_cells(out, out_text(vm), out_text(nv_access_name(access)));
        }
        out_table_end(out);
}

static void show_extents(struct out *out, const struct pool *pool, const struct pool_region *region)
{
        static const struct out_column column[] = {
            {"offset", "OFFSET", 14}, {"hpa", "HPA", 14}, {"size", "SIZE", 10}};
        uint64_t offset = 0;

        out_line(out, "%s", "");
        out_table_begin(out, column, ARRAY_LEN(column));
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);

                out_cells(out, out_address(offset), out_address(extent.hpa.v),
                          out_size(extent.size));
                offset += extent.size;
        }
        out_table_end(out);
}

int nv_show(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *region;
        struct nv_facts facts;
        int err = nv_find(call, &pool, &region);

        if (err)
                return err;
        facts = nv_facts(pool, region);
        show_facts(call->out, &facts);
        show_grants(call->out, region);
        show_extents(call->out, pool, region);
        (void)nv_bad_table(call, pool, region, ", at:");
        return 0;
}
