/*
 * Out of memory while a VM is built: with 0, 1, 2 ... free frames beside the blocks for its RAM,
 * until it can be built; and with the 1st, 2nd ... allocation failing, until none is reached. Each
 * time what was taken is given back, NVRAM too, and a VM is either there or not.
 */
#include "guest/life/vms.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/fake_virt.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/unit.h"

#define FRAMES_MAX 20000u
#define ORDER_2M   9u
#define RAM_BLOCKS 8u /* of 2 MiB: the VM's 16 MiB */

static struct vm built; /* by fake_vm_create: gives memory and configuration */
static struct dram *dram;
static hpa_t frame[FRAMES_MAX];
static unsigned frames;

/* Take all memory but RAM_BLOCKS blocks and count frames. */
static void fill(unsigned count)
{
        hpa_t block[RAM_BLOCKS];

        frames = 0;
        for (unsigned i = 0; i < RAM_BLOCKS; i++)
                CHECK_EQ(dram_alloc(dram, ORDER_2M, &block[i]), 0);
        while (!dram_alloc(dram, 0, &frame[frames]))
                frames++;
        for (unsigned i = 0; i < RAM_BLOCKS; i++)
                CHECK_EQ(dram_free(dram, block[i], ORDER_2M), 0);
        for (unsigned i = 0; i < count; i++)
                CHECK_EQ(dram_free(dram, frame[--frames], 0), 0);
}

static void empty(void)
{
        while (frames)
                CHECK_EQ(dram_free(dram, frame[--frames], 0), 0);
}

static void test_vm_create(void)
{
        static struct vm vm;
        struct vm_config config = *fake_vm_config();
        unsigned refused = 0;
        int err;

        config.vcpus = 4;
        do {
                uint64_t before;

                fill(refused);
                before = dram_free_bytes(dram);
                err = vm_create(&vm, &config, fake_vm_machine());
                if (!err)
                        vm_destroy(&vm);
                CHECK_EQ(dram_free_bytes(dram), before);
                CHECK_EQ(fake.vcpus, 1);
                empty();
        } while (err && ++refused < 100);
        CHECK_EQ(err, 0);
        CHECK(refused >= 4 && refused < 100); /* a frame a vCPU, and the page tables */
}

/* By way of the queue: one that does not fit is refused, and can be started later. */
static void test_vms_start(void)
{
        static struct config config;
        static struct vms vms;
        unsigned refused = 0;
        uint64_t whole = dram_free_bytes(dram);

        config_init(&config);
        config.vm_count = 1;
        config.vm[0] = *fake_vm_config();
        vms_init(&vms, &config, fake_vm_machine(), fake_turn);
        do {
                fill(refused);
                vms_service(&vms);
                empty();
                if (vms.entry[0].state == VMS_RUNNING)
                        break;
                CHECK_EQ(vms.entry[0].end, VM_REFUSED);
                CHECK(!vms.entry[0].vm);
                CHECK_EQ(dram_free_bytes(dram), whole);
                CHECK_EQ(vms_start(&vms, &vms.entry[0]), 0);
        } while (++refused < 100);
        CHECK(refused >= 1);
        CHECK_EQ(vms.entry[0].starts, 1);
        CHECK_EQ(vms_stop(&vms, &vms.entry[0]), 0);
        CHECK_EQ(dram_free_bytes(dram), whole);
}

/* With a region to be created and one that is there: neither is left behind by a refusal. */
static void want_regions(struct vm_config *config)
{
        config->region_count = 2;
        strcpy(config->region[0].name, "old");
        strcpy(config->region[1].name, "new");
        config->region[0].size = config->region[1].size = 2 * MiB;
}

static void check_pool(struct pool *pool, const struct pool_usage *before)
{
        struct pool_usage now;

        while (pool->dying)
                pool_scrub(pool, UINT64_MAX);
        now = pool_usage(pool);
        CHECK_EQ(now.regions, before->regions);
        CHECK_EQ(now.free, before->free);
        CHECK_EQ(now.used, before->used);
}

static void drop(struct pool *pool, const char *name)
{
        CHECK_EQ(pool_delete(pool, pool_find(pool, name)), 0);
}

static bool number(uint64_t *out)
{
        *out = 0;
        return true;
}

static void test_each_allocation(void)
{
        static struct vm vm;
        struct vm_config config = *fake_vm_config();
        struct vm_machine machine = *fake_vm_machine();
        struct world world = world_make(1, (const uint64_t[]){32 * MiB}, 0, 0);
        static struct mounted mounted;
        struct pool_usage usage;
        struct pool_region *old;
        unsigned refused = 0;
        uint64_t before = dram_free_bytes(dram), left, n = 0;

        world_mount(&world, world.memory, false, &mounted);
        CHECK_EQ(mounted.err, 0);
        machine.pool = &mounted.pool;
        machine.random = number;
        config.vcpus = 4;
        want_regions(&config);
        CHECK_EQ(pool_create(machine.pool, "old", config.name, 2 * MiB, 0, &old), 0);
        usage = pool_usage(machine.pool);
        do {
                int err;

                (void)dram_fail_after(dram, ++n);
                err = vm_create(&vm, &config, &machine);
                left = dram_fail_after(dram, 0);
                CHECK(!err || (err == -ENOMEM && !left));
                if (!err) {
                        vm_destroy(&vm);
                        drop(machine.pool, "new");
                }
                refused += err != 0;
                CHECK_EQ(dram_free_bytes(dram), before);
                CHECK_EQ(fake.vcpus, 1);
                check_pool(machine.pool, &usage);
        } while (!left && n < 100);
        CHECK(left && refused >= 4 + 3 + 1); /* a frame a vCPU, the page tables, a virtio device */
        world_unmount(&mounted);
        free(world.memory);
}

/* A reset is a start: a VM that cannot be built again has ended. */
static void test_vms_reset(void)
{
        static struct config config;
        static struct vms vms;
        uint64_t whole = dram_free_bytes(dram), left, n = 0;
        unsigned refused = 0;

        config_init(&config);
        config.vm_count = 1;
        config.vm[0] = *fake_vm_config();
        vms_init(&vms, &config, fake_vm_machine(), fake_turn);
        vms_service(&vms);
        do {
                CHECK_EQ(vms_reset(&vms, &vms.entry[0]), 0);
                CHECK_EQ(dram_free_bytes(dram), whole);
                (void)dram_fail_after(dram, ++n);
                vms_service(&vms);
                left = dram_fail_after(dram, 0);
                if (vms.entry[0].state == VMS_RUNNING)
                        continue;
                CHECK(!left && vms.entry[0].end == VM_REFUSED && !vms.entry[0].vm);
                CHECK_EQ(dram_free_bytes(dram), whole);
                refused++;
                CHECK_EQ(vms_start(&vms, &vms.entry[0]), 0);
                vms_service(&vms);
        } while (!left && n < 100);
        CHECK(left && refused >= 1 + 3); /* struct vm, its vCPU, page tables */
        CHECK_EQ(vms_stop(&vms, &vms.entry[0]), 0);
        CHECK_EQ(dram_free_bytes(dram), whole);
}

int main(void)
{
        fake_vm_create(&built);
        dram = fake_vm_machine()->dram;
        RUN(test_vm_create);
        RUN(test_vms_start);
        RUN(test_each_allocation);
        RUN(test_vms_reset);
        fake_vm_destroy(&built);
        return unit_done();
}
