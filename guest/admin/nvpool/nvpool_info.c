/* The off-line tool's `info`: what lies in each range, and why a pool on them cannot be mounted. */
#include "guest/admin/nvpool/nvpool.h"

#include <errno.h>

#include "guest/admin/nv/nv_region.h"

static const char *content_name(const struct pool_content *content)
{
        static const char *const names[] = {
            [POOL_CONTENT_SMALL] = "too small",
            [POOL_CONTENT_BLANK] = "blank",
            [POOL_CONTENT_FORMATTING] = "formatting was cut",
            [POOL_CONTENT_POOL] = "pool",
            [POOL_CONTENT_VERSION] = "pool of another version",
            [POOL_CONTENT_DAMAGED] = "damaged pool",
            [POOL_CONTENT_FOREIGN] = "foreign data",
            [POOL_CONTENT_UNREADABLE] = "bad memory",
        };

        return content->what ? content->what : names[content->kind];
}

static void range_row(struct out *out, const struct tool *tool, size_t i)
{
        const struct image *image = &tool->image[i];
        struct pool_content content = range_judge(tool, &tool->range[i]);
        const struct pool_head *head = content.head;
        const struct pool_superblock *sb =
            content.kind == POOL_CONTENT_POOL ? (const struct pool_superblock *)content.head : NULL;

        out_cells(out, out_text(image->path), out_address(image->offset), out_address(image->hpa),
                  out_size(image->size), out_text(content_name(&content)),
                  out_number(head ? head->version : 0), out_number(sb ? sb->head.index : 0),
                  out_number(sb ? sb->members : 0),
                  out_text(sb ? nv_uuid(sb->head.pool).text : "-"));
}

static void ranges_table(struct out *out, const struct tool *tool)
{
        static const struct out_column column[] = {
            {"image", "IMAGE", -20}, {"offset", "OFFSET", 12}, {"hpa", "HPA", 12},
            {"size", "SIZE", 10},    {"holds", "HOLDS", -12},  {"version", "VERSION", 7},
            {"range", "RANGE", 5},   {"ranges", "OF", 3},      {"uuid", "POOL", -36},
        };

        out_table_begin(out, column, ARRAY_LEN(column));
        for (size_t i = 0; i < tool->images; i++)
                range_row(out, tool, i);
        out_table_end(out);
}

static void verdict(struct out *out, const struct pool *pool, bool blank)
{
        static const struct out_column column[] = {{"mounts", "MOUNTS", -6},
                                                   {"fault", "FAULT", -20},
                                                   {"fault_hpa", "AT", 12},
                                                   {"meaning", "MEANING", -20}};
        const char *fault = blank ? "blank" : pool_fault_text(pool->fault);
        const char *meaning =
            blank ? "no pool is there; `format` makes one" : pool_fault_meaning(pool->fault);

        if (!out->json) {
                out_line(out, "the pool %s: %s: %s", pool->mounted ? "mounts" : "does not mount",
                         fault, meaning);
                if (!pool->mounted && !blank)
                        out_line(out, "what is at fault is at HPA 0x%lx", pool->fault_at.v);
                return;
        }
        out_table_begin(out, column, ARRAY_LEN(column));
        out_cells(out, out_bool(pool->mounted), out_text(fault), out_address(pool->fault_at.v),
                  out_text(meaning));
        out_table_end(out);
}

int tool_info(const struct command_call *call)
{
        struct tool *tool = tool_of(call);
        bool blank = true;
        int err = -ENODEV;

        ranges_table(call->out, tool);
        for (size_t i = 0; i < tool->images; i++)
                blank &= range_judge(tool, &tool->range[i]).kind == POOL_CONTENT_BLANK;
        tool_log_mute(true);
        if (!blank)
                err = tool_mount(tool, POOL_MODE_NORMAL, false);
        tool_log_mute(false);
        verdict(call->out, &tool->pool, blank);
        return err;
}
