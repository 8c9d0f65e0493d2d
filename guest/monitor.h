/*
 * The monitor: a prompt on the console and on every other log sink, for as long as the console's
 * reader is the monitor. The running VM is paused meanwhile. It also runs the lines of run=.
 */
#pragma once

#include "guest/line_edit.h"
#include "guest/monitor_commands.h"

struct monitor {
        const struct monitor_host *host;
        struct command_set set;
        /* Called again and again while nothing is typed: does a piece of background work and
         * returns whether there is more; if not, the CPU rests. NULL: no such work. */
        bool (*idle)(void *ctx);
        void *idle_ctx;
        /* private */
        struct line_edit edit;
        struct line_edit_ops edit_ops;
};

/* tables are all verbs (kept by reference, as host is). */
void monitor_init(struct monitor *monitor, const struct command_table *tables, size_t count,
                  const struct monitor_host *host);

/* Talk to the user until the console's reader is the guest again. */
void monitor_run(struct monitor *monitor);

/*
 * Run one line without a user: echoed as "run: LINE", its failure logged as an error. Destructive
 * verbs need -y.
 */
void monitor_run_line(struct monitor *monitor, const char *line);
