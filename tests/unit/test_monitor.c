/*
 * The monitor's verbs on hosted VMs: the queue of VMs, what the tables say, and the prompt itself
 * with bytes that were typed before it opens.
 */
#include "guest/admin/monitor.h"

#include "guest/admin/map_view.h"
#include "guest/console/console.h"
#include "guest/life/cpu0.h"
#include "hv/lib/errno.h"
#include "tests/unit/e820.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/text_sink.h"
#include "tests/unit/unit.h"

#define ENTER                                                                                      \
        "\x1d"                                                                                     \
        "c"

static struct vm built; /* by fake_vm_create: gives memory and configuration */
static struct config config;
static struct vms vms;
static struct memmap map;
static struct world world;
static struct mounted mounted;
static struct monitor_target target;
static struct monitor monitor;
static struct text_sink sink;
static unsigned ends;
static enum config_exit ended;

static const struct fake_step quiet = {.exit = {.kind = VM_EXIT_CACHE}};

static void end(enum config_exit how)
{
        ends++;
        ended = how;
}

/* Three VMs: a and b good, b behind a, c with a mistake. */
static void start(void)
{
        static const char *const names[] = {"a", "b", "c"};

        config_init(&config);
        config.vm_count = 3;
        for (size_t i = 0; i < 3; i++) {
                config.vm[i] = *fake_vm_config();
                strcpy(config.vm[i].name, names[i]);
                config.vm[i].module = (unsigned)i + 1;
                config.vm[i].startable = i != 2;
        }
        strcpy(config.vm[1].after, "a");
        vms_init(&vms, &config, fake_vm_machine(), fake_turn);
        target = (struct monitor_target){&map, fake_vm_machine()->dram, &mounted.pool, &vms, end};
}

static struct command_table tables[2];

static int run(const char *line)
{
        struct command_set set = {tables, 2, NULL, NULL, NULL, NULL};

        return command_run(&set, line, text_sink_start(&sink, false));
}

static void expect(const char *line, const char *answer)
{
        CHECK_EQ(run(line), 0);
        CHECK(strcmp(sink.text, answer) == 0);
        if (strcmp(sink.text, answer) != 0)
                printf("# %s\n%s", line, sink.text);
}

static void refused(const char *line, int err, const char *says)
{
        CHECK_EQ(run(line), err);
        CHECK(strstr(sink.text, says));
        if (!strstr(sink.text, says))
                printf("# %s\n%s", line, sink.text);
}

static enum vms_state state(const char *name)
{
        return vms_find(&vms, name)->state;
}

/* Start what can be, and let it run to its end. */
static void run_to_end(void)
{
        fake_load(&quiet, 1);
        vms_service(&vms);
        fake_turn();
        vms_service(&vms);
}

/* One VM after the other, each to its end. */
static void test_queue_in_order(void)
{
        start();
        expect("vm list", " NO  NAME        STATE         MODULE        MEM  REGIONS  STARTS\n"
                          "  1  a           queued             1     16 MiB        0       0\n"
                          "  2  b           queued             2     16 MiB        0       0\n"
                          "  3  c           configured         3     16 MiB        0       0\n");
        run_to_end();
        CHECK_EQ(state("a"), VMS_ENDED);
        CHECK_EQ(vms_find(&vms, "a")->end, VM_POWERED_OFF);
        CHECK_EQ(state("b"), VMS_RUNNING);
        run_to_end();
        CHECK_EQ(state("b"), VMS_ENDED);
        CHECK_EQ(vms.entry[1].starts, 1);
        CHECK(!vms_alive(&vms));
        CHECK(vms.any);
        CHECK(vms_find(&vms, "d") == NULL);
}

/* A running VM's ports, each with its own address, and nobody else's. */
static void test_ports(void)
{
        start();
        config.vm[0].net_count = 2;
        config.vm[0].net[0] = (struct config_net){"lan", {2, 0, 0, 0, 0, 0xab}};
        config.vm[0].net[1] = (struct config_net){"other", {2, 0, 0, 0, 0, 1}};
        refused("vm net a", -EINVAL, "a: it is not running (queued)");
        fake_load(&quiet, 1);
        vms_service(&vms);
        expect("vm net a",
               "SWITCH      PORT  MAC                     SENT         BYTES  DROPPED   "
               "RECEIVED         BYTES  DROPPED\n"
               "lan            0  02:00:00:00:00:ab          0             0        0   "
               "       0             0        0\n"
               "other          0  02:00:00:00:00:01          0             0        0   "
               "       0             0        0\n");
        refused("vm net d", -ENOENT, "d: no such VM");
        fake_turn();
        vms_service(&vms);
        run_to_end(); /* b, which came behind it */
        CHECK(!vms_alive(&vms));
}

/* What can be started is, and stands there. */
static void start_next(void)
{
        vms_service(&vms);
}

static void reboot(struct vms_entry *entry)
{
        vm_finish(entry->vm, VM_REBOOTED);
        vms_service(&vms);
}

/* Its first reboot is at once; then CPU 0 does other things first, but for the administrator. */
static void test_reboots_are_spaced(void)
{
        struct vms_entry *a = &vms.entry[0];

        start();
        start_next();
        CHECK_EQ(vms.rebuild_at, 0);
        CHECK_EQ(fake_vm_machine()->sched->errand, SCHED_NEVER);
        reboot(a);
        CHECK_EQ(a->starts, 2);
        CHECK(vms.rebuild_at - a->vm->start_tsc >= 3 * a->vm->build_ticks);
        vms.rebuild_at = UINT64_MAX / 2;
        reboot(a);
        CHECK_EQ(a->state, VMS_QUEUED);
        CHECK_EQ(fake_vm_machine()->sched->errand, UINT64_MAX / 2);
        CHECK(!vms_due(&vms));
        CHECK(vms_alive(&vms));
        vms.rebuild_at = vms.due_at = 1;
        CHECK(vms_due(&vms));
        vms_service(&vms);
        CHECK_EQ(a->starts, 3);
        CHECK(!vms_due(&vms));
        CHECK_EQ(fake_vm_machine()->sched->errand, SCHED_NEVER);
        vms.rebuild_at = UINT64_MAX / 2;
        CHECK_EQ(vms_reset(&vms, a), 0);
        vms_service(&vms);
        CHECK_EQ(a->starts, 4);
        /* what was to be built again, but stopped and started by hand */
        reboot(a);
        CHECK_EQ(a->state, VMS_QUEUED);
        CHECK_EQ(vms_stop(&vms, a), 0);
        CHECK_EQ(a->state, VMS_ENDED);
        CHECK_EQ(a->end, VM_STOPPED);
        CHECK_EQ(vms_start(&vms, a), 0);
        vms_service(&vms);
        CHECK_EQ(a->starts, 5);
        CHECK_EQ(vms_stop(&vms, a), 0);
}

static void test_start_stop_reset(void)
{
        start();
        start_next();
        CHECK_EQ(state("a"), VMS_RUNNING);
        refused("vm start a", -EBUSY, "error: a: it is running");
        refused("vm start b", -EBUSY, "error: b: it is queued");
        refused("vm start c", -EINVAL, "its module line (module 3) has mistakes");
        refused("vm start d", -ENOENT, "error: d: no such VM");
        refused("vm stop a", -EPERM, "give -y");
        refused("vm reset b -y", -EINVAL, "b: it is not running (queued)");
        refused("vm stop c -y", -EINVAL, "c: it is not running (configured)");
        expect("vm reset a -y", "");
        CHECK_EQ(state("a"), VMS_QUEUED);
        start_next();
        CHECK_EQ(vms.entry[0].starts, 2);
        expect("vm stop b -y", "");
        CHECK_EQ(state("b"), VMS_CONFIGURED);
        expect("vm stop a -y", "");
        CHECK_EQ(vms.entry[0].end, VM_STOPPED);
        CHECK(!vms.entry[0].vm);
        CHECK(!vms_alive(&vms));
        CHECK_EQ(run("vm start b"), 0);
        CHECK_EQ(run("vm start a"), 0);
        start_next();
        CHECK_EQ(state("b"), VMS_QUEUED);
        CHECK_EQ(state("a"), VMS_RUNNING);
        expect("vm pause a", "");
        refused("vm pause a", -EINVAL, "a: it is not running (paused)");
        vms.entry[0].vm->vcpu[0]->activity = VCPU_HALTED; /* what ends that may be there already */
        expect("vm resume a", "");
        CHECK_EQ(vms.entry[0].vm->vcpu[0]->sched.state, SCHED_READY);
        refused("vm resume a", -EINVAL, "a: it is not paused (running)");
        expect("vm stop a -y", "");
        expect("vm stop b -y", "");
}

/* Two that after= links never run together, in whichever order they are started. */
static void test_linked_vms(void)
{
        start();
        run_to_end();
        CHECK_EQ(state("b"), VMS_RUNNING);
        CHECK_EQ(run("vm start a"), 0);
        CHECK(strstr(sink.text, "a: starts behind the end of b"));
        start_next();
        CHECK_EQ(state("a"), VMS_QUEUED);
        expect("vm stop b -y", "");
        start_next();
        CHECK_EQ(state("a"), VMS_RUNNING);
        expect("vm stop a -y", "");
}

/* A VM that cannot be built makes room for the next. */
static void test_refused_vm(void)
{
        start();
        config.vm[0].mem = 1 * TiB;
        start_next();
        CHECK_EQ(state("a"), VMS_ENDED);
        CHECK_EQ(vms.entry[0].end, VM_REFUSED);
        CHECK_EQ(vms.entry[0].starts, 0);
        CHECK_EQ(state("b"), VMS_RUNNING);
        expect("vm stop b -y", "");
}

static void test_console(void)
{
        start();
        start_next();
        console_set_monitor(true);
        refused("vm console b", -EINVAL, "b: it is not running (queued)");
        CHECK(console_in_monitor());
        expect("vm console a", "");
        CHECK(!console_in_monitor());
        expect("vm stop a -y", "");
}

/* What a VM writes, from a place on; and typing for it, in focus or not. */
static void test_console_of_one(void)
{
        struct vm *vm;
        char many[300];

        start();
        refused("vm type a x", -EINVAL, "a: it is not running");
        start_next();
        vm = vms.entry[0].vm;
        console_set_focus(NULL);
        console_write(&vm->console, "one\r\ntwo", 8);
        expect("vm log a 0 -o json", "[{\"at\": 8, \"text\": \"one\\u000d\\u000atwo\"}]\n");
        expect("vm log a 8 -o json", "[]\n");
        expect("vm log a 5 -o json", "[{\"at\": 8, \"text\": \"two\"}]\n");
        expect("vm log a 18446744073709551615 -o json", "[]\n");
        refused("vm log a x", -EINVAL, "x: a number is expected");
        expect("vm log a", "CONSOLE\none\ntwo\n");
        expect("vm type a k%0d%25", "");
        CHECK_EQ(uart16550_read(&vm->uart, 0), 'k');
        vm_feed_input(vm);
        CHECK_EQ(uart16550_read(&vm->uart, 0), '\r');
        vm_feed_input(vm);
        CHECK_EQ(uart16550_read(&vm->uart, 0), '%');
        refused("vm type a %0", -EINVAL, "two hexadecimal digits are expected behind %");
        refused("vm type a %g0", -EINVAL, "two hexadecimal digits are expected behind %");
        refused("vm type a %", -EINVAL, "two hexadecimal digits are expected behind %");
        memset(many, 'm', sizeof many);
        memcpy(many, "vm type a ", 10);
        many[250] = '\0';
        expect(many, "");
        refused(many, -ENOSPC, "some was not typed");
        expect("vm stop a -y", "");
}

/* The running VM is given back first. */
static void test_poweroff(void)
{
        start();
        start_next();
        ends = 0;
        refused("poweroff", -EPERM, "give -y");
        CHECK_EQ(ends, 0);
        expect("poweroff -y", "");
        CHECK_EQ(ends, 1);
        CHECK_EQ(ended, CONFIG_EXIT_POWEROFF);
        CHECK_EQ(vms.entry[0].end, VM_STOPPED);
        expect("reboot -y", "");
        CHECK_EQ(ended, CONFIG_EXIT_REBOOT);
}

static void make_map(void)
{
        memmap_init(&map);
        CHECK_EQ(memmap_add_e820(&map, 0, 128 * MiB, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, 128 * MiB, 64 * MiB, 2), 0);
        CHECK_EQ(memmap_add_e820(&map, 192 * MiB, 64 * MiB, 1), 0);
        CHECK_EQ(memmap_carve(&map, 0, 4 * MiB, MEM_HYPERVISOR), 0);
        CHECK_EQ(memmap_carve(&map, 64 * MiB, 8 * MiB, MEM_MODULE), 0);
        CHECK_EQ(memmap_add_e820(&map, WORLD_HPA, 128 * MiB, 7), 0);
}

/* The line of a bar behind a heading. */
static bool bar_is(const char *heading, const char *bar)
{
        const char *at = strstr(sink.text, heading);

        at = at ? strchr(at, '\n') : NULL;
        return at && strncmp(at + 1, bar, strlen(bar)) == 0;
}

/*
 * 128 MiB of NVRAM: a cell is 2 MiB, the first granule is metadata. Two regions of one cell each,
 * one of 60 cells.
 */
static void test_map(void)
{
        struct pool_region *region;
        char bar[80];

        make_map();
        pool_scrub(&mounted.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&mounted.pool, "db-data", "db", 2 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&mounted.pool, "db-log", "db", 2 * MiB, 2, &region), 0);
        CHECK_EQ(pool_create(&mounted.pool, "large", "web", 120 * MiB, 3, &region), 0);
        CHECK_EQ(run("map"), 0);
        CHECK(strstr(sink.text, "         FIRST            LAST        SIZE  KIND"));
        CHECK(strstr(sink.text, "   0x140000000     0x147ffffff     128 MiB  NVRAM persistent "));
        CHECK(!strchr(sink.text, '['));
        CHECK_EQ(run("map -v"), 0);
        CHECK(bar_is("DRAM   0x0-0xfffffff",
                     "  [H...............MM..............rrrrrrrrrrrrrrrr................]\n"));
        memset(bar, 0, sizeof bar);
        strcpy(bar, "  [=AB");
        memset(bar + 6, 'C', 60);
        strcat(bar, ".]\n");
        CHECK(bar_is("NVRAM  0x140000000-0x147ffffff, 128 MiB, NVRAM persistent", bar));
        CHECK(strstr(sink.text, "B       db-log            db               0x140400000     "
                                "0x1405fffff       2 MiB\n"));
        CHECK_EQ(run("map -v -o json"), 0);
        CHECK(strstr(sink.text,
                     "]\n[{\"letter\": \"A\", \"region\": \"db-data\", \"owner\": \"db\", "
                     "\"first\": 5370806272, "));
        CHECK(!strstr(sink.text, "DRAM "));
}

/* Two regions in a cell are told as such. */
static void test_map_of_small_cells(void)
{
        make_map();
        CHECK_EQ(memmap_add_e820(&map, WORLD_HPA, 64 * 16 * MiB, 7), 0);
        CHECK_EQ(run("map -v"), 0);
        CHECK(bar_is("NVRAM  0x140000000-", "  [+CCCCCCC...."));
}

static void test_mem(void)
{
        start();
        CHECK_EQ(run("mem -o json"), 0);
        CHECK(strstr(sink.text, "{\"memory\": \"NVRAM\", \"total\": 134217728, "
                                "\"used\": 130023424, \"free\": 2097152, \"metadata\": 2097152, "
                                "\"scrub\": 0, \"bad\": 0}"));
        CHECK(strstr(sink.text, "\n[{\"domain\": \"unknown\", \"flush\": \"model\", "
                                "\"volatile\": false}]"));
        CHECK(strstr(sink.text, "\n[{\"order\": 0, \"size\": 4096, \"used\": "));
        target.pool = NULL;
        CHECK_EQ(run("mem"), 0);
        CHECK(!strstr(sink.text, "NVRAM"));
        CHECK_EQ(run("map -v"), 0);
        target.pool = &mounted.pool;
}

static void test_mem_fail(void)
{
        start();
        refused("mem-fail one", -EINVAL, "error: one: a number is expected");
        expect("mem-fail 1", "no fault was to come\n");
        vms_service(&vms);
        CHECK_EQ(vms.entry[0].end, VM_REFUSED);
        expect("mem-fail 0", "no fault was to come\n");
        expect("mem-fail 3", "no fault was to come\n");
        expect("mem-fail 0", "3 allocations were left to go\n");
        CHECK_EQ(state("b"), VMS_RUNNING);
        CHECK_EQ(run("vm stop b -y"), 0);
}

static void test_stats_and_log(void)
{
        start();
        CHECK_EQ(run("stats"), 0);
        CHECK(strstr(sink.text, "machine     TSC kHz                        1000000\n"));
        CHECK(!strstr(sink.text, "exits"));
        start_next();
        vms.entry[0].vm->vcpu[0]->exits[VM_EXIT_IO] = 41;
        vms.entry[0].vm->vcpu[0]->exits[VM_EXIT_HALT] = 1;
        CHECK_EQ(run("stats"), 0);
        CHECK(strstr(sink.text, "a           exits                               42\n"));
        CHECK(strstr(sink.text, "a           exits io                            41\n"));
        expect("vm stop a -y", "");
        expect("log", "LOG\nfirst line\nsecond \"line\"\n");
        expect("log 0 -o json", "[{\"at\": 1, \"line\": \"first line\"}, "
                                "{\"at\": 2, \"line\": \"second \\\"line\\\"\"}]\n");
        expect("log 1 -o json", "[{\"at\": 2, \"line\": \"second \\\"line\\\"\"}]\n");
        expect("log 2 -o json", "[]\n");
        expect("log 18446744073709551615 -o json", "[]\n");
}

static void type(const char *bytes)
{
        for (; *bytes; bytes++)
                console_type((uint8_t)*bytes);
}

static unsigned idle_calls, serve_calls;

/* In place of CPU 0's loop. */
void cpu0_wait(void)
{
        if (++idle_calls == 3)
                type("n\r" ENTER);
}

void cpu0_serve(void)
{
        serve_calls++;
}

/* A question waits for its answer, and the machine goes on meanwhile. */
static void test_prompt(void)
{
        start();
        start_next();
        monitor_init(&monitor, tables, 2, &target);
        type(ENTER "vm st\tb\ty" ENTER);
        monitor_run(&monitor);
        CHECK_EQ(state("b"), VMS_QUEUED);
        type(ENTER "vm stop b\r\nyvm stop a\r");
        idle_calls = serve_calls = 0;
        monitor_run(&monitor);
        CHECK(!console_in_monitor());
        CHECK_EQ(idle_calls, 3);
        CHECK_EQ(serve_calls, 3); /* behind each line, the last is empty */
        CHECK_EQ(state("b"), VMS_CONFIGURED);
        CHECK_EQ(state("a"), VMS_RUNNING);
        monitor_run_line(&monitor, "vm stop a");
        CHECK_EQ(state("a"), VMS_RUNNING);
        monitor_run_line(&monitor, "vm stop a -y");
        CHECK_EQ(state("a"), VMS_ENDED);
}

/* Besides regions: metadata, what is to be scrubbed, bad granules. */
static void test_map_of_uses(void)
{
        char bar[80] = "  [=A~";

        make_map();
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "db-log")), 0);
        CHECK_EQ(pool_add_bad(&mounted.pool, HPA(WORLD_HPA + 63 * POOL_GRANULE)), 0);
        CHECK_EQ(run("map -v"), 0);
        memset(bar + 6, 'B', 60);
        strcpy(bar + 66, "!]\n");
        CHECK(bar_is("NVRAM  0x140000000-0x147ffffff, 128 MiB, NVRAM persistent", bar));
}

int main(void)
{
        const uint64_t size = 128 * MiB;

        fake_vm_create(&built);
        world = world_make(1, &size, 0, 0);
        world_mount(&world, world.memory, true, &mounted);
        tables[0] = (struct command_table){"", monitor_commands, monitor_command_count, &target};
        tables[1] = (struct command_table){"vm", vm_commands, vm_command_count, &target};
        RUN(test_queue_in_order);
        RUN(test_ports);
        RUN(test_reboots_are_spaced);
        RUN(test_start_stop_reset);
        RUN(test_linked_vms);
        RUN(test_refused_vm);
        RUN(test_console);
        RUN(test_console_of_one);
        RUN(test_poweroff);
        RUN(test_map);
        RUN(test_map_of_small_cells);
        RUN(test_mem);
        RUN(test_mem_fail);
        RUN(test_map_of_uses);
        RUN(test_stats_and_log);
        RUN(test_prompt);
        world_unmount(&mounted);
        free(world.memory);
        fake_vm_destroy(&built);
        return unit_done();
}
