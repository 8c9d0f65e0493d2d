/*
 * Page tables of every format against a plain array of pages, with table allocations that fail;
 * the exact bits of entries; and the walk through a guest's own tables.
 */
#include "mm/paging/paging.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "mm/dram/dram.h"
#include "tests/unit/unit.h"

/* The addresses tested: 3 GiB around a border of the root's entries. */
#define BASE  (512 * GiB - GiB)
#define PAGES (3 * GiB / PAGE_4K)

struct page {
        uint64_t hpa; /* 0: not mapped */
        uint8_t prot;
        uint8_t memtype;
};

static struct page model[PAGES];
static struct paging paging;
static int tables_live;
static int tables_until_failure = -1; /* -1: never */

static int alloc_table(void *ctx, hpa_t *out)
{
        void *table;

        CHECK(ctx == model);
        if (!tables_until_failure)
                return -ENOMEM;
        if (tables_until_failure > 0)
                tables_until_failure--;
        table = aligned_alloc(PAGE_4K, PAGE_4K);
        memset(table, 0xa5, PAGE_4K);
        *out = HPA((uintptr_t)table);
        tables_live++;
        return 0;
}

static void free_table(void *ctx, hpa_t table)
{
        CHECK(ctx == model);
        free((void *)table.v);
        tables_live--;
}

static void *to_ptr(void *ctx, hpa_t table)
{
        CHECK(ctx == model);
        return (void *)table.v;
}

static const struct paging_ops ops = {alloc_table, free_table, to_ptr};

static void open_tables(const struct paging_format *fmt, uint64_t max_page)
{
        memset(model, 0, sizeof model);
        CHECK_EQ(paging_init(&paging, fmt, max_page, &ops, model), 0);
        CHECK_EQ(tables_live, 1);
}

static void close_tables(void)
{
        paging_destroy(&paging);
        CHECK_EQ(tables_live, 0);
}

/* Every page translates as the model says, no page is larger than allowed, the sums are right. */
static void check_equals_model(void)
{
        uint64_t bytes[PAGING_SIZES], seen[PAGING_SIZES] = {0};
        struct paging_leaf leaf;
        uint64_t wrong = 0;

        for (uint64_t i = 0; i < PAGES; i++) {
                const struct page *m = &model[i];
                uint64_t va = BASE + i * PAGE_4K;
                int err = paging_walk(&paging, va + 0x123, &leaf);

                if (err) {
                        wrong += err != -ENOENT || m->hpa;
                        continue;
                }
                wrong += leaf.hpa.v != m->hpa + 0x123 || leaf.prot != m->prot ||
                         leaf.memtype != m->memtype || leaf.size > paging.max_page;
                seen[leaf.size == PAGE_4K ? 0 : leaf.size == PAGE_2M ? 1 : 2] += PAGE_4K;
        }
        CHECK_EQ(wrong, 0);
        paging_count_leaves(&paging, bytes);
        CHECK(!memcmp(bytes, seen, sizeof bytes));
}

struct request {
        uint64_t page, pages; /* in the model */
        uint64_t hpa;
        unsigned prot;
        enum paging_memtype memtype;
};

static struct request random_request(uint64_t *seed)
{
        static const unsigned prots[] = {PAGING_R, PAGING_RW, PAGING_RX, PAGING_RWX};
        static const uint64_t units[] = {1, 1, 512, 512, 512 * 512};
        uint64_t unit = units[unit_random(seed) % ARRAY_LEN(units)];
        struct request r;

        r.page = unit_random(seed) % (PAGES / unit) * unit;
        r.pages = (1 + unit_random(seed) % 6) * unit;
        if (r.pages > PAGES - r.page)
                r.pages = PAGES - r.page;
        /* Mostly aligned like va, so that large pages are possible. */
        r.hpa = TiB + (unit_random(seed) % 8 ? r.page * PAGE_4K + unit_random(seed) % 4 * GiB
                                             : unit_random(seed) % PAGES * PAGE_4K);
        r.prot = prots[unit_random(seed) % ARRAY_LEN(prots)];
        r.memtype = unit_random(seed) % PAGING_MEMTYPES;
        return r;
}

static uint64_t model_mapped(const struct request *r)
{
        uint64_t n = 0;

        for (uint64_t i = r->page; i < r->page + r->pages; i++)
                n += model[i].hpa != 0;
        return n;
}

static void do_map(const struct request *r)
{
        int before = tables_live;
        int err = paging_map(&paging, BASE + r->page * PAGE_4K, HPA(r->hpa), r->pages * PAGE_4K,
                             r->prot, r->memtype);

        CHECK_EQ(err == -EEXIST, model_mapped(r) > 0);
        if (err) {
                CHECK_EQ(tables_live, before);
                CHECK(err == -EEXIST || (err == -ENOMEM && tables_until_failure == 0));
                return;
        }
        for (uint64_t i = 0; i < r->pages; i++)
                model[r->page + i] =
                    (struct page){r->hpa + i * PAGE_4K, (uint8_t)r->prot, (uint8_t)r->memtype};
}

static void do_unmap(const struct request *r)
{
        int err = paging_unmap(&paging, BASE + r->page * PAGE_4K, r->pages * PAGE_4K);

        if (err)
                CHECK(err == -ENOMEM && tables_until_failure == 0);
        else
                memset(&model[r->page], 0, r->pages * sizeof model[0]);
}

/* Of a page of 2 MiB or more, the 2 MiB around the address change, in pages of 4 KiB. */
static void do_protect_small(const struct request *r)
{
        uint64_t va = BASE + r->page * PAGE_4K, first = r->page, count = 1;
        struct paging_leaf leaf;
        bool mapped = !paging_walk(&paging, va, &leaf);
        int err = paging_protect_small(&paging, va, r->prot);

        CHECK_EQ(err == -ENOENT, !mapped);
        if (err) {
                CHECK(err == -ENOENT || (err == -ENOMEM && tables_until_failure == 0));
                return;
        }
        if (leaf.size > PAGE_4K) {
                first = r->page / 512 * 512;
                count = 512;
        }
        for (uint64_t i = first; i < first + count; i++)
                model[i].prot = (uint8_t)r->prot;
        CHECK_EQ(paging_walk(&paging, va, &leaf), 0);
        CHECK_EQ(leaf.size, PAGE_4K);
}

static void random_run(const struct paging_format *fmt, uint64_t max_page, uint64_t *seed)
{
        open_tables(fmt, max_page);
        for (int i = 0; i < 500; i++) {
                struct request r = random_request(seed);
                uint64_t dice = unit_random(seed) % 10;

                tables_until_failure = unit_random(seed) % 4 ? -1 : (int)(unit_random(seed) % 4);
                if (dice < 4)
                        do_map(&r);
                else if (dice < 6)
                        do_unmap(&r);
                else
                        do_protect_small(&r);
                tables_until_failure = -1;
                if (i % 125 == 124)
                        check_equals_model();
        }
        CHECK_EQ(paging_unmap(&paging, BASE, PAGES * PAGE_4K), 0);
        CHECK_EQ(tables_live, 1);
        close_tables();
}

static void test_random_operations(void)
{
        static const struct paging_format *const formats[] = {&paging_hv, &paging_ept, &paging_npt};
        static const uint64_t sizes[] = {PAGE_4K, PAGE_2M, PAGE_1G};
        uint64_t seed = unit_seed();

        for (size_t f = 0; f < ARRAY_LEN(formats); f++)
                for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
                        random_run(formats[f], sizes[s], &seed);
}

#define SPLITS 200u

static uint64_t splitting; /* the address whose page is being split */

/* While pages are split, each address translates as before at any moment. */
static void *walk_meanwhile(void *wrong)
{
        struct paging_leaf leaf;

        for (uint64_t va; (va = __atomic_load_n(&splitting, __ATOMIC_ACQUIRE)) < GiB;)
                for (unsigned i = 0; i < 16; i++)
                        if (paging_walk(&paging, va, &leaf) || leaf.hpa.v != TiB + va)
                                *(unsigned *)wrong += 1;
        return NULL;
}

static void test_walk_while_pages_split(void)
{
        unsigned wrong = 0;

        for (unsigned round = 0; round < SPLITS; round++) {
                pthread_t other;

                open_tables(&paging_ept, PAGE_2M);
                CHECK_EQ(paging_map(&paging, 0, HPA(TiB), GiB, PAGING_RW, PAGING_WB), 0);
                __atomic_store_n(&splitting, 0, __ATOMIC_RELEASE);
                CHECK_EQ(pthread_create(&other, NULL, walk_meanwhile, &wrong), 0);
                for (uint64_t va = 0; va < GiB; va += PAGE_2M) {
                        __atomic_store_n(&splitting, va, __ATOMIC_RELEASE);
                        CHECK_EQ(paging_protect_small(&paging, va, PAGING_RWX), 0);
                }
                __atomic_store_n(&splitting, GiB, __ATOMIC_RELEASE);
                CHECK_EQ(pthread_join(other, NULL), 0);
                close_tables();
        }
        CHECK_EQ(wrong, 0);
}

static void check_sizes(uint64_t small, uint64_t medium, uint64_t large)
{
        uint64_t bytes[PAGING_SIZES];

        paging_count_leaves(&paging, bytes);
        CHECK_EQ(bytes[0], small);
        CHECK_EQ(bytes[1], medium);
        CHECK_EQ(bytes[2], large);
}

static void test_largest_pages(void)
{
        open_tables(&paging_ept, PAGE_1G);
        CHECK_EQ(paging_map(&paging, GiB - 2 * MiB - 8 * KiB, HPA(9 * GiB - 2 * MiB - 8 * KiB),
                            2 * GiB + 4 * MiB + 16 * KiB, PAGING_RWX, PAGING_WB),
                 0);
        check_sizes(16 * KiB, 4 * MiB, 2 * GiB);
        /* One page less in a 1 GiB leaf: 511 of 2 MiB and 511 of 4 KiB remain of it. */
        CHECK_EQ(paging_unmap(&paging, GiB + 5 * MiB, PAGE_4K), 0);
        check_sizes(16 * KiB + 511 * PAGE_4K, 4 * MiB + 511 * PAGE_2M, GiB);
        CHECK_EQ(paging_unmap(&paging, 2 * GiB + 2 * MiB, PAGE_2M), 0);
        CHECK_EQ(paging_map(&paging, 2 * GiB + 2 * MiB, HPA(2 * MiB), PAGE_2M, PAGING_R, PAGING_WB),
                 0);
        check_sizes(16 * KiB + 511 * PAGE_4K, 4 * MiB + 1023 * PAGE_2M, 0);
        /* Small ones where one address asks for it. */
        CHECK_EQ(paging_protect_small(&paging, GiB + 6 * MiB + PAGE_4K, PAGING_R), 0);
        check_sizes(16 * KiB + 1023 * PAGE_4K, 4 * MiB + 1022 * PAGE_2M, 0);
        close_tables();
        open_tables(&paging_ept, PAGE_2M);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), GiB, PAGING_RWX, PAGING_WB), 0);
        check_sizes(0, GiB, 0);
        CHECK_EQ(tables_live, 3);
        close_tables();
}

static void test_refusals(void)
{
        struct paging bad;
        struct paging_leaf leaf;

        CHECK_EQ(paging_init(&bad, &paging_ept, MiB, &ops, model), -EINVAL);
        tables_until_failure = 0;
        CHECK_EQ(paging_init(&bad, &paging_ept, PAGE_4K, &ops, model), -ENOMEM);
        tables_until_failure = -1;
        open_tables(&paging_hv, PAGE_1G);
        CHECK_EQ(paging_map(&paging, 1, HPA(0), PAGE_4K, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(1), PAGE_4K, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), 0, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), 1, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), PAGE_4K, 0, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), PAGE_4K, PAGING_W, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(0), PAGE_4K, 8, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, 0, HPA(1ull << 52), PAGE_4K, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(
            paging_map(&paging, 0, HPA((1ull << 52) - PAGE_4K), 2 * PAGE_4K, PAGING_R, PAGING_WB),
            -EINVAL);
        CHECK_EQ(paging_map(&paging, 1ull << 47, HPA(0), PAGE_4K, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_map(&paging, PAGE_4K, HPA(0), 1ull << 47, PAGING_R, PAGING_WB), -EINVAL);
        CHECK_EQ(paging_unmap(&paging, 1ull << 47, PAGE_4K), -EINVAL);
        CHECK_EQ(paging_protect_small(&paging, 1ull << 47, PAGING_R), -EINVAL);
        CHECK_EQ(paging_protect_small(&paging, 0, PAGING_X), -EINVAL);
        CHECK_EQ(paging_protect_small(&paging, 0, PAGING_R), -ENOENT);
        CHECK_EQ(paging_walk(&paging, 1ull << 47, &leaf), -ENOENT);
        CHECK_EQ(tables_live, 1);
        /* The last page there is. */
        CHECK_EQ(paging_map(&paging, (1ull << 47) - PAGE_1G, HPA((1ull << 52) - PAGE_1G), PAGE_1G,
                            PAGING_R, PAGING_WB),
                 0);
        CHECK_EQ(paging_unmap(&paging, (1ull << 47) - PAGE_4K, PAGE_4K), 0);
        CHECK_EQ(paging_walk(&paging, (1ull << 47) - PAGE_4K - 1, &leaf), 0);
        CHECK_EQ(leaf.hpa.v, (1ull << 52) - PAGE_4K - 1);
        close_tables();
}

/* The entry of va in the table of a level, read by hand. */
static uint64_t raw_entry(uint64_t va, unsigned level)
{
        uint64_t table = paging.root.v;

        for (unsigned l = 3; l > level; l--)
                table = ((uint64_t *)table)[va >> (12 + 9 * l) & 511] & 0x000ffffffffff000ull;
        return ((uint64_t *)table)[va >> (12 + 9 * level) & 511];
}

static void check_bits(const struct paging_format *fmt, uint64_t table, uint64_t rwx_wb,
                       uint64_t r_uc, uint64_t rw_large)
{
        open_tables(fmt, PAGE_1G);
        CHECK_EQ(paging_map(&paging, 0, HPA(0x1234567000), PAGE_4K, PAGING_RWX, PAGING_WB), 0);
        CHECK_EQ(paging_map(&paging, PAGE_4K, HPA(0x1000), PAGE_4K, PAGING_R, PAGING_UC), 0);
        CHECK_EQ(paging_map(&paging, PAGE_2M, HPA(PAGE_2M), PAGE_2M, PAGING_RW, PAGING_WB), 0);
        CHECK_EQ(paging_map(&paging, PAGE_1G, HPA(PAGE_1G), PAGE_1G, PAGING_RW, PAGING_WB), 0);
        CHECK_EQ(raw_entry(0, 3) & ~0x000ffffffffff000ull, table);
        CHECK_EQ(raw_entry(0, 2) & ~0x000ffffffffff000ull, table);
        CHECK_EQ(raw_entry(0, 1) & ~0x000ffffffffff000ull, table);
        CHECK_EQ(raw_entry(0, 0), 0x1234567000 | rwx_wb);
        CHECK_EQ(raw_entry(PAGE_4K, 0), 0x1000 | r_uc);
        CHECK_EQ(raw_entry(PAGE_2M, 1), PAGE_2M | rw_large);
        CHECK_EQ(raw_entry(PAGE_1G, 2), PAGE_1G | rw_large);
        /* Split: the bit of large pages stays in 2 MiB leaves and means PAT in smaller ones. */
        CHECK_EQ(paging_unmap(&paging, PAGE_1G, PAGE_4K), 0);
        CHECK_EQ(raw_entry(PAGE_1G + PAGE_2M, 1), (PAGE_1G + PAGE_2M) | rw_large);
        CHECK_EQ(raw_entry(PAGE_1G + PAGE_4K, 0), (PAGE_1G + PAGE_4K) | (rw_large & ~0x80ull));
        close_tables();
}

/* Numbers from the manuals, not from the source. */
static void test_bits_of_entries(void)
{
        check_bits(&paging_hv, 0x23, 0x63, 0x8000000000000079, 0x80000000000000e3);
        check_bits(&paging_hv_no_nx, 0x23, 0x63, 0x79, 0xe3);
        check_bits(&paging_npt, 0x27, 0x67, 0x800000000000007d, 0x80000000000000e7);
        check_bits(&paging_ept, 0x107, 0x377, 0x301, 0x3f3);
}

static char arena[16 * MiB] __attribute__((aligned(2 * MiB)));

static void *arena_ptr(hpa_t hpa)
{
        return arena + hpa.v;
}

static void test_tables_from_dram(void)
{
        static struct dram dram;
        struct paging p;
        uint64_t free_bytes;

        dram_init(&dram, arena_ptr);
        CHECK_EQ(dram_add_range(&dram, HPA(0), sizeof arena), 0);
        CHECK_EQ(dram_start(&dram), 0);
        free_bytes = dram_free_bytes(&dram);
        CHECK_EQ(paging_init(&p, &paging_ept, PAGE_2M, &paging_dram_ops, &dram), 0);
        CHECK_EQ(paging_map(&p, 0, HPA(PAGE_4K), 64 * MiB, PAGING_RWX, PAGING_WB), 0);
        CHECK_EQ(dram_free_bytes(&dram), free_bytes - 35 * PAGE_4K);
        paging_destroy(&p);
        CHECK_EQ(dram_free_bytes(&dram), free_bytes);
}

/* ---- A guest's tables. ---- */

#define GUEST_SIZE (64 * KiB)
static uint64_t guest[GUEST_SIZE / 8];

static int read_guest(void *ctx, gpa_t gpa, uint64_t *out)
{
        CHECK(ctx == guest);
        CHECK_EQ(gpa.v % 8, 0);
        if (gpa.v >= GUEST_SIZE)
                return -ERANGE;
        *out = guest[gpa.v / 8];
        return 0;
}

static int read_table(void *ctx, gpa_t gpa, uint64_t *out)
{
        (void)ctx;
        *out = *(uint64_t *)gpa.v;
        return 0;
}

#define PG   (1ull << 31)
#define PAE  (1ull << 5)
#define PSE  (1ull << 4)
#define LA57 (1ull << 12)
#define LMA  (1ull << 10)
#define NXE  (1ull << 11)

/* Tables of the hypervisor's format, walked as a guest's, translate as paging_walk says. */
static void test_guest_walk_equals_walk(void)
{
        uint64_t seed = unit_seed();
        struct paging_guest_regs regs = {.cr0 = PG, .cr4 = PAE, .efer = LMA | NXE};

        open_tables(&paging_hv, PAGE_1G);
        for (int i = 0; i < 200; i++) {
                struct request r = random_request(&seed);

                do_map(&r);
        }
        regs.cr3 = paging.root.v | 0x18 | 1ull << 63;
        for (int i = 0; i < 100000; i++) {
                uint64_t va = BASE + unit_random(&seed) % (PAGES * PAGE_4K);
                struct paging_leaf leaf;
                gpa_t gpa = GPA(0);
                int err = paging_walk(&paging, va, &leaf);

                CHECK_EQ(paging_guest_walk(&regs, va, read_table, NULL, &gpa), err ? -EFAULT : 0);
                if (!err)
                        CHECK_EQ(gpa.v, leaf.hpa.v);
        }
        close_tables();
}

static int64_t walk(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, uint64_t gva)
{
        struct paging_guest_regs regs = {cr0, cr3, cr4, efer};
        gpa_t gpa = GPA(0);
        int err = paging_guest_walk(&regs, gva, read_guest, guest, &gpa);

        return err ? err : (int64_t)gpa.v;
}

static void test_guest_modes(void)
{
        uint32_t *guest32 = (uint32_t *)guest;

        memset(guest, 0, sizeof guest);
        CHECK_EQ(walk(0, 0x1000, 0, 0, 0xfffff123), 0xfffff123);
        CHECK_EQ(walk(0, 0x1000, 0, 0, 0x5fffff123), 0xfffff123);

        /* 32-bit: 4 KiB in an odd and an even entry, 4 MiB with an address over 4 GiB. */
        guest32[0x1000 / 4 + 3] = 0x2000 | 1;
        guest32[0x2000 / 4 + 5] = 0xabcde000 | 1;
        guest32[0x2000 / 4 + 6] = 0x12345000 | 1;
        guest32[0x1000 / 4 + 4] = 0x40000000 | 5u << 13 | 0x81;
        CHECK_EQ(walk(PG, 0x1000, 0, 0, 0x00c05123), 0xabcde123);
        CHECK_EQ(walk(PG, 0x1fff, 0, 0, 0x00c06fff), 0x12345fff);
        CHECK_EQ(walk(PG, 0x1000, 0, 0, 0x00c07000), -EFAULT);
        CHECK_EQ(walk(PG, 0x1000, PSE, 0, 0x01012345), 0x540012345);
        CHECK_EQ(walk(PG, 0x1000, 0, 0, 0x01012345), -EFAULT);

        /* PAE: the root is a quarter of a page; 2 MiB and 4 KiB. */
        guest[0x3060 / 8 + 2] = 0x4000 | 1;
        guest[0x4000 / 8 + 7] = 0x7ffe00000 | 0x81;
        guest[0x4000 / 8 + 8] = 0x5000 | 1;
        guest[0x5000 / 8 + 9] = 1ull << 63 | 0x800000000 | 1;
        CHECK_EQ(walk(PG, 0x3060, PAE, 0, 0x80e54321), 0x7ffe54321);
        CHECK_EQ(walk(PG, 0x3060, PAE, NXE, 0x81009777), 0x800000777);
        CHECK_EQ(walk(PG, 0x3060, PAE, 0, 0x81009777), -EFAULT); /* NX is reserved then */
        CHECK_EQ(walk(PG, 0x3060, PAE, 0, 0xc1009777), -EFAULT);

        /* Four levels: canonical addresses only, the upper half too; five levels are refused. */
        guest[0x6000 / 8 + 511] = 0x7000 | 1;
        guest[0x7000 / 8 + 510] = 0x3c0000000 | 0x81;
        CHECK_EQ(walk(PG, 0x6000, PAE, LMA, 0xffffffff80123456), 0x3c0123456);
        CHECK_EQ(walk(PG, 0x6000, PAE, LMA, 0x0000ffff80123456), -EFAULT);
        CHECK_EQ(walk(PG, 0x6000, PAE | LA57, LMA, 0xffffffff80123456), -ENOTSUP);
        CHECK_EQ(walk(PG, 0x20000, PAE, LMA, 0xffffffff80123456), -EFAULT);
}

/* Bytes come in order over the borders of words and pages, up to the first that is not there. */
static void test_guest_read(void)
{
        const struct paging_guest_regs flat = {0};
        const struct paging_guest_regs paged = {.cr0 = PG, .cr3 = 0x8000};
        uint32_t *guest32 = (uint32_t *)guest;
        uint8_t *bytes = (uint8_t *)guest, to[40];

        memset(guest, 0, sizeof guest);
        for (unsigned i = 0; i < PAGE_4K; i++) {
                bytes[0x1000 + i] = (uint8_t)i;
                bytes[0x3000 + i] = (uint8_t)(i ^ 0xff);
        }
        for (size_t at = 0; at < 9; at++) {
                memset(to, 0xee, sizeof to);
                CHECK_EQ(paging_guest_read(&flat, 0x1000 + at, read_guest, guest, to, 15), 15);
                for (size_t i = 0; i < 15; i++)
                        CHECK_EQ(to[i], at + i);
                CHECK_EQ(to[15], 0xee);
        }
        /* Page 2 lies at 3000h and page 3 at 1000h; there is no page 4. */
        guest32[0x8000 / 4] = 0x9000 | 1;
        guest32[0x9000 / 4 + 2] = 0x3000 | 1;
        guest32[0x9000 / 4 + 3] = 0x1000 | 1;
        CHECK_EQ(paging_guest_read(&paged, 0x2ffd, read_guest, guest, to, 7), 7);
        CHECK(to[0] == 2 && to[2] == 0 && to[3] == 0 && to[6] == 3);
        CHECK_EQ(paging_guest_read(&paged, 0x3ff5, read_guest, guest, to, 15), 11);
        CHECK_EQ(paging_guest_read(&paged, 0x4000, read_guest, guest, to, 15), 0);
        CHECK_EQ(paging_guest_read(&flat, GUEST_SIZE - 3, read_guest, guest, to, 15), 3);
}

int main(void)
{
        RUN(test_random_operations);
        RUN(test_walk_while_pages_split);
        RUN(test_largest_pages);
        RUN(test_refusals);
        RUN(test_bits_of_entries);
        RUN(test_tables_from_dram);
        RUN(test_guest_walk_equals_walk);
        RUN(test_guest_modes);
        RUN(test_guest_read);
        return unit_done();
}
