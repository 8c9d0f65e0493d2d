/* The rules of the hypervisor's page tables: tables that keep them, and one breach of each. */
#include "boot/hv_check.h"

#include <string.h>

#include "tests/unit/unit.h"

#define START  (2 * MiB)
#define TEXT   (START + 3 * PAGE_4K) /* where it ends */
#define RODATA (TEXT + 2 * PAGE_4K)
#define END    (START + 64 * PAGE_4K)
#define GUARD  (START + 32 * PAGE_4K)
#define RAM    GiB

#define TABLES_MAX 64

static void *frame[TABLES_MAX];
static int frames;
static struct paging tables;
static const uint64_t guard[] = {GUARD, GUARD + 4 * PAGE_4K};
static const struct hv_layout layout = {START, TEXT, RODATA, guard, ARRAY_LEN(guard)};

static const char *told;
static uint64_t told_va;
static int breaches;

static int alloc_table(void *ctx, hpa_t *out)
{
        (void)ctx;
        if (frames == TABLES_MAX)
                return -1;
        frame[frames] = aligned_alloc(PAGE_4K, PAGE_4K);
        *out = HPA((uintptr_t)frame[frames++]);
        return 0;
}

/* All at the end of a test. */
static void free_table(void *ctx, hpa_t table)
{
        (void)ctx;
        (void)table;
}

static void *to_ptr(void *ctx, hpa_t table)
{
        (void)ctx;
        return (void *)table.v;
}

static const struct paging_ops ops = {alloc_table, free_table, to_ptr};

static void map(uint64_t va, uint64_t hpa, uint64_t size, unsigned prot)
{
        CHECK_EQ(paging_map(&tables, va, HPA(hpa), size, prot, PAGING_WB), 0);
}

static void unmap(uint64_t va)
{
        CHECK_EQ(paging_unmap(&tables, va, PAGE_4K), 0);
}

/* Map the same memory there with other rights: in these tables all memory is mapped to itself. */
static void protect(uint64_t va, uint64_t size, unsigned prot)
{
        CHECK_EQ(paging_unmap(&tables, va, size), 0);
        map(va, va, size, prot);
}

/* As the hypervisor makes them. */
static void open_tables(void)
{
        CHECK_EQ(paging_init(&tables, &paging_hv, PAGE_1G, &ops, NULL), 0);
        map(PAGE_4K, PAGE_4K, START - PAGE_4K, PAGING_RW);
        map(START, START, TEXT - START, PAGING_RX);
        map(TEXT, TEXT, RODATA - TEXT, PAGING_R);
        map(RODATA, RODATA, END - RODATA, PAGING_RW);
        map(RAM, RAM, GiB, PAGING_RW);
        unmap(guard[0]);
        unmap(guard[1]);
}

static void close_tables(void)
{
        while (frames)
                free(frame[--frames]);
}

static void report(void *ctx, uint64_t va, const struct paging_leaf *leaf, const char *rule)
{
        CHECK(ctx == &tables);
        CHECK(leaf->size >= PAGE_4K);
        told = rule;
        told_va = va;
        breaches++;
}

static uint64_t judge(void)
{
        told = "";
        breaches = 0;
        return hv_check_tables(&tables, &layout, report, &tables);
}

static void expect(const char *rule, uint64_t va)
{
        judge();
        CHECK_EQ(breaches, 1);
        CHECK(strstr(told, rule) != NULL);
        CHECK_EQ(told_va, va);
        close_tables();
        open_tables();
}

static void test_good_tables(void)
{
        open_tables();
        /* the first 2 MiB but NULL, the image but the guards, 1 GiB as one page */
        CHECK_EQ(judge(), 511 + 64 - 2 + 1);
        CHECK_EQ(breaches, 0);
        close_tables();
}

static void test_writable_and_executable(void)
{
        open_tables();
        protect(START + PAGE_4K, PAGE_4K, PAGING_RWX);
        expect("both writable and executable", START + PAGE_4K);
        protect(RAM, GiB, PAGING_RWX);
        expect("both writable and executable", RAM);
        close_tables();
}

static void test_executable_elsewhere(void)
{
        open_tables();
        protect(TEXT, PAGE_4K, PAGING_RX);
        expect("not the hypervisor's code", TEXT);
        protect(START - PAGE_4K, PAGE_4K, PAGING_RX);
        expect("not the hypervisor's code", START - PAGE_4K);
        close_tables();
}

static void test_writable_image(void)
{
        open_tables();
        protect(START, PAGE_4K, PAGING_RW);
        expect("code or constants, writable", START);
        protect(RODATA - PAGE_4K, PAGE_4K, PAGING_RW);
        expect("code or constants, writable", RODATA - PAGE_4K);
        close_tables();
}

/* A second address for code: writable, a large page over it, executable, and even read-only. */
static void test_aliases(void)
{
        open_tables();
        map(4 * GiB, START + PAGE_4K, PAGE_4K, PAGING_RW);
        expect("code or constants, writable", 4 * GiB);
        map(4 * GiB, START, PAGE_2M, PAGING_RW);
        expect("code or constants, writable", 4 * GiB);
        map(4 * GiB, START, PAGE_4K, PAGING_RX);
        expect("not its own", 4 * GiB);
        map(4 * GiB, TEXT, PAGE_4K, PAGING_R);
        expect("not its own", 4 * GiB);
        map(4 * GiB, RAM, PAGE_2M, PAGING_RW);
        expect("not its own", 4 * GiB);
        close_tables();
}

static void test_null_and_guards(void)
{
        open_tables();
        map(0, 0, PAGE_4K, PAGING_RW);
        expect("mapped at NULL", 0);
        for (size_t i = 0; i < ARRAY_LEN(guard); i++) {
                map(guard[i], guard[i], PAGE_4K, PAGING_RW);
                expect("guard page, mapped", guard[i]);
                map(guard[i], guard[i], PAGE_4K, PAGING_R);
                expect("guard page, mapped", guard[i]);
        }
        close_tables();
}

int main(void)
{
        RUN(test_good_tables);
        RUN(test_writable_and_executable);
        RUN(test_executable_elsewhere);
        RUN(test_writable_image);
        RUN(test_aliases);
        RUN(test_null_and_guards);
        return unit_done();
}
