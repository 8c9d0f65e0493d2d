/*
 * Mutants of the pool: for every call of pm_flush and pm_fence in mm/pool/, the pool without it
 * must lose or mix up something in some crash image. Calls are told apart by their return
 * addresses, and counted in the sources, so that none is missed.
 */
#include <glob.h>
#include <string.h>

#include "tests/unit/disk_cut.h"

#define POWER 6u

/* Run everything until something goes wrong; returns how much did. */
static uint64_t run_all(bool to_the_end)
{
        uint64_t wrong = 0;

        for (size_t i = 0; i < cut_mount_count && (to_the_end || !wrong); i++)
                wrong += cut_run_mount(&cut_mounts[i], POWER, 1, 0).wrong;
        for (size_t i = 0; i < cut_disk_count && (to_the_end || !wrong); i++)
                wrong += cut_run_disk(i, i % 2, POWER, 1, 0, NULL).wrong;
        for (size_t i = cut_scene_count; i-- > 0 && (to_the_end || !wrong);)
                for (size_t op = 0; op < cut_op_count && (to_the_end || !wrong); op++)
                        wrong += cut_run(&cut_scenes[i], &cut_ops[op], POWER, 1, 0).wrong;
        return wrong;
}

/* Calls in a source file; a declaration or definition does not count. */
static size_t count_calls(const char *path)
{
        FILE *file = fopen(path, "r");
        char line[256];
        size_t n = 0;

        CHECK(file != NULL);
        while (file && fgets(line, sizeof line, file))
                n += strstr(line, " pm_flush(") || strstr(line, " pm_fence(");
        if (file)
                fclose(file);
        return n;
}

static size_t count_all_calls(void)
{
        glob_t files;
        size_t n = 0;

        CHECK_EQ(glob("mm/pool/pool*.c", 0, NULL, &files), 0);
        for (size_t i = 0; i < files.gl_pathc; i++)
                n += count_calls(files.gl_pathv[i]);
        globfree(&files);
        return n;
}

static void test_mutants(void)
{
        const void *const *site;
        size_t count, killed = 0;

        CHECK_EQ(run_all(true), 0);
        count = pm_model_sites(&site);
        CHECK_EQ(count, count_all_calls());
        for (size_t i = 0; i < count; i++) {
                uint64_t wrong;

                pm_model_skip_site(site[i]);
                wrong = run_all(false);
                killed += wrong != 0;
                if (!wrong)
                        printf("# survived: the call before %p\n", site[i]);
        }
        pm_model_skip_site(NULL);
        printf("# total: %zu of %zu mutants killed (%zu %%)\n", killed, count,
               count ? 100 * killed / count : 0);
        CHECK_EQ(killed, count);
}

int main(void)
{
        RUN(test_mutants);
        return unit_done();
}
