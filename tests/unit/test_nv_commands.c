/* The `nv` verbs over a hosted pool: what they say and do, every error line, valid JSON, quota. */
#include "guest/admin/nv/nv_commands.h"

#include <errno.h>

#include "tests/unit/json_check.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/text_sink.h"

typedef unsigned long long ull;

static const uint64_t two_ranges[] = {16 * MiB, 16 * MiB}; /* 7 granules of data each */

static struct world world;
static struct mounted m;
static struct text_sink sink;
static struct config config; /* of one VM, "db" */

static uint64_t entropy(void)
{
        static uint64_t state = 7;

        return unit_random(&state);
}

static struct nv_target target = {&m.pool, entropy, &config};

static int run(const char *line, bool json)
{
        const struct command_table table = {"nv", nv_commands, nv_command_count, &target};
        const struct command_set set = {.table = &table, .tables = 1};

        return command_run(&set, line, text_sink_start(&sink, json));
}

/* Demand this result and, unless NULL, all of the text. */
static void expect(const char *line, int err, const char *text)
{
        int got = run(line, false);

        if (got == err && (!text || !strcmp(sink.text, text)))
                return;
        printf("%s: result %d where %d was expected; it says:\n%s", line, got, err, sink.text);
        unit_failed_checks++;
}

static void expect_part(const char *line, const char *part)
{
        expect(line, 0, NULL);
        if (strstr(sink.text, part))
                return;
        printf("%s: no \"%s\" in:\n%s", line, part, sink.text);
        unit_failed_checks++;
}

/* Demand this result and that every line of the output is a JSON value, some of it this part. */
static void expect_json(const char *line, int err, const char *part)
{
        int got = run(line, true);
        bool good = got == err && strstr(sink.text, part);

        if (!good)
                printf("%s: result %d, no \"%s\" in:\n%s", line, got, part, sink.text);
        for (char *at = strtok(sink.text, "\n"); at; at = strtok(NULL, "\n")) {
                if (json_is_valid(at))
                        continue;
                printf("%s: no JSON: %s\n", line, at);
                good = false;
        }
        unit_failed_checks += !good;
}

static void setup(void)
{
        world = world_make(2, two_ranges, 0, 0);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        config.vm[0].nvram_max = 0;
}

static void cleanup(void)
{
        world_unmount(&m);
        free(world.memory);
}

static struct pool_ref attach(const char *name, enum pool_access access)
{
        struct pool_ref ref = pool_ref(pool_find(&m.pool, name));

        CHECK_EQ(pool_attach(&m.pool, &ref, pool_region_owner(ref.region), access), 0);
        return ref;
}

static void test_create_and_list(void)
{
        setup();
        expect("nv create scratch 4M", 0, "created scratch, 4 MiB, 1 extents\n");
        expect("nv create db-data 6M db", 0, "created db-data, 6 MiB, 1 extents\n");
        expect_part("nv list",
                    "scratch                    4 MiB  -             live     -               "
                    "1     1\n");
        expect_part("nv list", "db-data                    6 MiB  db            live");
        expect_part("nv list", "pool of 2 ranges: 32 MiB, 10 MiB used by 2 regions, 0 B to be "
                               "scrubbed, 0 B bad, 18 MiB free\n");
        CHECK(!strstr(sink.text, "UUID"));
        expect_part("nv list -v", "UUID                                  VOLATILE\n");
        expect_json("nv list", 0, "{\"name\": \"db-data\", \"size\": 6291456, \"owner\": \"db\"");
        expect_json("nv list", 0, "\"total\": 33554432, \"metadata\": 4194304, \"used\": 10485760");
        expect_json("nv create more 2M", 0, "[{\"name\": \"more\", \"size\": 2097152");
        cleanup();
}

static void test_create_errors(void)
{
        setup();
        expect("nv create a 3M", -EINVAL, "error: 3M is not a positive multiple of 2 MiB\n");
        expect("nv create a 0", -EINVAL, "error: 0 is not a positive multiple of 2 MiB\n");
        expect("nv create a lots", -EINVAL,
               "error: lots: a number with an optional suffix K, M, G or T is expected\n");
        expect(
            "nv create a/b 2M", -EINVAL,
            "error: region \"a/b\": a name of 1 to 31 characters A-Z a-z 0-9 . _ - is expected\n");
        expect("nv create a12345678901234567890123456789012 2M", -EINVAL, NULL);
        expect("nv create a 2M v:m", -EINVAL,
               "error: VM \"v:m\": a name of 1 to 31 characters A-Z a-z 0-9 . _ - is expected\n");
        expect("nv create a 1G", -ENOSPC, "error: region a: no room for 1 GiB: 28 MiB are free\n");
        expect("nv create a 2M", 0, NULL);
        expect("nv create a 2M", -EEXIST, "error: a region named a is there already\n");
        m.pool.empty = 0; /* as in a full catalogue */
        expect("nv create b 2M", -ENOSPC,
               "error: region b: 26 MiB are free, but in too many pieces, or the catalogue has no "
               "room for one more region: delete a region\n");
        expect_json("nv create b 3M", -EINVAL, "{\"error\": \"3M is not a positive");
        cleanup();
}

static void test_show(void)
{
        struct pool_extent extent;
        struct pool_ref ref;
        char text[100];

        setup();
        expect("nv show a", -ENOENT, "error: no region is named a: `list` shows all\n");
        expect("nv create a 18M db", 0, "created a, 18 MiB, 2 extents\n");
        expect("nv grant a web ro", 0, "granted a to VM web: ro\n");
        expect_part("nv show a", "size        18 MiB\n");
        expect_part("nv show a", "\nGRANTED TO                       ACCESS\nweb      ");
        extent = pool_region_extent(&m.pool, pool_find(&m.pool, "a"), 1);
        snprintf(text, sizeof text, "      0xe00000  %#14llx       4 MiB\n", (ull)extent.hpa.v);
        expect_part("nv show a", text);
        snprintf(text, sizeof text, "{\"offset\": 14680064, \"hpa\": %llu, \"size\": 4194304}]",
                 (ull)extent.hpa.v);
        expect_json("nv show a", 0, text);
        ref = attach("a", POOL_READ_WRITE);
        expect_part("nv show a", "writer      yes\n");
        pool_detach(&ref, POOL_READ_WRITE);
        ref = attach("a", POOL_READ_ONLY);
        expect_part("nv list", "1 ro");
        pool_detach(&ref, POOL_READ_ONLY);
        expect_json("nv show b", -ENOENT, "{\"error\": ");
        cleanup();
}

static void test_grow_and_shrink(void)
{
        setup();
        expect("nv create a 4M", 0, NULL);
        expect("nv grow a 6M", 0, "grew a, 6 MiB, 1 extents\n");
        expect("nv grow a +2M", 0, "grew a, 8 MiB, 1 extents\n");
        expect("nv grow a 8M", -EINVAL,
               "error: region a has 8 MiB already: a larger size is expected\n");
        expect("nv grow a +3M", -EINVAL, "error: 3M is not a positive multiple of 2 MiB\n");
        expect("nv grow a 1T", -ENOSPC,
               "error: region a: no room for 1048568 MiB: 20 MiB are free\n");
        expect("nv grow b 4M", -ENOENT, NULL);
        expect("nv shrink a 2M", -EPERM, NULL);
        expect("nv shrink a 6M -y", 0, "shrank a, 6 MiB, 1 extents\n");
        expect("nv shrink a -2M -y", 0, "shrank a, 4 MiB, 1 extents\n");
        expect("nv shrink a -4M -y", -EINVAL,
               "error: region a has 4 MiB: it cannot change by -4M\n");
        expect("nv shrink a 4M -y", -EINVAL,
               "error: region a has only 4 MiB: a smaller size is expected\n");
        expect("nv shrink b 2M -y", -ENOENT, NULL);
        expect_part("nv show a", "to scrub    4 MiB\n");
        expect_part("nv show a", "volatile    no\n");
        expect_json("nv grow a +2M", 0, "\"size\": 6291456");
        expect_json("nv shrink a 2M -y", 0, "\"size\": 2097152");
        cleanup();
}

static void test_rename_clone_delete(void)
{
        setup();
        expect("nv create a 2M db", 0, NULL);
        expect("nv create b 2M", 0, NULL);
        expect("nv rename a b", -EEXIST, "error: a region named b is there already\n");
        expect("nv rename a \"\"", -EINVAL, NULL);
        expect("nv rename x y", -ENOENT, NULL);
        expect("nv rename a c", 0, "renamed to c, 2 MiB, 1 extents\n");
        expect("nv clone c d", 0, "cloned to d, 2 MiB, 1 extents\n");
        CHECK(!strcmp(pool_region_owner(pool_find(&m.pool, "d")), "db"));
        expect("nv clone c e web", 0, NULL);
        CHECK(!strcmp(pool_region_owner(pool_find(&m.pool, "e")), "web"));
        expect("nv clone c b", -EEXIST, "error: a region named b is there already\n");
        expect("nv clone c f f/f", -EINVAL, NULL);
        expect("nv clone x f", -ENOENT, NULL);
        expect("nv create big 20M", 0, NULL);
        expect("nv clone c f", -ENOSPC, "error: region f: no room for 2 MiB: 0 B are free\n");
        expect("nv delete c", -EPERM, NULL);
        expect("nv delete c -y", 0, "deleted c, 2 MiB, 1 extents\n");
        expect("nv delete c -y", -ENOENT, NULL);
        expect_json("nv clone e g", 0, "\"name\": \"g\"");
        expect_json("nv rename g h", 0, "\"name\": \"h\"");
        expect_json("nv delete h -y", 0, "\"name\": \"h\"");
        cleanup();
}

static void test_grant(void)
{
        char line[64];

        setup();
        expect("nv create a 2M db", 0, NULL);
        expect("nv grant a db ro", -EINVAL, "error: VM db owns region a and needs no grant\n");
        expect("nv grant a web write", -EINVAL, "error: write is no access: ro, rw or none\n");
        expect("nv grant a w/b ro", -EINVAL, NULL);
        expect("nv grant x web ro", -ENOENT, NULL);
        expect("nv grant a web none", -ENOENT,
               "error: region a: VM web has no grant that could be taken back\n");
        for (unsigned i = 0; i < POOL_GRANTS_MAX; i++) {
                snprintf(line, sizeof line, "nv grant a vm%u rw", i);
                expect(line, 0, NULL);
        }
        expect("nv grant a web ro", -ENOSPC,
               "error: region a: 8 VMs have a grant, the most: take one back (none)\n");
        expect("nv grant a vm3 none", 0, "granted a to VM vm3: none\n");
        expect_json("nv grant a web ro", 0, "\"name\": \"a\"");
        cleanup();
}

static void test_busy(void)
{
        static const char *const lines[] = {"nv grow a 4M", "nv shrink a 2M -y", "nv rename a b",
                                            "nv delete a -y"};
        struct pool_region *region;
        struct pool_ref ref;

        setup();
        expect("nv create a 4M db", 0, NULL);
        ref = attach("a", POOL_READ_WRITE);
        for (size_t i = 1; i < ARRAY_LEN(lines); i++)
                expect(lines[i], -EBUSY,
                       "error: region a is attached read-write: stop its VM first\n");
        expect("nv clone a b", -EBUSY,
               "error: region a is attached read-write: stop its VM first\n");
        pool_detach(&ref, POOL_READ_WRITE);
        ref = attach("a", POOL_READ_ONLY);
        for (size_t i = 1; i < ARRAY_LEN(lines); i++)
                expect(lines[i], -EBUSY,
                       "error: region a is attached read-only by 1: stop these VMs first\n");
        expect("nv clone a b", 0, NULL);
        pool_detach(&ref, POOL_READ_ONLY);
        CHECK_EQ(pool_begin(&m.pool, "new", "", 4 * MiB, 9, &region), 0);
        expect("nv grow new 6M", -EBUSY,
               "error: region new is still being filled: wait for it, or delete it\n");
        expect("nv clone new c", -EBUSY, NULL);
        expect("nv grant new web ro", -EBUSY, NULL);
        expect_part("nv list", "filling");
        expect("nv delete new -y", 0, NULL);
        cleanup();
}

static void test_quota(void)
{
        setup();
        config.vm_count = 1;
        strcpy(config.vm[0].name, "db");
        config.vm[0].nvram_max = 8 * MiB;
        expect("nv create a 4M db", 0, NULL);
        expect("nv create b 6M db", -EPERM,
               "error: VM db has 4 MiB of NVRAM and a quota of 8 MiB: 6 MiB more are above it\n");
        expect("nv grow a +6M", -EPERM,
               "error: VM db has 4 MiB of NVRAM and a quota of 8 MiB: 6 MiB more are above it\n");
        expect("nv grow a +2M", 0, NULL);
        expect("nv clone a b", -EPERM,
               "error: VM db has 6 MiB of NVRAM and a quota of 8 MiB: 6 MiB more are above it\n");
        expect("nv clone a b web", 0, NULL);
        expect("nv create c 8M", 0, NULL);
        expect("nv create d 2M db", 0, NULL);
        config.vm[0].nvram_max = 2 * MiB; /* less than it has */
        expect("nv create e 2M db", -EPERM, NULL);
        target.config = NULL;
        expect("nv create e 2M db", 0, NULL);
        target.config = &config;
        cleanup();
}

static void test_check(void)
{
        uint8_t *slot1;

        setup();
        slot1 = world.memory + POOL_CATALOGUE + POOL_SLOT_SIZE;
        expect_part("nv check", "all is well\n");
        expect_json("nv check", 0, "\"half\": 0, \"broken\": 0, \"mended\": 0");
        expect("nv check now", -EINVAL, "error: now: only mend is expected here\n");
        slot1[100] ^= 1;
        slot1[40] ^= 1;
        expect("nv check", -EBADMSG, NULL);
        CHECK(strstr(sink.text, "error: 1 objects have one damaged copy: nothing is lost, `check "
                                "mend` rewrites it\n"));
        expect_json("nv check", -EBADMSG, "\"half\": 1");
        expect_json("nv check mend", 0, "\"mended\": 1");
        expect_part("nv check", "all is well\n");
        expect("nv create a 2M", 0, NULL);
        expect("nv scrub wait", 0, NULL);
        world.memory[16 * MiB - 1] = 1;
        expect_part("nv check", "all is well\n");
        expect("nv check -v", -EBADMSG, NULL);
        CHECK(strstr(sink.text, "error: 1 free granules do not read as zero: a new region could "
                                "show old data\n"));
        slot1[40] ^= 1;
        slot1[40 + 480 * POOL_SLOT_SIZE] ^= 1;
        expect("nv check mend", -EBADMSG, NULL);
        CHECK(strstr(sink.text, "error: 1 objects have no copy that can be believed: export the "
                                "intact regions, then repair the pool off-line\n"));
        cleanup();
}

static void test_damaged_record(void)
{
        struct pool_region *region;
        uint8_t *record;

        setup();
        expect("nv create a 2M", 0, NULL);
        region = pool_find(&m.pool, "a");
        record = (uint8_t *)(uintptr_t)region->record;
        record[200] ^= 1;
        record[200 + 480 * POOL_SLOT_SIZE] ^= 1;
        expect("nv grow a 4M", -EBADMSG,
               "error: no region with an intact record is named a: export the regions that `list` "
               "shows, then repair the pool off-line\n");
        expect_json("nv delete a -y", -EBADMSG, "{\"error\"");
        cleanup();
}

static void test_bad(void)
{
        char line[64], text[160];
        ull at;

        setup();
        expect("nv bad", 0, "       GRANULE  REGION\n");
        expect("nv create a 2M", 0, NULL);
        at = pool_region_extent(&m.pool, pool_find(&m.pool, "a"), 0).hpa.v;
        expect("nv bad here", -EINVAL,
               "error: here: a number with an optional suffix K, M, G or T is expected\n");
        expect("nv bad 0x1000", -ENOENT, "error: 0x1000 is not in a range of the pool\n");
        expect("nv bad 0x140000000", -ENOTSUP,
               "error: 0x140000000 holds the pool's metadata, which cannot do without it\n");
        snprintf(line, sizeof line, "nv bad %llu", at + 64);
        snprintf(text, sizeof text,
                 "granule 0x%llx leaves with region a, which holds it: clone the region (the "
                 "copy is zero there), then delete it\n",
                 at);
        expect(line, 0, text);
        expect("nv bad 0x140dfffff", 0, "granule 0x140c00000 is out of use\n");
        expect("nv bad 0x140c00000", -EEXIST,
               "error: 0x140c00000: this granule is on the list of bad ones already\n");
        snprintf(text, sizeof text, "       GRANULE  REGION\n   0x%llx  a\n   0x140c00000  -\n",
                 at);
        expect("nv bad", 0, text);
        expect_part("nv show a", "bad         1\n");
        expect_part("nv show a", "1 bad granules of 2 MiB, at:\n    BAD OFFSET\n");
        expect_part("nv clone a copy", "1 bad granules of 2 MiB were not read; the copy is zero "
                                       "there, at:\n    BAD OFFSET\n           0x0\n");
        CHECK_EQ(pool_delete(&m.pool, pool_find(&m.pool, "copy")), 0);
        snprintf(text, sizeof text, "{\"granule\": %llu, \"region\": \"a\"}", at);
        expect_json("nv bad", 0, text);
        expect_json("nv bad 0x240400000", 0, "\"region\": \"-\"}");
        cleanup();
        setup();
        m.pool.empty = 0;
        expect("nv bad 0x140200000", -ENOSPC,
               "error: 0x140200000: the list of bad granules is full\n");
        cleanup();
}

static void test_scrub(void)
{
        setup();
        expect("nv scrub", 0, "28 MiB of 28 MiB left to scrub\n");
        expect_json("nv scrub", 0, "[{\"left\": 29360128, \"total\": 29360128}]");
        expect("nv scrub now", -EINVAL, "error: now: only wait is expected here\n");
        expect("nv scrub wait", 0, "nothing left to scrub\n");
        expect_json("nv scrub wait", 0, "[{\"left\": 0, \"total\": 0}]");
        cleanup();
}

/* What each verb says when nothing may be changed, or there is no pool. */
static void test_read_only_and_unmounted(void)
{
        static const char *const changes[] = {
            "nv create b 2M",    "nv delete a -y",     "nv grow a 6M",
            "nv shrink a 2M -y", "nv rename a b",      "nv clone a b",
            "nv grant a vm ro",  "nv bad 0x140400000", "nv scrub wait",
        };
        static const char *const looks[] = {"nv list", "nv show a", "nv check", "nv bad",
                                            "nv scrub"};

        setup();
        expect("nv create a 4M", 0, NULL);
        m.pool.read_only = true;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++)
                expect(changes[i], -EROFS,
                       "error: the pool is read-only: nothing can be changed\n");
        expect("nv check mend", -EROFS, "error: the pool is read-only: nothing can be mended\n");
        for (size_t i = 0; i < ARRAY_LEN(looks); i++)
                expect(looks[i], 0, NULL);
        m.pool.mounted = false;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++)
                expect(changes[i], -ENODEV, "error: there is no NVRAM pool\n");
        for (size_t i = 0; i < ARRAY_LEN(looks); i++)
                expect_json(looks[i], -ENODEV, "{\"error\": ");
        m.pool.fault = POOL_FAULT_VERSION;
        m.pool.fault_at = HPA(0x1000);
        run("nv list", false);
        CHECK(!strncmp(sink.text, "error: the pool is not mounted: ", 32));
        CHECK(strstr(sink.text, "(at 0x1000): "));
        CHECK(strstr(sink.text, pool_fault_meaning(POOL_FAULT_VERSION)));
        cleanup();
}

/* The pool passed over what it could not read: a check must not call that well. */
static void test_lost_records(void)
{
        setup();
        m.pool.lost = 2;
        m.pool.read_only = true;
        expect("nv check", -EBADMSG, NULL);
        CHECK(strstr(sink.text, "error: 2 records were passed over at the start"));
        cleanup();
}

int main(void)
{
        RUN(test_create_and_list);
        RUN(test_create_errors);
        RUN(test_show);
        RUN(test_grow_and_shrink);
        RUN(test_rename_clone_delete);
        RUN(test_grant);
        RUN(test_busy);
        RUN(test_quota);
        RUN(test_check);
        RUN(test_damaged_record);
        RUN(test_bad);
        RUN(test_scrub);
        RUN(test_read_only_and_unmounted);
        RUN(test_lost_records);
        return unit_done();
}
