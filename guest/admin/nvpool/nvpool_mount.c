/* How the off-line tool mounts a pool: to change it, to read it, to read what is left of it. */
#define _GNU_SOURCE
#include "guest/admin/nvpool/nvpool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct pool_content range_judge(const struct tool *tool, const struct pool_range *range)
{
        struct pool_content content = {.kind = POOL_CONTENT_SMALL};
        struct pool_member member;
        uint64_t bytes;

        if (!pool_judge_trim(&member, range, &tool->bad))
                return content;
        bytes = member.granules * POOL_GRANULE;
        /* A page here and there is looked at: reading ahead would read the whole image. */
        (void)madvise(member.base, bytes, MADV_RANDOM);
        content = pool_judge_range(range, &member);
        (void)madvise(member.base, bytes, MADV_NORMAL);
        return content;
}

int tool_mount(struct tool *tool, enum pool_mode mode, bool format)
{
        struct pool_config config = {.mode = mode, .format = format, .bad = &tool->bad};

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
        size_t blank = 0;

        for (size_t i = 0; i < tool->images; i++) {
                if (range_judge(tool, &tool->range[i]).kind != POOL_CONTENT_BLANK)
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
