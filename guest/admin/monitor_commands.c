/* The verbs without a group: map, mem, mem-fail, cpu, stats, log, poweroff, reboot. */
#include "guest/admin/monitor_commands.h"

#include "guest/admin/map_view.h"
#include "guest/vm/vcpu.h"
#include "guest/vm/vm_stats.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/safety/mitigate.h"
#include "hv/trap/mce.h"
#include "mm/pool/pm.h"

#define LOG_LINE_SIZE 300

static const struct monitor_target *target_of(const struct command_call *call)
{
        return call->target;
}

static int map(const struct command_call *call)
{
        const struct monitor_target *target = target_of(call);

        map_view_ranges(call->out, target->map);
        if (call->verbose) {
                map_view_bars(call->out, target->map, target->dram, target->pool);
                map_view_regions(call->out, target->pool);
        }
        return 0;
}

static void show_blocks(struct out *out, const struct dram_stats *stats)
{
        static const struct out_column columns[] = {
            {"order", "ORDER", 5}, {"size", "BLOCK", 9}, {"used", "IN USE", 10}};

        out_table_begin(out, columns, ARRAY_LEN(columns));
        for (unsigned order = 0; order < DRAM_ORDERS; order++) {
                if (!stats->used_blocks[order])
                        continue;
                out_cells(out, out_number(order), out_size(PAGE_4K << order),
                          out_number(stats->used_blocks[order]));
        }
        out_table_end(out);
        out_line(out, "free blocks: %lu of 2 MiB, %lu of 1 GiB", stats->free_2m, stats->free_1g);
}

/* In short words for programs, and for people's tables alike. */
static void show_persistence(struct out *out, const struct monitor_target *target)
{
        static const struct out_column columns[] = {
            {"domain", "DOMAIN", -8}, {"flush", "FLUSH", -10}, {"volatile", "VOLATILE", 8}};

        out_table_begin(out, columns, ARRAY_LEN(columns));
        out_cells(out, out_text(nfit_domain_word(target->vms->machine->domain)),
                  out_text(pm_flush_name()), out_bool(pool_is_volatile(target->pool)));
        out_table_end(out);
}

static int mem(const struct command_call *call)
{
        static const struct out_column columns[] = {
            {"memory", "MEMORY", -6}, {"total", "TOTAL", 10},       {"used", "USED", 10},
            {"free", "FREE", 10},     {"metadata", "METADATA", 10}, {"scrub", "TO SCRUB", 10},
            {"bad", "BAD", 9}};
        const struct monitor_target *target = target_of(call);
        struct dram_stats dram;

        dram_get_stats(target->dram, &dram);
        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        out_cells(call->out, out_text("DRAM"), out_size(dram.total_bytes),
                  out_size(dram.total_bytes - dram.free_bytes), out_size(dram.free_bytes),
                  out_size(dram.metadata_bytes), out_size(0), out_size(0));
        if (target->pool) {
                struct pool_usage n = pool_usage(target->pool);

                out_cells(call->out, out_text("NVRAM"), out_size(n.total * PAGE_2M),
                          out_size(n.used * PAGE_2M), out_size(n.free * PAGE_2M),
                          out_size(n.metadata * PAGE_2M), out_size(n.dying * PAGE_2M),
                          out_size(n.bad * PAGE_2M));
        }
        out_table_end(call->out);
        show_blocks(call->out, &dram);
        if (target->pool)
                show_persistence(call->out, target);
        return 0;
}

/* A fault for tests: what an operation does when memory ends in the middle of it. */
static int mem_fail(const struct command_call *call)
{
        const char *text = call->word[0];
        uint64_t n;

        if (word_number(word_of(text), &n)) {
                out_error(call->out, "%s: a number is expected", text);
                return -EINVAL;
        }
        n = dram_fail_after(target_of(call)->vms->machine->dram, n);
        out_line(call->out, n ? "%lu allocations were left to go" : "no fault was to come", n);
        return 0;
}

static void counter(struct out *out, const char *of, const char *prefix, const char *name,
                    uint64_t value)
{
        out_cell(out, "%s", of);
        out_cell(out, "%s%s", prefix, name);
        out_cells(out, out_number(value));
}

static uint64_t milliseconds_since(uint64_t tsc, const struct vm_machine *machine)
{
        return machine->tsc_khz ? (cpu_rdtsc() - tsc) / machine->tsc_khz : 0;
}

static uint64_t microseconds(uint64_t ticks, const struct vm_machine *machine)
{
        return machine->tsc_khz ? ticks * 1000 / machine->tsc_khz : 0;
}

/* What the scheduler measured. */
static void show_vcpu(struct out *out, const struct vm *vm, unsigned i)
{
        const struct vm_machine *machine = vm->machine;
        const struct sched_figures n =
            sched_figures(machine->sched, &vm->vcpu[i]->sched, cpu_rdtsc());
        char prefix[24];

        format_text(prefix, sizeof prefix, "vcpu%u ", i);
        counter(out, vm->config->name, prefix, "ran us", microseconds(n.ran, machine));
        counter(out, vm->config->name, prefix, "waited us", microseconds(n.waited, machine));
        counter(out, vm->config->name, prefix, "wakes", n.wakes);
        if (n.wakes)
                counter(out, vm->config->name, prefix, "latency us",
                        microseconds(n.latency_sum / n.wakes, machine));
        counter(out, vm->config->name, prefix, "latency max us",
                microseconds(n.latency_max, machine));
}

static void show_vm_counters(struct out *out, const struct vm *vm)
{
        const char *name = vm->config->name;
        uint64_t exits[VM_EXIT_KINDS], total = 0;

        /* at one time: it runs while they are shown */
        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                total += exits[k] = vm_exits(vm, k);
        if (vm->start_tsc)
                counter(out, name, "uptime ms", "", milliseconds_since(vm->start_tsc, vm->machine));
        counter(out, name, "interrupts injected", "", vm_interrupts(vm));
        counter(out, name, "exits", "", total);
        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                if (exits[k])
                        counter(out, name, "exits ", vm_exit_name(k), exits[k]);
        for (unsigned i = 0; i < vm->vcpus; i++)
                show_vcpu(out, vm, i);
}

static int stats(const struct command_call *call)
{
        static const struct out_column columns[] = {
            {"of", "OF", -10}, {"counter", "COUNTER", -20}, {"value", "VALUE", 16}};
        const struct vms *vms = target_of(call)->vms;

        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        counter(call->out, "machine", "uptime ms", "",
                milliseconds_since(vms->machine->entry_tsc, vms->machine));
        counter(call->out, "machine", "TSC kHz", "", vms->machine->tsc_khz);
        counter(call->out, "machine", "unexpected NMIs", "", mce_nmis());
        for (size_t i = 0; i < vms->count; i++)
                if (vms->entry[i].state == VMS_RUNNING)
                        show_vm_counters(call->out, vms->entry[i].vm);
        out_table_end(call->out);
        return 0;
}

static int cpu(const struct command_call *call)
{
        static const struct out_column columns[] = {{"weakness", "WEAKNESS", -16},
                                                    {"vulnerable", "HERE", 4},
                                                    {"state", "STATE", -10},
                                                    {"measure", "MEASURE", -20},
                                                    {"by", "BY", -1}};
        const struct mitigate_plan *plan = mitigate_current();

        out_table_begin(call->out, columns, ARRAY_LEN(columns));
        for (unsigned i = 0; i < MITIGATE_COUNT; i++) {
                out_cells(call->out, out_text(mitigate_name(i)), out_bool(plan->row[i].vulnerable),
                          out_text(mitigate_state_name(plan->row[i].state)),
                          out_text(plan->row[i].measure), out_text(plan->row[i].by));
        }
        out_table_end(call->out);
        out_line(call->out,
                 "guests are not offered IA32_SPEC_CTRL: they run with the hypervisor's, 0x%lx",
                 plan->spec_ctrl);
        return 0;
}

/* All of it, or what came since the place that the latest row told. */
static int show_log(const struct command_call *call)
{
        static const struct out_column columns[] = {{"at", "AT", 8}, {"line", "LOG", -1}};
        size_t from = call->words ? 0 : 1; /* without AT no row tells it */
        char line[LOG_LINE_SIZE];
        uint64_t since = 0;
        size_t at;

        if (call->words && word_number(word_of(call->word[0]), &since)) {
                out_error(call->out, "%s: a number is expected, as the latest row told it",
                          call->word[0]);
                return -EINVAL;
        }
        at = since;
        out_table_begin(call->out, columns + from, ARRAY_LEN(columns) - from);
        while (log_next_line(&at, line, sizeof line)) {
                if (call->words)
                        out_cells(call->out, out_number(at));
                out_cell(call->out, "%s", line);
        }
        out_table_end(call->out);
        return 0;
}

/* The VMs first, as their ends are logged with their statistics. */
static int end_machine(const struct command_call *call, enum config_exit how)
{
        struct vms *vms = target_of(call)->vms;

        for (size_t i = 0; i < vms->count; i++)
                if (vms_stop(vms, &vms->entry[i]))
                        continue; /* it did not run */
        target_of(call)->end(how);
        return 0;
}

static int power_off_machine(const struct command_call *call)
{
        return end_machine(call, CONFIG_EXIT_POWEROFF);
}

static int reboot_machine(const struct command_call *call)
{
        return end_machine(call, CONFIG_EXIT_REBOOT);
}

const struct command monitor_commands[] = {
    {"map", "", "the memory map; -v also draws DRAM and NVRAM", 0, 0, false, 0, map},
    {"mem", "", "DRAM and NVRAM: total, used, free, blocks by order", 0, 0, false, 0, mem},
    {"mem-fail", "N", "for tests: the N-th allocation of DRAM from now on fails; 0: none", 1, 1,
     false, 0, mem_fail},
    {"cpu", "", "weaknesses of the CPU, and what is done about them", 0, 0, false, 0, cpu},
    {"stats", "", "the VMs' exits by kind, their vCPUs' times", 0, 0, false, 0, stats},
    {"log", "[AT]", "the last lines of the log; AT: those since then", 0, 1, false, 0, show_log},
    {"poweroff", "", "stop all VMs and switch the machine off", 0, 0, true, 0, power_off_machine},
    {"reboot", "", "stop all VMs and reset the machine", 0, 0, true, 0, reboot_machine},
};
const size_t monitor_command_count = ARRAY_LEN(monitor_commands);
