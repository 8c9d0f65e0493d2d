/*
 * The NVRAM pool (mm/pool/) at size, from the image's own objects: `pool_bench ROUNDS`.
 *
 * A line a phase: "SETUP/PHASE OPERATIONS NANOSECONDS FLUSHES LINES FENCES", the last three being
 * what mm/pool/pm.h was called for. Under callgrind each phase also ends in a dump of that label;
 * with the pool's functions as --toggle-collect it holds what they execute, without the loops
 * around them. Of a pool's range only the metadata is mapped: its data is never touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include "hv/lib/printk.h"
#include "mm/pool/pm.h"
#include "mm/pool/pool.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_space.h"
#include "tests/bench/pm_count.h"

#define MAPPED      (POOL_METADATA_MAX * POOL_GRANULE)
#define REGIONS_MAX 10000u
#define WORK        1000u              /* calls a phase, each on another region */
#define SPACE       (128 * GiB)        /* left for them, beside the holes */
#define GROWTH      (8 * POOL_GRANULE) /* of every fourth region, in turn */
#define GROWN_EVERY 4u
#define A_HOLE_EACH 10u /* regions */

/* The image is built without the stack alignment that the C library wants. */
#define CALLED_BY_POOL __attribute__((force_align_arg_pointer))

static _Noreturn void die(const char *why)
{
        fprintf(stderr, "pool_bench: %s\n", why);
        exit(1);
}

CALLED_BY_POOL void printk(enum log_level level, const char *fmt, ...)
{
        if (level <= LOG_WARN)
                die(fmt);
}

CALLED_BY_POOL void panic(const char *fmt, ...)
{
        die(fmt);
}

static void must(int err, const char *what)
{
        if (err)
                die(what);
}

/* ---- Phases. ---- */

struct setup {
        const char *name;
        uint64_t size;
        uint32_t regions;
        uint32_t grown; /* times: as many extents more in every fourth region */
        bool works;     /* measure more than mounting */
};

static const struct setup *setup;
static uint64_t since;

static uint64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void phase_begin(void)
{
        pm_count = (struct pm_count){0};
        CALLGRIND_ZERO_STATS;
        since = now();
}

static void phase_end(const char *phase, uint64_t operations)
{
        uint64_t ns = now() - since;
        char label[64];

        (void)snprintf(label, sizeof label, "%s/%s", setup->name, phase);
        CALLGRIND_DUMP_STATS_AT(label);
        printf("%s %lu %lu %lu %lu %lu\n", label, operations, ns, pm_count.flushes, pm_count.lines,
               pm_count.fences);
        fflush(stdout);
}

/* ---- The pool. ---- */

static struct pool pool;
static struct pool_range range;
static void *nvram; /* MAPPED bytes */
static void *dram;
static uint64_t dram_size;

static void *map(uint64_t size)
{
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (memory == MAP_FAILED)
                die("no memory");
        return memory;
}

static void mount(bool format)
{
        const struct pool_config config = {
            .format = format, .entropy = 1, .memory = dram, .memory_size = dram_size};

        must(pool_mount(&pool, &range, 1, &config), "pool_mount failed");
}

/* A new pool whose granules are all free, as if it had been scrubbed. */
static void make_pool(uint64_t size)
{
        const struct pool_member *member = &pool.member[0];

        range = (struct pool_range){.base = nvram, .hpa = HPA(4 * GiB), .size = size};
        dram_size = pool_memory_size(&range, 1);
        dram = map(dram_size);
        mount(true);
        pool_record_clear(&pool, member->region);
        pool_space_release(&pool, 0, member->metadata, member->granules - member->metadata);
        pool.dying = 0;
}

/* Names of regions; the second set is for renaming. */
static char name[2][REGIONS_MAX + REGIONS_MAX / A_HOLE_EACH][POOL_NAME_SIZE];
static struct pool_region *made[REGIONS_MAX + REGIONS_MAX / A_HOLE_EACH];

static uint64_t draw(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static void create(uint32_t i, uint64_t *seed)
{
        uint64_t size = (4 + draw(seed) % 28) * POOL_GRANULE;

        must(pool_create(&pool, name[0][i], "owner", size, i, &made[i]), "pool_create failed");
}

static void grow(struct pool_region *region)
{
        must(pool_grow(&pool, region, pool_region_size(region) + GROWTH), "pool_grow failed");
}

static void scrub(void)
{
        if (pool_scrub(&pool, UINT64_MAX))
                die("pool_scrub left something");
}

/* Regions with holes between them, some of several extents, and one that takes most of the rest. */
static void fill_pool(void)
{
        uint32_t holes = setup->regions / A_HOLE_EACH;
        uint32_t all = setup->regions + holes;
        uint64_t seed = 1, rest;
        struct pool_region *last;

        for (uint32_t i = 0; i < all - 1; i++)
                create(i, &seed);
        for (uint32_t n = 0; n < setup->grown; n++)
                for (uint32_t i = 0; i < all - 1; i += GROWN_EVERY)
                        grow(made[i]);
        rest = pool.space.free * POOL_GRANULE - SPACE;
        must(pool_create(&pool, "rest", "", rest, all, &last), "pool_create failed");
        for (uint32_t i = 0; i < holes; i++)
                must(pool_delete(&pool, made[i * (A_HOLE_EACH + 1) + 1]), "pool_delete failed");
        scrub();
}

static uint64_t count_extents(void)
{
        struct pool_region *region = NULL;
        uint64_t regions = 0, extents = 0;

        while ((region = pool_next(&pool, region))) {
                extents += pool_region_extents(region);
                regions++;
        }
        if (regions != setup->regions)
                die("the pool does not hold the regions that it should");
        return extents;
}

static void measure_mount(void)
{
        uint64_t extents = count_extents();

        phase_begin();
        mount(false);
        phase_end("mount", extents);
        if (count_extents() != extents)
                die("the pool has changed by mounting it");
}

/* ---- Work in the full pool: WORK calls of each kind. ---- */

static uint64_t work_seed;

static void work_create(uint32_t i)
{
        create(i, &work_seed);
}

static void work_rename(uint32_t i)
{
        must(pool_rename(&pool, made[i], name[1][i]), "pool_rename failed");
}

static void work_grant(uint32_t i)
{
        must(pool_grant(&pool, made[i], "reader", POOL_READ_ONLY), "pool_grant failed");
}

static void work_withdraw(uint32_t i)
{
        must(pool_grant(&pool, made[i], "reader", POOL_NO_ACCESS), "pool_grant failed");
}

static void work_attach(uint32_t i)
{
        struct pool_ref ref = pool_ref(made[i]);

        must(pool_attach(&pool, &ref, "owner", POOL_READ_WRITE), "pool_attach failed");
        pool_detach(&ref, POOL_READ_WRITE);
}

static void work_grow(uint32_t i)
{
        grow(made[i]);
}

static void work_shrink(uint32_t i)
{
        uint64_t size = pool_region_size(made[i]) - GROWTH;

        must(pool_shrink(&pool, made[i], size), "pool_shrink failed");
}

static void work_clone(uint32_t i)
{
        struct pool_region *clone;

        must(pool_clone(&pool, made[i], name[0][i], "owner", i, &clone), "pool_clone failed");
}

static void work_delete(uint32_t i)
{
        must(pool_delete(&pool, made[i]), "pool_delete failed");
}

static void measure_scrub(const char *label, uint64_t operations)
{
        phase_begin();
        scrub();
        phase_end(label, operations);
}

static void phase(const char *label, void (*work)(uint32_t i))
{
        phase_begin();
        for (uint32_t i = 0; i < WORK; i++)
                work(i);
        phase_end(label, WORK);
}

static void measure_work(void)
{
        struct pool_health health;

        work_seed = 2;
        for (uint32_t i = 0; i < WORK; i++) {
                (void)snprintf(name[0][i], sizeof name[0][i], "work-%u", i);
                (void)snprintf(name[1][i], sizeof name[1][i], "renamed-%u", i);
        }
        phase("create", work_create);
        phase("grow", work_grow);
        phase("shrink", work_shrink);
        scrub();
        phase("rename", work_rename);
        phase("grant", work_grant);
        phase("withdraw", work_withdraw);
        phase("attach", work_attach);
        phase("clone", work_clone);
        phase("delete", work_delete);
        measure_scrub("scrub-granule", pool.dying);
        must(pool_check(&pool, false, false, &health), "pool_check found something wrong");
}

static void measure(const struct setup *which)
{
        setup = which;
        for (uint32_t i = 0; i < REGIONS_MAX + REGIONS_MAX / A_HOLE_EACH; i++)
                (void)snprintf(name[0][i], sizeof name[0][i], "region-%u", i);
        make_pool(setup->size);
        fill_pool();
        measure_mount();
        if (setup->works)
                measure_work();
        printf("%s/memory %lu %lu 0 0 0\n", setup->name, setup->size, dram_size);
        munmap(dram, dram_size);
}

/* A range that is there whole, new and so to be scrubbed. */
static void measure_small(void)
{
        static const struct setup small = {.name = "small", .size = MAPPED};

        setup = &small;
        make_pool(MAPPED);
        mount(true);
        measure_scrub("scrub-mib", pool.dying * (POOL_GRANULE / MiB));
        munmap(dram, dram_size);
}

int main(int argc, char **argv)
{
        static const struct setup setups[] = {{"1t-10000", TiB, 10000, 3, true},
                                              {"16t-10000", 16 * TiB, 10000, 3, true},
                                              {"16t-5000", 16 * TiB, 5000, 3, false},
                                              {"16t-2500", 16 * TiB, 2500, 3, false},
                                              {"16t-10000-more", 16 * TiB, 10000, 12, false}};
        int rounds = argc > 1 ? atoi(argv[1]) : 1;

        nvram = map(MAPPED);
        pm_count_memory(nvram, MAPPED);
        pm_init();
        for (int i = 0; i < rounds; i++) {
                for (size_t n = 0; n < sizeof setups / sizeof setups[0]; n++)
                        measure(&setups[n]);
                measure_small();
        }
        return 0;
}
