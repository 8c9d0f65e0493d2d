/* What the `nv` verbs share; contract in nv_region.h. */
#include "guest/admin/nv/nv_region.h"

#include "guest/text/words.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

struct nv_text nv_size(uint64_t bytes)
{
        static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
        struct nv_text size = {""};
        size_t i = 0;

        while (bytes && bytes % 1024 == 0 && i + 1 < ARRAY_LEN(unit)) {
                bytes /= 1024;
                i++;
        }
        format_text(size.text, sizeof size.text, "%lu %s", bytes, unit[i]);
        return size;
}

struct nv_text nv_uuid(struct pool_uuid uuid)
{
        struct nv_text text = {""};
        int at = 0;

        for (size_t i = 0; i < sizeof uuid.byte; i++)
                at += format_text(text.text + at, sizeof text.text - (size_t)at, "%s%02x",
                                  i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid.byte[i]);
        return text;
}

struct nv_facts nv_facts(const struct pool *pool, const struct pool_region *region)
{
        struct nv_facts facts = {.uuid = pool_region_uuid(region),
                                 .size = pool_region_size(region),
                                 .generation = pool_region_generation(region),
                                 .dying = pool_region_dying(region) * POOL_GRANULE,
                                 .bad = pool_region_bad(pool, region),
                                 .extents = pool_region_extents(region),
                                 .filling = pool_region_is_filling(region),
                                 .is_volatile = pool_region_is_volatile(pool, region)};

        format_text(facts.name, sizeof facts.name, "%s", pool_region_name(region));
        format_text(facts.owner, sizeof facts.owner, "%s", pool_region_owner(region));
        facts.readers = pool_region_readers(region, &facts.writer);
        return facts;
}

const char *nv_owner(const struct nv_facts *facts)
{
        return facts->owner[0] ? facts->owner : "-";
}

const char *nv_state(const struct nv_facts *facts)
{
        return facts->filling ? "filling" : "live";
}

const char *nv_access_name(enum pool_access access)
{
        switch (access) {
        case POOL_READ_ONLY:
                return "ro";
        case POOL_READ_WRITE:
                return "rw";
        default:
                return "none";
        }
}

struct nv_text nv_attached(const struct nv_facts *facts)
{
        struct nv_text text = {"-"};

        if (facts->writer)
                format_text(text.text, sizeof text.text, "rw");
        else if (facts->readers)
                format_text(text.text, sizeof text.text, "%zu ro", facts->readers);
        return text;
}

static bool shows_all(const struct command_call *call)
{
        return call->verbose || call->out->json;
}

void nv_table_begin(const struct command_call *call)
{
        static const struct out_column column[] = {
            {"name", "NAME", -20},    {"size", "SIZE", 10},         {"owner", "OWNER", -12},
            {"state", "STATE", -7},   {"attached", "ATTACHED", -8}, {"extents", "EXTENTS", 7},
            {"generation", "GEN", 4}, {"uuid", "UUID", -36},        {"volatile", "VOLATILE", 8},
        };

        out_table_begin(call->out, column, ARRAY_LEN(column) - (shows_all(call) ? 0 : 2));
}

void nv_table_row(const struct command_call *call, const struct nv_facts *facts)
{
        struct out *out = call->out;

        out_cells(out, out_text(facts->name), out_size(facts->size), out_text(nv_owner(facts)),
                  out_text(nv_state(facts)), out_text(nv_attached(facts).text),
                  out_number(facts->extents), out_number(facts->generation));
        if (!shows_all(call))
                return;
        out_cells(out, out_text(nv_uuid(facts->uuid).text), out_bool(facts->is_volatile));
}

void nv_object(const struct command_call *call, const struct nv_facts *facts)
{
        if (!call->out->json)
                return;
        nv_table_begin(call);
        nv_table_row(call, facts);
        out_table_end(call->out);
}

bool nv_bad_table(const struct command_call *call, const struct pool *pool,
                  const struct pool_region *region, const char *what)
{
        static const struct out_column column[] = {{"bad_offset", "BAD OFFSET", 14}};
        uint64_t bad = pool_region_bad(pool, region), at = 0;

        if (!bad)
                return false;
        out_line(call->out, "%lu bad granules of 2 MiB%s", bad, what);
        out_table_begin(call->out, column, ARRAY_LEN(column));
        for (; pool_region_next_bad(pool, region, at, &at); at += POOL_GRANULE)
                out_cells(call->out, out_address(at));
        out_table_end(call->out);
        return true;
}

struct pool *nv_pool(const struct command_call *call)
{
        const struct nv_target *target = call->target;
        const struct pool *pool = target->pool;

        if (pool->mounted)
                return target->pool;
        if (pool->fault == POOL_FAULT_NONE)
                out_error(call->out, "there is no NVRAM pool");
        else
                out_error(call->out, "the pool is not mounted: %s (at 0x%lx): %s",
                          pool_fault_text(pool->fault), pool->fault_at.v,
                          pool_fault_meaning(pool->fault));
        return NULL;
}

int nv_find(const struct command_call *call, struct pool **pool, struct pool_region **region)
{
        *pool = nv_pool(call);
        if (!*pool)
                return -ENODEV;
        *region = pool_find(*pool, call->word[0]);
        if (*region)
                return 0;
        if ((*pool)->damaged)
                out_error(call->out,
                          "no region with an intact record is named %s: export the regions that "
                          "`list` shows, then repair the pool off-line",
                          call->word[0]);
        else
                out_error(call->out, "no region is named %s: `list` shows all", call->word[0]);
        return (*pool)->damaged ? -EBADMSG : -ENOENT;
}

uint64_t nv_entropy(const struct command_call *call)
{
        const struct nv_target *target = call->target;

        return target->entropy();
}

_Static_assert(POOL_NAME_SIZE == WORD_NAME_SIZE, "regions and VMs are named alike");

int nv_parse_size(const struct command_call *call, const char *text, uint64_t *size)
{
        int err = word_size(word_of(text), size);

        if (err)
                out_error(call->out, "%s: %s", text, word_size_rule(err));
        else if (*size && is_aligned(*size, POOL_GRANULE))
                return 0;
        else
                out_error(call->out, "%s is not a positive multiple of 2 MiB", text);
        return -EINVAL;
}

int nv_check_name(const struct command_call *call, const char *kind, const char *name)
{
        if (word_is_name(word_of(name)))
                return 0;
        out_error(call->out, "%s \"%s\": " WORD_NAME_RULE, kind, name);
        return -EINVAL;
}

/* What regions of this owner may hold together, in bytes; 0: there is no limit. */
static uint64_t quota_of(const struct config *config, const char *owner)
{
        for (size_t i = 0; config && owner[0] && i < config->vm_count; i++)
                if (strcmp(config->vm[i].name, owner) == 0)
                        return config->vm[i].nvram_max;
        return 0;
}

int nv_check_quota(const struct command_call *call, struct pool *pool, const char *owner,
                   uint64_t more)
{
        const struct nv_target *target = call->target;
        uint64_t quota = quota_of(target->config, owner);
        uint64_t has = quota ? pool_owner_bytes(pool, owner) : 0;

        if (!quota || (has <= quota && more <= quota - has))
                return 0;
        out_error(call->out, "VM %s has %s of NVRAM and a quota of %s: %s more are above it", owner,
                  nv_size(has).text, nv_size(quota).text, nv_size(more).text);
        return -EPERM;
}

static void say_busy(const struct command_call *call, const struct nv_facts *facts)
{
        if (facts->filling)
                out_error(call->out, "region %s is still being filled: wait for it, or delete it",
                          facts->name);
        else if (facts->writer)
                out_error(call->out, "region %s is attached read-write: stop its VM first",
                          facts->name);
        else
                out_error(call->out, "region %s is attached read-only by %zu: stop these VMs first",
                          facts->name, facts->readers);
}

static void say_full(const struct command_call *call, const struct pool *pool, const char *name,
                     uint64_t bytes)
{
        struct pool_usage usage = pool_usage(pool);
        uint64_t room = (usage.free + usage.dying) * POOL_GRANULE;

        if (bytes > room)
                out_error(call->out, "region %s: no room for %s: %s are free", name,
                          nv_size(bytes).text, nv_size(room).text);
        else
                out_error(call->out,
                          "region %s: %s are free, but in too many pieces, or the catalogue has no "
                          "room for one more region: delete a region",
                          name, nv_size(room).text);
}

int nv_failed(const struct command_call *call, const struct pool *pool,
              const struct pool_region *region, const char *name, uint64_t bytes, int err)
{
        struct nv_facts facts;

        switch (err) {
        case -EBUSY:
                facts = nv_facts(pool, region);
                say_busy(call, &facts);
                break;
        case -ENOSPC:
                say_full(call, pool, name, bytes);
                break;
        case -EEXIST:
                out_error(call->out, "a region named %s is there already", name);
                break;
        case -EROFS:
                out_error(call->out, "the pool is read-only: nothing can be changed");
                break;
        case -EBADMSG:
                out_error(call->out,
                          "both copies of the record of region %s are damaged: export the other "
                          "regions, then repair the pool off-line",
                          name);
                break;
        default:
                out_error(call->out, "region %s: error %d", name, -err);
                break;
        }
        return err;
}
