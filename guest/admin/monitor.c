/* The prompt; contract in monitor.h. */
#include "guest/admin/monitor.h"

#include "guest/console/console.h"
#include "guest/life/cpu0.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"

#define PROMPT "permafrost> "

static void put(void *ctx, const char *text, size_t n)
{
        (void)ctx;
        log_raw(text, n);
        work_step();
}

static void say(const char *text)
{
        log_raw(text, strlen(text));
}

/* The next typed byte; -1: the monitor was left. What was typed before that comes first. */
static int wait_byte(struct monitor *m)
{
        for (;;) {
                int c = console_get_monitor();

                if (c >= 0 || !console_in_monitor())
                        return c;
                cpu0_wait();
                if (m->seen != log_lines()) {
                        m->seen = log_lines();
                        line_edit_redraw(&m->edit);
                }
        }
}

static bool confirm(void *ctx, const char *line)
{
        struct monitor *m = ctx;
        size_t len = strlen(line);
        int c;

        while (len && line[len - 1] == ' ') /* completion leaves one */
                len--;
        log_raw(line, len);
        say(": sure? (y/n) ");
        do
                c = wait_byte(m);
        while (c == '\n'); /* the second half of the line end before */
        say(c == 'y' || c == 'Y' ? "y\n" : "n\n");
        return c == 'y' || c == 'Y';
}

static const char *name(void *ctx, unsigned kind, size_t i)
{
        const struct monitor_target *target = ((const struct monitor *)ctx)->target;
        struct pool_region *region = NULL;

        if (kind == COMMAND_COMPLETE_VM)
                return i < target->vms->count ? target->vms->entry[i].config->name : NULL;
        if (kind != COMMAND_COMPLETE_REGION || !target->pool)
                return NULL;
        do
                region = pool_next(target->pool, region);
        while (region && i--);
        return region ? pool_region_name(region) : NULL;
}

static size_t complete(void *ctx, const char *line, size_t len, char *add, size_t size,
                       void (*show)(void *show_ctx, const char *candidate), void *show_ctx)
{
        const struct monitor *m = ctx;

        return command_complete(&m->set, line, len, add, size, show, show_ctx);
}

void monitor_init(struct monitor *m, const struct command_table *tables, size_t count,
                  const struct monitor_target *target)
{
        memset(m, 0, sizeof *m);
        m->target = target;
        m->set = (struct command_set){tables, count, confirm, name, NULL, m};
        m->edit_ops = (struct line_edit_ops){put, complete, m};
        line_edit_init(&m->edit, &m->edit_ops);
}

static void begin(struct monitor *m)
{
        m->seen = log_lines();
        line_edit_begin(&m->edit, PROMPT);
}

void monitor_run(struct monitor *m)
{
        struct out out = {.put = put};
        int c;

        say("\npermafrost monitor: help shows all verbs, Ctrl-] c leaves\n");
        begin(m);
        while ((c = wait_byte(m)) >= 0) {
                enum line_edit_event event = line_edit_byte(&m->edit, (uint8_t)c);

                if (event == LINE_EDIT_MORE)
                        continue;
                if (event == LINE_EDIT_DONE) {
                        line_edit_remember(&m->edit, m->edit.text);
                        (void)command_run(&m->set, m->edit.text, &out);
                        cpu0_serve();
                }
                begin(m);
        }
        say("\npermafrost monitor: left\n");
}

void monitor_run_line(struct monitor *m, const char *line)
{
        struct command_set set = m->set;
        struct out out = {.put = put};
        int err;

        set.confirm = NULL;
        printk(LOG_NOTICE, "run: %s", line);
        err = command_run(&set, line, &out);
        if (err)
                printk(LOG_ERROR, "run: %s: failed (error %d)", line, -err);
}
