/* The `vm` verbs: list, start, stop, reset, console. */
#include "guest/console.h"
#include "guest/monitor_commands.h"
#include "guest/run.h"
#include "hv/lib/errno.h"

static struct vms *vms_of(const struct command_call *call)
{
        return ((const struct monitor_host *)call->host)->vms;
}

/* The VM that the first argument names; NULL, with the reason printed. */
static struct vms_entry *named(const struct command_call *call)
{
        struct vms_entry *entry = vms_find(vms_of(call), call->word[0]);

        if (!entry)
                out_error(call->out, "%s: no such VM", call->word[0]);
        return entry;
}

static int list(const struct command_call *call)
{
        static const struct out_column columns[] = {
            {"name", "NAME", -10}, {"state", "STATE", -12},   {"module", "MODULE", 6},
            {"mem", "MEM", 9},     {"regions", "REGIONS", 7}, {"starts", "STARTS", 6}};
        struct vms *vms = vms_of(call);

        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < vms->count; i++) {
                const struct vms_entry *e = &vms->entry[i];

                out_cell(call->out, "%s", e->config->name);
                out_cell(call->out, "%s", vms_state_text(e));
                out_cell_number(call->out, e->config->module);
                out_cell_size(call->out, e->config->mem);
                out_cell_number(call->out, e->config->region_count);
                out_cell_number(call->out, e->starts);
        }
        out_table_end(call->out);
        return 0;
}

static int start(const struct command_call *call)
{
        struct vms_entry *entry = named(call);
        int err;

        if (!entry)
                return -ENOENT;
        err = vms_start(vms_of(call), entry);
        if (err == -EBUSY)
                out_error(call->out, "%s: it is %s", entry->config->name, vms_state_text(entry));
        else if (err)
                out_error(call->out, "%s: its module line (module %u) has mistakes, see the log",
                          entry->config->name, entry->config->module);
        else
                out_line(call->out, "%s: starts when the monitor is left%s", entry->config->name,
                         vms_of(call)->current ? " and the current VM has ended" : "");
        return err;
}

static int not_running(const struct command_call *call, const struct vms_entry *entry, int err)
{
        if (err)
                out_error(call->out, "%s: it is not running (%s)", entry->config->name,
                          vms_state_text(entry));
        return err;
}

static int stop(const struct command_call *call)
{
        struct vms_entry *entry = named(call);

        return entry ? not_running(call, entry, vms_stop(vms_of(call), entry)) : -ENOENT;
}

static int reset(const struct command_call *call)
{
        struct vms_entry *entry = named(call);

        return entry ? not_running(call, entry, vms_reset(vms_of(call), entry)) : -ENOENT;
}

static int console(const struct command_call *call)
{
        struct vms_entry *entry = named(call);

        if (!entry)
                return -ENOENT;
        if (entry != vms_of(call)->current)
                return not_running(call, entry, -EINVAL);
        console_set_monitor(false);
        return 0;
}

const struct command vm_commands[] = {
    {"list", "", "all VMs and their states", 0, 0, false, 0, list},
    {"start", "NAME", "queue a VM that has ended or was stopped", 1, 1, false, COMMAND_COMPLETE_VM,
     start},
    {"stop", "NAME", "end the running VM at once, or take one from the queue", 1, 1, true,
     COMMAND_COMPLETE_VM, stop},
    {"reset", "NAME", "build the running VM again from its modules", 1, 1, true,
     COMMAND_COMPLETE_VM, reset},
    {"console", "NAME", "leave the monitor for the running VM's console", 1, 1, false,
     COMMAND_COMPLETE_VM, console},
};
const size_t vm_command_count = ARRAY_LEN(vm_commands);
