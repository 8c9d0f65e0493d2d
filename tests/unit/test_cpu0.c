/*
 * CPU 0's loop around hosted VMs: when it ends, when it leads to the prompt, and when a guest that
 * runs there is told to wait. The loop of every CPU is played by a turn on the fake backend.
 */
#include "guest/life/cpu0.h"

#include "guest/console/console.h"
#include "guest/life/cpus.h"
#include "hv/lib/printk.h"
#include "hv/trap/mce.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/unit.h"

#define ESCAPE                                                                                     \
        "\x1d"                                                                                     \
        "c"

static struct vm built; /* by fake_vm_create: gives memory and configuration */
static struct config config;
static struct vm_machine machine;
static struct vms *vms;
static struct cpus_hooks ask; /* what cpu0_init gave to cpus_init */
static unsigned turns, prompts;
static bool wanted_in_prompt;

static const struct fake_step quiet = {.exit = {.kind = VM_EXIT_CACHE}};

void cpus_init(uint32_t tsc_khz, const struct cpus_hooks *hooks)
{
        CHECK_EQ(tsc_khz, machine.tsc_khz);
        ask = *hooks;
}

struct sched *cpus_sched(void)
{
        return fake_vm_machine()->sched;
}

bool cpus_service(void)
{
        return false;
}

void cpus_kick(unsigned cpu)
{
        (void)cpu;
}

void cpus_turn(void)
{
        turns++;
        fake_load(&quiet, 1); /* then it powers off */
        fake_turn();
}

static void answer(void)
{
}

static void type(const char *bytes)
{
        for (; *bytes; bytes++)
                console_type((uint8_t)*bytes);
}

/* Whoever sits there leaves at once. */
static void prompt(void)
{
        prompts++;
        wanted_in_prompt = ask.service();
        type(ESCAPE);
}

static void start(size_t vm_count)
{
        config_init(&config);
        config.vm_count = vm_count;
        for (size_t i = 0; i < vm_count; i++) {
                config.vm[i] = *fake_vm_config();
                config.vm[i].name[0] = (char)('a' + i);
                config.vm[i].name[1] = '\0';
        }
        machine = *fake_vm_machine();
        vms = cpu0_init(&machine, &config, answer);
        turns = prompts = 0;
        unit_log_clear();
}

static void test_runs_to_the_end(void)
{
        start(2);
        cpu0_run(false, prompt);
        CHECK_EQ(vms->entry[0].end, VM_POWERED_OFF);
        CHECK_EQ(vms->entry[1].end, VM_POWERED_OFF);
        CHECK(!vms_alive(vms));
        CHECK_EQ(prompts, 0);
        CHECK(!unit_log_has("no VM was started"));
}

static void test_nothing_to_run(void)
{
        start(0);
        cpu0_run(true, prompt);
        CHECK_EQ(turns, 0);
        CHECK(unit_log_has("exit=monitor is exit=halt"));
        CHECK(unit_log_has("no VM was started"));
}

/* The prompt comes when it is asked for, and the VMs go on behind it. */
static void test_prompt(void)
{
        start(1);
        CHECK(!ask.service());
        type(ESCAPE);
        CHECK(ask.service());
        cpu0_run(false, prompt);
        CHECK_EQ(prompts, 1);
        CHECK(!wanted_in_prompt); /* a guest that runs meanwhile is left alone */
        CHECK_EQ(vms->entry[0].end, VM_POWERED_OFF);
        CHECK(!ask.service());
}

/* What a guest on CPU 0 has to wait for. */
static void test_wanted(void)
{
        start(1);
        vms_service(vms);
        CHECK(!ask.service());
        type("\x1d"
             "1");
        CHECK(ask.service());
        cpu0_serve();
        CHECK(!ask.service());
        mce_count_nmi();
        CHECK(ask.service());
        cpu0_serve();
        CHECK(!ask.service());
        vm_finish(vms->entry[0].vm, VM_STOPPED);
        CHECK(ask.service());
        cpu0_serve();
        CHECK_EQ(vms->entry[0].state, VMS_ENDED);
}

/* The prompt is shown again before anything else runs, when something was logged. */
static void test_wait(void)
{
        start(1);
        cpu0_wait();
        CHECK(vms->entry[0].vm);
        CHECK_EQ(turns, 0);
        cpu0_wait();
        CHECK_EQ(turns, 1);
        cpu0_wait();
        CHECK_EQ(vms->entry[0].end, VM_POWERED_OFF);
        CHECK_EQ(turns, 1);
}

/* Released NVRAM is scrubbed while nothing else is wanted. */
static void test_rest(void)
{
        const uint64_t size = 4 * POOL_GRANULE;
        struct world world = world_make(1, &size, 0, 0);
        struct mounted mounted;
        struct pool_region *region;

        world_mount(&world, world.memory, true, &mounted);
        CHECK_EQ(mounted.err, 0);
        CHECK_EQ(pool_create(&mounted.pool, "gone", "web", 2 * POOL_GRANULE, 0, &region), 0);
        CHECK_EQ(pool_delete(&mounted.pool, region), 0);
        start(0);
        machine.pool = &mounted.pool;
        CHECK(ask.rest(UINT64_MAX));
        CHECK_EQ(mounted.pool.scrubbing + 2 - pool_usage(&mounted.pool).dying, 1);
        CHECK(!ask.rest(0));
        type(ESCAPE);
        CHECK(ask.rest(0)); /* it must not rest */
        type(ESCAPE);
        world_unmount(&mounted);
        free(world.memory);
}

int main(void)
{
        fake_vm_create(&built);
        RUN(test_runs_to_the_end);
        RUN(test_nothing_to_run);
        RUN(test_prompt);
        RUN(test_wanted);
        RUN(test_wait);
        RUN(test_rest);
        fake_vm_destroy(&built);
        return unit_done();
}
