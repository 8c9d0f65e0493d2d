/* The `nv` verbs that change regions: each checks what it is asked, has the pool do it, and says
 * what came of it. */
#include "guest/admin/nv/nv_region.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

/* "created scratch, 64 MiB, 1 extents". */
static int done(const struct command_call *call, const char *what, const struct nv_facts *facts)
{
        out_line(call->out, "%s %s, %s, %zu extents", what, facts->name, nv_size(facts->size).text,
                 facts->extents);
        nv_object(call, facts);
        return 0;
}

static int done_region(const struct command_call *call, const struct pool *pool, const char *what,
                       const struct pool_region *region)
{
        struct nv_facts facts = nv_facts(pool, region);

        return done(call, what, &facts);
}

int nv_create(const struct command_call *call)
{
        const char *name = call->word[0];
        const char *owner = call->words > 2 ? call->word[2] : "";
        struct pool *pool = nv_pool(call);
        struct pool_region *region;
        uint64_t size;
        int err;

        if (!pool)
                return -ENODEV;
        err = nv_check_name(call, "region", name);
        if (!err && owner[0])
                err = nv_check_name(call, "VM", owner);
        if (!err)
                err = nv_parse_size(call, call->word[1], &size);
        if (!err)
                err = nv_check_quota(call, pool, owner, size);
        if (err)
                return err;
        err = pool_create(pool, name, owner, size, nv_entropy(call), &region);
        if (err)
                return nv_failed(call, pool, NULL, name, size, err);
        return done_region(call, pool, "created", region);
}

int nv_delete(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *region;
        struct nv_facts facts;
        int err = nv_find(call, &pool, &region);

        if (err)
                return err;
        facts = nv_facts(pool, region);
        err = pool_delete(pool, region);
        return err ? nv_failed(call, pool, region, facts.name, 0, err)
                   : done(call, "deleted", &facts);
}

/* The new size: SIZE, or the old one and what follows the sign more or less. */
static int parse_new_size(const struct command_call *call, char sign, uint64_t old, uint64_t *size)
{
        const char *text = call->word[1];
        bool relative = text[0] == sign;
        int err = nv_parse_size(call, text + relative, size);

        if (err || !relative)
                return err;
        if (sign == '-' ? *size >= old : *size > UINT64_MAX - old) {
                out_error(call->out, "region %s has %s: it cannot change by %s", call->word[0],
                          nv_size(old).text, text);
                return -EINVAL;
        }
        *size = sign == '-' ? old - *size : old + *size;
        return 0;
}

static int resize(const struct command_call *call, bool grow)
{
        struct pool *pool;
        struct pool_region *region;
        uint64_t old, size;
        int err = nv_find(call, &pool, &region);

        if (err)
                return err;
        old = pool_region_size(region);
        err = parse_new_size(call, grow ? '+' : '-', old, &size);
        if (err)
                return err;
        if (grow ? size <= old : size >= old) {
                out_error(call->out,
                          grow ? "region %s has %s already: a larger size is expected"
                               : "region %s has only %s: a smaller size is expected",
                          call->word[0], nv_size(old).text);
                return -EINVAL;
        }
        err = grow ? nv_check_quota(call, pool, pool_region_owner(region), size - old) : 0;
        if (err)
                return err;
        err = grow ? pool_grow(pool, region, size) : pool_shrink(pool, region, size);
        if (err)
                return nv_failed(call, pool, region, call->word[0], size - old, err);
        return done_region(call, pool, grow ? "grew" : "shrank", region);
}

int nv_grow(const struct command_call *call)
{
        return resize(call, true);
}

int nv_shrink(const struct command_call *call)
{
        return resize(call, false);
}

int nv_rename(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *region;
        int err = nv_find(call, &pool, &region);

        if (err)
                return err;
        err = nv_check_name(call, "region", call->word[1]);
        if (err)
                return err;
        err = pool_rename(pool, region, call->word[1]);
        if (err)
                return nv_failed(call, pool, region, err == -EEXIST ? call->word[1] : call->word[0],
                                 0, err);
        return done_region(call, pool, "renamed to", region);
}

int nv_clone(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *from, *region;
        const char *name = call->word[1];
        const char *owner;
        int err = nv_find(call, &pool, &from);

        if (err)
                return err;
        owner = call->words > 2 ? call->word[2] : pool_region_owner(from);
        err = nv_check_name(call, "region", name);
        if (!err && owner[0])
                err = nv_check_name(call, "VM", owner);
        if (!err)
                err = nv_check_quota(call, pool, owner, pool_region_size(from));
        if (err)
                return err;
        err = pool_clone(pool, from, name, owner, nv_entropy(call), &region);
        if (err)
                return nv_failed(call, pool, from,
                                 err == -EEXIST || err == -ENOSPC ? name : call->word[0],
                                 pool_region_size(from), err);
        err = done_region(call, pool, "cloned to", region);
        (void)nv_bad_table(call, pool, from, " were not read; the copy is zero there, at:");
        return err;
}

static int parse_access(const struct command_call *call, enum pool_access *access)
{
        static const enum pool_access all[] = {POOL_NO_ACCESS, POOL_READ_ONLY, POOL_READ_WRITE};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                *access = all[i];
                if (strcmp(call->word[2], nv_access_name(all[i])) == 0)
                        return 0;
        }
        out_error(call->out, "%s is no access: ro, rw or none", call->word[2]);
        return -EINVAL;
}

int nv_grant(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *region;
        const char *name = call->word[0], *vm = call->word[1];
        enum pool_access access;
        int err = nv_find(call, &pool, &region);

        if (err)
                return err;
        err = nv_check_name(call, "VM", vm);
        if (!err)
                err = parse_access(call, &access);
        if (err)
                return err;
        if (strcmp(vm, pool_region_owner(region)) == 0) {
                out_error(call->out, "VM %s owns region %s and needs no grant", vm, name);
                return -EINVAL;
        }
        err = pool_grant(pool, region, vm, access);
        if (err == -ENOSPC)
                out_error(call->out,
                          "region %s: %u VMs have a grant, the most: take one back (none)", name,
                          POOL_GRANTS_MAX);
        else if (err == -ENOENT)
                out_error(call->out, "region %s: VM %s has no grant that could be taken back", name,
                          vm);
        if (err)
                return err == -ENOSPC || err == -ENOENT
                           ? err
                           : nv_failed(call, pool, region, name, 0, err);
        out_line(call->out, "granted %s to VM %s: %s", name, vm, nv_access_name(access));
        if (call->out->json) {
                struct nv_facts facts = nv_facts(pool, region);

                nv_object(call, &facts);
        }
        return 0;
}
