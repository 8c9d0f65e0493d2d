/* The off-line tool's `format` and `repair`: each tells what it is about to give up. */
#include "guest/admin/nvpool/nvpool.h"

#include <errno.h>
#include <string.h>

#include "guest/admin/nv/nv_region.h"

/* Why this range must not be formatted unasked; NULL: it may. */
static const char *contents_of(const struct tool *tool, const struct pool_range *range)
{
        struct pool_content content = range_judge(tool, range);

        switch (content.kind) {
        case POOL_CONTENT_SMALL:
        case POOL_CONTENT_BLANK:
        case POOL_CONTENT_FORMATTING:
                return NULL;
        case POOL_CONTENT_POOL:
                return "a pool";
        case POOL_CONTENT_VERSION:
                return "a pool of another version";
        case POOL_CONTENT_DAMAGED:
                return "a damaged pool";
        default:
                return content.what ? content.what : "data that are not a pool's";
        }
}

int tool_format(const struct command_call *call)
{
        struct tool *tool = tool_of(call);
        struct pool_usage usage;
        bool refused = false;
        int err;

        for (size_t i = 0; i < tool->images && !call->yes; i++) {
                const char *contents = contents_of(tool, &tool->range[i]);

                if (!contents)
                        continue;
                tool_say("%s (range at 0x%lx) holds %s: -y gives it up", tool->image[i].path,
                         tool->image[i].hpa, contents);
                refused = true;
        }
        if (refused)
                return -EPERM;
        err = tool_mount(tool, POOL_MODE_NORMAL, true);
        if (err)
                return err;
        usage = pool_usage(&tool->pool);
        out_line(call->out, "formatted: pool %s, %zu ranges, %s for regions",
                 nv_uuid(tool->pool.uuid).text, usage.ranges,
                 nv_size((usage.free + usage.dying) * POOL_GRANULE).text);
        return call->out->json
                   ? nv_commands[0].run(&(struct command_call){.out = call->out, .target = tool})
                   : 0;
}

/* A name as a damaged record has it; "?" when nothing can be read. */
static const char *name_in(const struct pool_record *record)
{
        size_t n = strnlen(record->name, POOL_NAME_SIZE);

        for (size_t i = 0; i < n; i++)
                if (record->name[i] <= ' ' || record->name[i] > '~')
                        return "?";
        return n && n < POOL_NAME_SIZE ? record->name : "?";
}

static void lost_table(struct out *out, const struct pool *pool)
{
        static const struct out_column column[] = {{"range", "RANGE", 5},
                                                   {"slot", "SLOT", 5},
                                                   {"hpa", "HPA", 14},
                                                   {"name", "NAME AS FAR AS READABLE", -31},
                                                   {"why", "WHY", -40}};
        struct pool_lost lost;

        out_table_begin(out, column, ARRAY_LEN(column));
        for (size_t i = 0; pool_lost(pool, i, &lost); i++) {
                const char *name = name_in((const struct pool_record *)lost.pair.a);

                if (name[0] == '?')
                        name = name_in((const struct pool_record *)lost.pair.b);
                out_cells(out, out_number(lost.range), out_number(lost.slot),
                          out_address(lost.hpa.v), out_text(name),
                          out_text(pool_fault_text(lost.why)));
        }
        out_table_end(out);
}

int tool_repair(const struct command_call *call)
{
        struct tool *tool = tool_of(call);
        int err = tool_mount(tool, POOL_MODE_SALVAGE, false);

        if (err)
                return err;
        if (!tool->pool.lost) {
                out_line(call->out, "no record is lost: nothing to repair (`check` looks closer)");
                return 0;
        }
        out_line(call->out,
                 "%u records are damaged and will be given up; %zu regions are intact and stay",
                 tool->pool.lost, pool_usage(&tool->pool).regions);
        lost_table(call->out, &tool->pool);
        if (!call->yes && !tool_confirm("repair"))
                return -EPERM;
        err = tool_mount(tool, POOL_MODE_REPAIR, false);
        if (!err && tool->pool.read_only)
                err = -ENOSPC;
        if (err) {
                tool_say("the pool was not repaired");
                return err;
        }
        out_line(call->out, "repaired: gave up %u records; %s are to be scrubbed", tool->pool.lost,
                 nv_size(pool_usage(&tool->pool).dying * POOL_GRANULE).text);
        return 0;
}
