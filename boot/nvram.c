/* Which NVRAM the pool may use; contract in nvram.h. */
#include "boot/nvram.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"

/* The first address of a list that lies in the range; NULL: none does. */
static const uint64_t *named_by(const struct config_addresses *addresses, const struct mem_range *r)
{
        for (size_t i = 0; i < addresses->count; i++)
                if (addresses->at[i] - r->start < r->size)
                        return &addresses->at[i];
        return NULL;
}

/* Whether every address of a key lies in NVRAM. */
static bool are_known(const struct memmap *map, const char *key,
                      const struct config_addresses *addresses)
{
        bool known = true;

        for (size_t i = 0; i < addresses->count; i++) {
                const struct mem_range *r = memmap_find(map, addresses->at[i]);

                if (r && memmap_is_nvram(r->kind))
                        continue;
                printk(LOG_ERROR, "nvram: %s=0x%lx is in no range of NVRAM", key, addresses->at[i]);
                known = false;
        }
        return known;
}

static struct pool_range pool_range_of(const struct mem_range *r)
{
        return (struct pool_range){
            .base = (void *)r->start,
            .hpa = HPA(r->start),
            .size = r->size,
            .simulated = r->kind == MEM_NVRAM_SIMULATED,
            .unarmed = r->kind == MEM_NVRAM_UNARMED,
        };
}

/* What the keys say of one range. */
static void choose_range(const struct mem_range *r, const struct hv_options *options,
                         struct nvram_choice *choice)
{
        const uint64_t *use = named_by(&options->nvram_use, r);
        const uint64_t *skip = named_by(&options->nvram_skip, r);
        const uint64_t *format = named_by(&options->nvram_format, r);
        struct pool_range range = pool_range_of(r);

        range.format = format || options->nvram_force;
        if (!skip && (use || !options->nvram_use.count)) {
                choice->range[choice->count++] = range;
                return;
        }
        printk(LOG_NOTICE, "nvram: 0x%lx is left alone: %s", r->start,
               skip ? "nvram-skip= names it" : "nvram-use= names others");
        if (use && skip) {
                printk(LOG_ERROR, "nvram: nvram-use=0x%lx and nvram-skip=0x%lx name one range",
                       *use, *skip);
                choice->members_only = true;
        }
        if (format) {
                printk(LOG_ERROR, "nvram: nvram-format=0x%lx names a range that is left alone",
                       *format);
                choice->members_only = true;
        }
}

bool nvram_choose(const struct memmap *map, const struct hv_options *options,
                  struct nvram_choice *choice)
{
        bool any = false;

        *choice = (struct nvram_choice){.members_only = options->nvram_mistake};
        for (size_t i = 0; i < options->nvram_bad.count; i++)
                choice->bad.hpa[choice->bad.count++] = HPA(options->nvram_bad.at[i]);
        choice->members_only |= !are_known(map, "nvram-use", &options->nvram_use);
        choice->members_only |= !are_known(map, "nvram-skip", &options->nvram_skip);
        choice->members_only |= !are_known(map, "nvram-format", &options->nvram_format);
        for (size_t i = 0; i < map->count; i++) {
                if (!memmap_is_nvram(map->range[i].kind))
                        continue;
                any = true;
                choose_range(&map->range[i], options, choice);
        }
        if (!choice->members_only || !any)
                return any;
        printk(LOG_WARN, "nvram: the command line has mistakes: no NVRAM is formatted");
        for (size_t i = 0; i < choice->count; i++)
                choice->range[i].format = false;
        return true;
}

void nvram_add_bad(struct pool *pool, const struct hv_options *options)
{
        for (size_t i = 0; i < options->nvram_bad.count; i++) {
                uint64_t at = options->nvram_bad.at[i];
                int err = pool_add_bad(pool, HPA(at));

                if (err == -ENOENT)
                        printk(LOG_ERROR, "nvram: nvram-bad=0x%lx is not in the pool", at);
                else if (err == -ENOTSUP)
                        printk(LOG_ERROR, "nvram: nvram-bad=0x%lx holds the pool's metadata", at);
                else if (err == -EROFS)
                        printk(LOG_WARN, "nvram: nvram-bad=0x%lx: the pool is read only", at);
                else if (err && err != -EEXIST)
                        printk(LOG_ERROR, "nvram: nvram-bad=0x%lx: no room on the list (%d)", at,
                               -err);
        }
}
