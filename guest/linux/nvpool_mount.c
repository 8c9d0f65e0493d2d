/* How the off-line tool mounts a pool: to change it, to read it, to read what is left of it. */
#define _GNU_SOURCE
#include "guest/linux/nvpool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool is_zero(const uint8_t *at, uint64_t len)
{
        return !len || (!at[0] && !memcmp(at, at + 1, len - 1));
}

/* The part of a range that a pool uses; 0 granules: too small. */
static uint64_t granules_of(const struct pool_range *range, const uint8_t **base)
{
        uint64_t head = -range->hpa.v & (POOL_GRANULE - 1);

        *base = (const uint8_t *)range->base + head;
        return range->size > head ? (range->size - head) / POOL_GRANULE : 0;
}

/* As the mount judges it: all of the metadata's place, the first page of every other granule. */
static bool is_blank(const uint8_t *base, uint64_t granules)
{
        uint64_t metadata = pool_metadata_granules(granules), g = metadata;

        if (!is_zero(base, metadata * POOL_GRANULE))
                return false;
        /* Reading ahead would read the whole image. */
        (void)madvise((void *)(uintptr_t)base, granules * POOL_GRANULE, MADV_RANDOM);
        while (g < granules && is_zero(base + g * POOL_GRANULE, PAGE_4K))
                g++;
        (void)madvise((void *)(uintptr_t)base, granules * POOL_GRANULE, MADV_NORMAL);
        return g == granules;
}

enum range_kind range_judge(const struct pool_range *range, const struct pool_head **head)
{
        const struct pool_expect expect = {.magic = POOL_SUPERBLOCK_MAGIC,
                                           .size = sizeof(struct pool_superblock),
                                           .index = POOL_ANY_INDEX};
        const uint8_t *base;
        uint64_t granules = granules_of(range, &base);
        struct pool_pair pair = {(struct pool_head *)(uintptr_t)base,
                                 (struct pool_head *)(uintptr_t)(base + POOL_SUPERBLOCK_B)};

        *head = NULL;
        if (granules < 2)
                return RANGE_SMALL;
        if (*(const uint64_t *)pair.a == POOL_FORMATTING)
                return RANGE_FORMATTING;
        switch (pool_pair_load(pair, &expect, head)) {
        case PAIR_GOOD:
        case PAIR_HALF:
                return RANGE_POOL;
        case PAIR_BLANK:
                return is_blank(base, granules) ? RANGE_BLANK : RANGE_FOREIGN;
        case PAIR_FOREIGN:
                *head = pair.a->magic == expect.magic ? pair.a : pair.b;
                return RANGE_VERSION;
        case PAIR_DAMAGED:
                break;
        }
        if (pair.a->magic != expect.magic && pair.b->magic != expect.magic)
                return RANGE_FOREIGN;
        return RANGE_DAMAGED;
}

int tool_mount(struct tool *tool, enum pool_mode mode, bool format)
{
        struct pool_config config = {.mode = mode, .format = format};

        config.entropy = tool->nv.entropy();
        config.memory_size = pool_memory_size(tool->range, tool->images);
        /* Kept to the end of the program: a pool once mounted may still be pointed to. */
        config.memory = malloc(config.memory_size + 1);
        if (!config.memory)
                return -ENOMEM;
        return pool_mount(&tool->pool, tool->range, tool->images, &config);
}

/* A blank range would be made part of the pool, which nobody asked for. */
static bool refuse_blank(const struct tool *tool)
{
        const struct pool_head *head;
        size_t blank = 0;

        for (size_t i = 0; i < tool->images; i++) {
                if (range_judge(&tool->range[i], &head) != RANGE_BLANK)
                        continue;
                tool_say("%s (range at 0x%lx): blank, no pool is there: `format` makes one",
                         tool->image[i].path, tool->image[i].hpa);
                blank++;
        }
        return blank > 0;
}

int tool_mount_to_change(struct tool *tool)
{
        int err;

        if (refuse_blank(tool))
                return -ENODEV;
        err = tool_mount(tool, POOL_MODE_NORMAL, false);
        if (err == -EBADMSG)
                tool_say("`info` tells more; `export` saves intact regions; `repair` gives up what "
                         "is damaged");
        return err;
}

int tool_mount_to_read(struct tool *tool, bool judge)
{
        int err;

        if (refuse_blank(tool))
                return -ENODEV;
        if (judge) {
                err = tool_mount(tool, POOL_MODE_SALVAGE, false);
                if (!err && !tool->pool.lost)
                        return 0;
        }
        err = tool_mount(tool, POOL_MODE_NORMAL, false);
        if (!err) {
                if (tool->pool.mended)
                        tool_say("this was mended in memory only; `check mend` writes it");
                return 0;
        }
        tool->damaged = true;
        tool_log_mute(true); /* the reason was told */
        err = tool_mount(tool, POOL_MODE_SALVAGE, false);
        tool_log_mute(false);
        if (!err)
                tool_say("warning: going on without %u damaged records, read-only",
                         tool->pool.lost);
        return err;
}
