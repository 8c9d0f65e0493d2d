/*
 * A VM's memory from DRAM and NVRAM in many pieces: no list is too short for what it was given. The
 * NVRAM's data granules are one and the same memory: only where they lie matters here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/vm/vm_nvram.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/pool_world.h"

#define PIECES   REGION_EXTENTS_MAX
#define REGIONS  CONFIG_REGIONS_MAX
#define GRANULES (2ul * REGIONS * PIECES + 9) /* each piece has a neighbour that is in use */

static struct vm first, vm; /* the first only makes the machine */
static struct vm_machine machine;
static struct vm_config config;
static struct world world;
static struct mounted mounted;
static const char *const name[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static uint8_t *map_nvram(void)
{
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        uint8_t *memory = mmap(NULL, GRANULES * POOL_GRANULE, PROT_READ | PROT_WRITE, flags, -1, 0);
        int fd = memfd_create("granule", 0);

        CHECK(memory != MAP_FAILED && !ftruncate(fd, POOL_GRANULE));
        for (uint64_t g = 1; g < GRANULES; g++)
                CHECK(mmap(memory + g * POOL_GRANULE, POOL_GRANULE, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED);
        close(fd);
        return memory;
}

static void begin(void)
{
        fake_vm_create(&first);
        world = (struct world){.memory = map_nvram(),
                               .size = GRANULES * POOL_GRANULE,
                               .ranges = 1,
                               .range_size = {GRANULES * POOL_GRANULE}};
        world_mount(&world, world.memory, true, &mounted);
        CHECK_EQ(mounted.err, 0);
        machine = *fake_vm_machine();
        machine.pool = &mounted.pool;
        config = *fake_vm_config();
        config.region_count = 0;
        while (pool_scrub(&mounted.pool, 64))
                ;
}

static void end(void)
{
        fake_vm_destroy(&first);
        world_unmount(&mounted);
        munmap(world.memory, world.size);
}

static void delete_region(const char *which)
{
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, which)), 0);
        while (pool_scrub(&mounted.pool, 64))
                ;
}

/* Two regions that grow in turn share their part of the pool piece by piece. */
static void fragment(void)
{
        struct pool *pool = &mounted.pool;
        struct pool_region *keep, *hole;
        char holes[] = "hole-0", keeps[] = "keep-0";

        for (unsigned i = 0; i < REGIONS; i++) {
                holes[5] = keeps[5] = (char)('0' + i);
                CHECK_EQ(pool_create(pool, keeps, "", POOL_GRANULE, 1, &keep), 0);
                CHECK_EQ(pool_create(pool, holes, "", POOL_GRANULE, 1, &hole), 0);
                for (uint64_t n = 2; n <= PIECES; n++) {
                        CHECK_EQ(pool_grow(pool, keep, n * POOL_GRANULE), 0);
                        CHECK_EQ(pool_grow(pool, hole, n * POOL_GRANULE), 0);
                }
        }
        CHECK_EQ(pool_create(pool, "rest", "", pool_usage(pool).free * POOL_GRANULE, 1, &keep), 0);
        for (unsigned i = 0; i < REGIONS; i++) {
                holes[5] = (char)('0' + i);
                delete_region(holes);
        }
        CHECK_EQ(pool_usage(pool).free, REGIONS * PIECES);
}

static void want(const char *which, uint64_t granules)
{
        struct config_region *r = &config.region[config.region_count++];

        memset(r, 0, sizeof *r);
        strcpy(r->name, which);
        r->size = granules * POOL_GRANULE;
}

/* Each granule of each region is what the guest has at its place. */
static void check_regions(void)
{
        for (size_t i = 0; i < vm.regions; i++) {
                const struct pool_region *region = vm.region[i].ref.region;
                uint64_t gpa = vm.layout.region[i].gpa.v;

                for (size_t e = 0; e < pool_region_extents(region); e++) {
                        struct pool_extent extent = pool_region_extent(&mounted.pool, region, e);

                        CHECK(gmem_ptr(&vm.mem, GPA(gpa), extent.size) == extent.base);
                        gpa += extent.size;
                }
                CHECK(gmem_ptr(&vm.mem, GPA(gpa), 1) == NULL);
        }
}

static void test_scattered_regions(void)
{
        static const unsigned pieces[] = {60, 70, PIECES};
        uint64_t whole;

        whole = dram_free_bytes(machine.dram);
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
                config.region_count = 0;
                want(name[i], pieces[i]);
                CHECK_EQ(vm_create(&vm, &config, &machine), 0);
                CHECK_EQ(pool_region_extents(vm.region[0].ref.region), pieces[i]);
                check_regions();
                vm_destroy(&vm);
                CHECK_EQ(dram_free_bytes(machine.dram), whole);
                delete_region(name[i]);
        }
        config.region_count = 0;
}

/* As many of the largest as a VM can have; and with each allocation failing in turn. */
static void test_all_regions(void)
{
        uint64_t whole, n = 0;
        int err;

        whole = dram_free_bytes(machine.dram);
        for (unsigned i = 0; i < REGIONS; i++)
                want(name[i], PIECES);
        do {
                (void)dram_fail_after(machine.dram, ++n);
                err = vm_create(&vm, &config, &machine);
                if (!err) {
                        CHECK(vm.mem.count >= REGIONS * PIECES);
                        check_regions();
                        vm_destroy(&vm);
                }
                CHECK_EQ(dram_free_bytes(machine.dram), whole);
        } while (err && n < 100);
        CHECK_EQ(err, 0);
        CHECK(n > 1);
        (void)dram_fail_after(machine.dram, 0);
        config.region_count = 0;
}

static void *to_ptr(hpa_t hpa)
{
        return (void *)hpa.v;
}

/* DRAM of which every second 2 MiB are free: a VM has what is there, and gives it back. */
static void test_scattered_ram(void)
{
        enum { BLOCKS = 160, WANTED = 75 };
        const uint64_t bytes = (BLOCKS + 4) * PAGE_2M;
        void *memory =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static hpa_t block[BLOCKS];
        static struct dram dram;
        uint64_t whole;
        unsigned n = 0;

        dram_init(&dram, to_ptr);
        CHECK_EQ(dram_add_range(&dram, HPA((uint64_t)memory), bytes), 0);
        CHECK_EQ(dram_start(&dram), 0);
        while (n < BLOCKS && !dram_alloc(&dram, DRAM_ORDER_2M, &block[n]))
                n++;
        for (unsigned i = 0; i < n; i += 2)
                CHECK_EQ(dram_free(&dram, block[i], DRAM_ORDER_2M), 0);
        machine.dram = &dram;
        config.mem = WANTED * PAGE_2M;
        whole = dram_free_bytes(&dram);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        CHECK(vm.mem.count > WANTED / 2);
        for (unsigned i = 0; i < WANTED; i++)
                CHECK(gmem_ptr(&vm.mem, GPA(i * PAGE_2M), PAGE_2M) != NULL);
        vm_destroy(&vm);
        CHECK_EQ(dram_free_bytes(&dram), whole);
        machine.dram = fake_vm_machine()->dram;
        munmap(memory, bytes);
}

int main(void)
{
        begin();
        fragment();
        RUN(test_scattered_regions);
        RUN(test_all_regions);
        RUN(test_scattered_ram);
        end();
        return unit_done();
}
