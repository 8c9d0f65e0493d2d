/*
 * The monitor: a prompt on the console and on every other log sink, for as long as the console's
 * reader is the monitor. The VMs go on meanwhile, by cpu0.h. It also runs the lines of run=.
 */
#pragma once

#include "guest/admin/monitor_commands.h"
#include "guest/text/line_edit.h"

struct monitor {
        const struct monitor_target *target;
        struct command_set set;
        /* private */
        size_t seen; /* lines of the log before the prompt */
        struct line_edit edit;
        struct line_edit_ops edit_ops;
};

/* tables are all verbs (kept by reference, as target is). */
void monitor_init(struct monitor *monitor, const struct command_table *tables, size_t count,
                  const struct monitor_target *target);

/* Talk to the user until the console's reader is the guest again. */
void monitor_run(struct monitor *monitor);

/*
 * Run one line without a user: echoed as "run: LINE", its failure logged as an error. Destructive
 * verbs need -y.
 */
void monitor_run_line(struct monitor *monitor, const char *line);
