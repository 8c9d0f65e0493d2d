/*
 * The monitor (guest/admin/monitor.c with the line editor, the escape, the commands and their
 * output) on a small pool and two VMs. One byte of flags (in it, whether a VM runs), then either
 * what is typed, or lines to be run with their output as JSON, each line of which must be one JSON
 * value.
 */
#include "guest/admin/monitor.h"
#include "guest/admin/nv/nv_commands.h"
#include "guest/console/console.h"
#include "guest/life/cpu0.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/e820.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/json_check.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/text_sink.h"

#define AS_JSON  1u
#define WITH_VM  2u /* a VM with a region runs, and is paused */
#define GRANULES 4u

static struct vm built; /* by fake_vm_create: gives memory and configuration */
static struct config config;
static struct vms vms;
static struct memmap map;
static struct world world;
static struct mounted mounted;
static struct monitor monitor;
static struct monitor_target target;
static struct vm_machine vm_machine;
static uint64_t free_dram; /* at first */
static uint8_t *blank;     /* the metadata of the pool at first */
static uint64_t numbers;

static void end(enum config_exit how)
{
        DEMAND(how == CONFIG_EXIT_POWEROFF || how == CONFIG_EXIT_REBOOT);
        DEMAND(!vms.entry[0].vm && !vms.entry[1].vm);
}

static uint64_t entropy(void)
{
        return ++numbers;
}

static struct nv_target nv_target = {&mounted.pool, entropy, &config};

static const struct command_table tables[] = {
    {"", monitor_commands, 0, &target},
    {"vm", vm_commands, 0, &target},
    {"nv", nv_commands, 0, &nv_target},
};
static struct command_table verbs[ARRAY_LEN(tables)];

static void make_world(void)
{
        const uint64_t size = GRANULES * POOL_GRANULE;

        fake_vm_create(&built);
        world = world_make(1, &size, 0, 0);
        world_mount(&world, world.memory, true, &mounted);
        DEMAND(!mounted.err);
        pool_scrub(&mounted.pool, UINT64_MAX);
        blank = fuzz_alloc(POOL_GRANULE);
        memcpy(blank, world.memory, POOL_GRANULE);
        world_unmount(&mounted);
        memcpy(verbs, tables, sizeof verbs);
        verbs[0].count = monitor_command_count;
        verbs[1].count = vm_command_count;
        verbs[2].count = nv_command_count;
        free_dram = dram_free_bytes(fake_vm_machine()->dram);
        memmap_init(&map);
        DEMAND(!memmap_add_e820(&map, 0, 256 * MiB, 1));
        DEMAND(!memmap_add_e820(&map, WORLD_HPA, size, 7));
}

/* Every input finds the same: no VM has run, the pool is empty. */
static void start(void)
{
        config_init(&config);
        config.vm_count = 2;
        for (size_t i = 0; i < 2; i++) {
                config.vm[i] = *fake_vm_config();
                config.vm[i].name[0] = (char)('a' + i);
                config.vm[i].name[1] = '\0';
        }
        config.vm[0].region[0] = (struct config_region){"kept", POOL_GRANULE, false};
        config.vm[0].region_count = 1;
        config.vm[0].nvram_max = 4 * MiB;
        vm_machine = *fake_vm_machine();
        vm_machine.pool = &mounted.pool;
        vms_init(&vms, &config, &vm_machine, fake_turn);
        memcpy(world.memory, blank, POOL_GRANULE);
        world_mount(&world, world.memory, false, &mounted);
        DEMAND(!mounted.err);
        numbers = 0;
        target = (struct monitor_target){&map, fake_vm_machine()->dram, &mounted.pool, &vms, end};
        monitor_init(&monitor, verbs, ARRAY_LEN(verbs), &target);
}

static void start_vm(void)
{
        vms_service(&vms);
        DEMAND(vms.entry[0].vm);
}

static struct fuzz_input *typed;

/* In place of CPU 0's loop: the next byte is typed when nothing is left to be read, and the way out
 * at the end. */
void cpu0_wait(void)
{
        if (typed->left) {
                console_type((uint8_t)fuzz_take(typed, 1));
        } else {
                console_type(CONSOLE_ESCAPE);
                console_type(CONSOLE_SWITCH);
        }
}

void cpu0_serve(void)
{
}

static void type_all(struct fuzz_input *in)
{
        typed = in;
        do {
                console_set_monitor(true);
                monitor_run(&monitor);
        } while (in->left);
        while (console_get(console_focus()) >= 0)
                ;
}

static void run_json(char *line)
{
        static struct text_sink sink;
        struct command_set set = {verbs, ARRAY_LEN(verbs), NULL, NULL, NULL, NULL};
        int err = command_run(&set, line, text_sink_start(&sink, true));

        DEMAND(err <= 0 && true);
        for (char *at = strtok(sink.text, "\n"); at; at = strtok(NULL, "\n"))
                DEMAND(json_is_valid(at));
        DEMAND(!err || sink.len);
}

static void run_lines(struct fuzz_input *in)
{
        while (in->left) {
                const uint8_t *nl = memchr(in->at, '\n', in->left);
                char *line = fuzz_string(in, nl ? (size_t)(nl - in->at) : in->left);

                (void)fuzz_take(in, 1);
                run_json(line);
                free(line);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        unsigned flags = (unsigned)fuzz_take(&in, 1);
        struct pool_health health;

        if (!blank)
                make_world();
        start();
        if (flags & WITH_VM)
                start_vm();
        if (flags & AS_JSON)
                run_lines(&in);
        else
                type_all(&in);
        for (size_t i = 0; i < vms.count; i++)
                if (vms.entry[i].vm)
                        DEMAND(!vms_stop(&vms, &vms.entry[i]));
        DEMAND(dram_free_bytes(vm_machine.dram) == free_dram);
        DEMAND(!pool_check(&mounted.pool, false, false, &health));
        world_unmount(&mounted);
        return 0;
}
