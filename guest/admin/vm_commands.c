/* The `vm` verbs: list, start, stop, reset, pause, resume, log, type, net, console. */
#include "guest/admin/monitor_commands.h"
#include "guest/console/console.h"
#include "guest/dev/virtio/net.h"
#include "guest/text/words.h"
#include "guest/vm/vm_stats.h"
#include "hv/lib/errno.h"

static struct vms *vms_of(const struct command_call *call)
{
        return ((const struct monitor_target *)call->target)->vms;
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
            {"number", "NO", 3},     {"name", "NAME", -10}, {"state", "STATE", -12},
            {"module", "MODULE", 6}, {"mem", "MEM", 9},     {"regions", "REGIONS", 7},
            {"starts", "STARTS", 6}};
        struct vms *vms = vms_of(call);

        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < vms->count; i++) {
                const struct vms_entry *e = &vms->entry[i];

                out_cells(call->out, out_number(i + 1), out_text(e->config->name),
                          out_text(vms_state_text(e)), out_number(e->config->module),
                          out_size(e->config->mem), out_number(e->config->region_count),
                          out_number(e->starts));
        }
        out_table_end(call->out);
        return 0;
}

static void say_start(const struct command_call *call, const struct vms_entry *entry,
                      const struct vms_entry *other)
{
        if (other)
                out_line(call->out, "%s: starts behind the end of %s", entry->config->name,
                         other->config->name);
        else
                out_line(call->out, "%s: starts", entry->config->name);
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
                say_start(call, entry, vms_waits_for(vms_of(call), entry));
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

static int pause(const struct command_call *call)
{
        struct vms_entry *entry = named(call);

        return entry ? not_running(call, entry, vms_pause(vms_of(call), entry)) : -ENOENT;
}

static int resume(const struct command_call *call)
{
        struct vms_entry *entry = named(call);
        int err = entry ? vms_resume(vms_of(call), entry) : -ENOENT;

        if (entry && err)
                out_error(call->out, "%s: it is not paused (%s)", entry->config->name,
                          vms_state_text(entry));
        return err;
}

static int console(const struct command_call *call)
{
        struct vms_entry *entry = named(call);

        if (!entry)
                return -ENOENT;
        if (entry->state != VMS_RUNNING)
                return not_running(call, entry, -EINVAL);
        console_set_focus(&entry->vm->console);
        console_set_monitor(false);
        return 0;
}

/* As it was written, in pieces, from a place on that the latest row told; 0: all that is kept. */
static int show_from(const struct command_call *call, const struct guest_console *c)
{
        static const struct out_column columns[] = {{"at", "AT", 8}, {"text", "TEXT", -1}};
        char piece[200];
        uint64_t at;
        size_t from, n;

        if (word_number(word_of(call->word[1]), &at)) {
                out_error(call->out, "%s: a number is expected, as the latest row told it",
                          call->word[1]);
                return -EINVAL;
        }
        from = at;
        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        while ((n = console_read(c, &from, piece, sizeof piece - 1))) {
                piece[n] = '\0';
                for (size_t i = 0; i < n; i++)
                        piece[i] = piece[i] ? piece[i] : ' ';
                out_cells(call->out, out_number(from), out_text(piece));
        }
        out_table_end(call->out);
        return 0;
}

/* The two digits behind a percent sign (RFC 3986, 2.1); -1: they are none. */
static int percent_byte(const char *digits)
{
        unsigned high = word_digit(digits[0]);
        unsigned low = high < 16 ? word_digit(digits[1]) : 16;

        return low < 16 ? (int)(high << 4 | low) : -1;
}

static int type(const struct command_call *call)
{
        struct vms_entry *entry = named(call);
        int err = 0;

        if (!entry)
                return -ENOENT;
        if (entry->state != VMS_RUNNING)
                return not_running(call, entry, -EINVAL);
        for (const char *p = call->word[1]; !err && *p; p++) {
                int byte = *p == '%' ? percent_byte(p + 1) : *p;

                p += *p == '%' && byte >= 0 ? 2 : 0;
                if (byte < 0)
                        err = -EINVAL;
                else if (!console_send(&entry->vm->console, (uint8_t)byte))
                        err = -ENOSPC;
        }
        if (err)
                out_error(call->out, err == -EINVAL
                                         ? "two hexadecimal digits are expected behind %%"
                                         : "the VM reads too slowly: some was not typed");
        spin_lock(&entry->vm->devices);
        vm_feed_input(entry->vm);
        spin_unlock(&entry->vm->devices);
        return err;
}

/* Line by line, as the log's verb. */
static int show_log(const struct command_call *call)
{
        static const struct out_column columns[] = {{"line", "CONSOLE", -1}};
        struct vms_entry *entry = named(call);
        char line[200], byte;
        size_t at = 0, n = 0;

        if (!entry)
                return -ENOENT;
        if (entry->state != VMS_RUNNING)
                return not_running(call, entry, -EINVAL);
        if (call->words == 2)
                return show_from(call, &entry->vm->console);
        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        while (console_read(&entry->vm->console, &at, &byte, 1)) {
                if (byte == '\n' || n == sizeof line - 1) {
                        line[n] = '\0';
                        out_cell(call->out, "%s", line);
                        n = 0;
                }
                if (byte != '\r' && byte != '\n')
                        line[n++] = byte;
        }
        line[n] = '\0';
        if (n)
                out_cell(call->out, "%s", line);
        out_table_end(call->out);
        return 0;
}

/* The ports of a running VM: what they have sent and received. */
static int net(const struct command_call *call)
{
        static const struct out_column columns[] = {{"switch", "SWITCH", -10},
                                                    {"port", "PORT", 4},
                                                    {"mac", "MAC", -17},
                                                    {"sent", "SENT", 9},
                                                    {"sent_bytes", "BYTES", 12},
                                                    {"sent_dropped", "DROPPED", 7},
                                                    {"received", "RECEIVED", 9},
                                                    {"received_bytes", "BYTES", 12},
                                                    {"received_dropped", "DROPPED", 7}};
        struct vms_entry *entry = named(call);

        if (!entry)
                return -ENOENT;
        if (entry->state != VMS_RUNNING)
                return not_running(call, entry, -EINVAL);
        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < entry->vm->nets; i++) {
                const struct virtio_net *n = entry->vm->net[i];
                const struct virtio_net_count *counts[] = {&n->sent, &n->received};
                const uint8_t *mac = n->config.mac;

                out_cells(call->out, out_text(n->sw->name), out_number(n->port));
                out_cell(call->out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                         mac[4], mac[5]);
                for (size_t k = 0; k < ARRAY_LEN(counts); k++)
                        out_cells(call->out, out_number(counts[k]->frames),
                                  out_number(counts[k]->bytes), out_number(counts[k]->dropped));
        }
        out_table_end(call->out);
        return 0;
}

const struct command vm_commands[] = {
    {"list", "", "all VMs and their states", 0, 0, false, 0, list},
    {"start", "NAME", "queue a VM that has ended or was stopped", 1, 1, false, COMMAND_COMPLETE_VM,
     start},
    {"stop", "NAME", "end a running VM at once, or take one from the queue", 1, 1, true,
     COMMAND_COMPLETE_VM, stop},
    {"reset", "NAME", "build a running VM again from its modules", 1, 1, true, COMMAND_COMPLETE_VM,
     reset},
    {"pause", "NAME", "stop the vCPUs of a VM where they are", 1, 1, false, COMMAND_COMPLETE_VM,
     pause},
    {"log", "NAME [AT]", "the last of what a running VM has written; AT: since then, as it is", 1,
     2, false, COMMAND_COMPLETE_VM, show_log},
    {"type", "NAME TEXT", "type for a running VM; %0d in TEXT is the Enter key", 2, 2, false,
     COMMAND_COMPLETE_VM, type},
    {"net", "NAME", "the ports of a running VM at switches, and what went through them", 1, 1,
     false, COMMAND_COMPLETE_VM, net},
    {"resume", "NAME", "let a paused VM go on", 1, 1, false, COMMAND_COMPLETE_VM, resume},
    {"console", "NAME", "leave the monitor for a running VM's console", 1, 1, false,
     COMMAND_COMPLETE_VM, console},
};
const size_t vm_command_count = ARRAY_LEN(vm_commands);
