/* The EFI memory map: what each type becomes, long maps, and maps that lie. */
#include "boot/efi/efi_map.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define DESCRIPTORS_MAX (BOOT_MAP_MAX + 16u)
#define ATTRIBUTES      0xfull /* uncached, combining, through, back: as OVMF tells of RAM */
#define WRITE_BACK      (1ull << 3)
#define SPECIFIC        (1ull << 18)

/* A map under construction, in descriptors of `each` bytes. */
static uint8_t bytes[DESCRIPTORS_MAX * 64];
static size_t each, used;
static struct boot_info info;

static void begin(size_t descriptor_size)
{
        memset(bytes, 0xee, sizeof bytes);
        each = descriptor_size;
        used = 0;
}

static void add(uint32_t type, uint64_t start, uint64_t pages, uint64_t attributes)
{
        uint64_t fields[] = {type, start, 0, pages, attributes};

        memcpy(bytes + used, fields, sizeof fields);
        used += each;
}

/* Of a copy that ends where the map ends, so that ASan sees every overrun. */
static int read_map(void)
{
        uint8_t *copy = malloc(used ? used : 1);
        int err;

        memcpy(copy, bytes, used);
        err = efi_map_read(copy, used, each, &info);
        free(copy);
        return err;
}

static void check_entry(size_t i, uint64_t start, uint64_t size, uint32_t type, uint32_t efi_type)
{
        CHECK(i < info.map_count);
        CHECK_EQ(info.map[i].start, start);
        CHECK_EQ(info.map[i].size, size);
        CHECK_EQ(info.map[i].type, type);
        CHECK_EQ(info.map[i].source, BOOT_MAP_EFI);
        CHECK_EQ(info.map[i].efi_type, efi_type);
}

/* UEFI 2.10, table 7.10: types 0 to 15, and one that nobody knows. */
static void test_types(void)
{
        static const struct {
                uint32_t efi, type, told;
        } types[] = {{0, 2, 0},
                     {1, 1, 7},
                     {2, 1, 7},
                     {3, 1, 7},
                     {4, 1, 7},
                     {5, 2, 5},
                     {6, 2, 6},
                     {7, 1, 7},
                     {8, 5, 8},
                     {9, 3, 9},
                     {10, 4, 10},
                     {11, 2, 11},
                     {12, 2, 12},
                     {13, 2, 13},
                     {14, 7, 14},
                     {15, 2, 15},
                     {0x80000000, 2, 0x80000000}};

        for (size_t size = 40; size <= 64; size += 8) {
                begin(size);
                for (size_t i = 0; i < ARRAY_LEN(types); i++)
                        add(types[i].efi, 0x100000 * i, 1 + i, ATTRIBUTES);
                CHECK_EQ(read_map(), 0);
                CHECK_EQ(info.map_count, ARRAY_LEN(types));
                for (size_t i = 0; i < ARRAY_LEN(types); i++)
                        check_entry(i, 0x100000 * i, (1 + i) * PAGE_4K, types[i].type,
                                    types[i].told);
        }
}

static void test_what_is_not_dram(void)
{
        begin(48);
        add(7, 0, 16, ATTRIBUTES | SPECIFIC);
        add(7, 0x100000, 16, ATTRIBUTES & ~WRITE_BACK);
        add(4, 0x200000, 16, 0);
        add(14, 0x300000, 16, 0); /* a firmware may say nothing about caches there */
        add(7, 0x400000, 16, ATTRIBUTES | 1ull << 15);
        add(2, 0x500000, 16, ATTRIBUTES | 1ull << 63);
        CHECK_EQ(read_map(), 0);
        check_entry(4, 0x400000, 0x10000, 2, 7);
        check_entry(5, 0x500000, 0x10000, 2, 2);
        check_entry(0, 0, 0x10000, 2, 7);
        check_entry(1, 0x100000, 0x10000, 2, 7);
        check_entry(2, 0x200000, 0x10000, 2, 4);
        check_entry(3, 0x300000, 0x10000, 7, 14);
}

/* More descriptors than entries fit, but they touch: in rising order, falling, and mixed types. */
static void test_long_map(void)
{
        for (int falling = 0; falling < 2; falling++) {
                begin(48);
                for (uint64_t i = 0; i < DESCRIPTORS_MAX; i++)
                        add(i % 2 ? 4 : 7, (falling ? DESCRIPTORS_MAX - 1 - i : i) * PAGE_4K, 1,
                            ATTRIBUTES);
                CHECK_EQ(read_map(), 0);
                CHECK_EQ(info.map_count, 1);
                check_entry(0, 0, DESCRIPTORS_MAX * PAGE_4K, 1, 7);
        }
        begin(48);
        add(7, 0, 1, ATTRIBUTES);
        add(6, PAGE_4K, 1, ATTRIBUTES);
        add(5, 2 * PAGE_4K, 1, ATTRIBUTES); /* the same use, but not told so */
        add(7, 3 * PAGE_4K, 1, ATTRIBUTES);
        CHECK_EQ(read_map(), 0);
        CHECK_EQ(info.map_count, 4);
}

static void test_too_many(void)
{
        begin(40);
        for (uint64_t i = 0; i < BOOT_MAP_MAX; i++)
                add(7, 2 * i * PAGE_4K, 1, ATTRIBUTES);
        CHECK_EQ(read_map(), 0);
        CHECK_EQ(info.map_count, BOOT_MAP_MAX);
        CHECK_EQ(info.map_left, 0);
        add(7, 1 << 30, 1, ATTRIBUTES);
        add(0, 2u << 30, 1, ATTRIBUTES); /* reserved: in place of RAM */
        CHECK_EQ(read_map(), 0);
        CHECK_EQ(info.map_count, BOOT_MAP_MAX);
        CHECK_EQ(info.map_left, 2);
        CHECK_EQ(info.map_left_bytes, 2 * PAGE_4K);
}

static void test_bad_sizes(void)
{
        static const size_t sizes[] = {0, 1, 8, 32, 39, 41, 44};

        begin(48);
        add(7, 0, 1, ATTRIBUTES);
        add(7, 0x100000, 1, ATTRIBUTES);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                each = sizes[i];
                CHECK_EQ(read_map(), -EINVAL);
                CHECK_EQ(info.map_count, 0);
        }
        each = 48;
        used -= 8;
        CHECK_EQ(read_map(), -EINVAL);
        used = 0;
        CHECK_EQ(read_map(), 0);
        CHECK_EQ(info.map_count, 0);
}

/* Memory is never offered by a descriptor that cannot be true, and never lost from a reservation.
 */
static void test_impossible_entries(void)
{
        begin(48);
        add(7, 0x100000, 0, ATTRIBUTES);
        add(7, 0x100001, 1, ATTRIBUTES);
        add(14, 0x100000, UINT64_MAX / PAGE_4K, ATTRIBUTES);
        add(7, UINT64_MAX - 0xfff, 2, ATTRIBUTES);
        add(7, 0, 1ull << 52, ATTRIBUTES); /* 2^64 bytes */
        add(0, 0x200000, UINT64_MAX, ATTRIBUTES);
        add(11, UINT64_MAX - 0xfff, 1, 0); /* its end is address 0 */
        CHECK_EQ(read_map(), 0);
        CHECK_EQ(info.map_count, 2);
        check_entry(0, 0x200000, UINT64_MAX - 0x200000, 2, 0);
        check_entry(1, UINT64_MAX - 0xfff, 0xfff, 2, 11);
}

int main(void)
{
        RUN(test_types);
        RUN(test_what_is_not_dram);
        RUN(test_long_map);
        RUN(test_too_many);
        RUN(test_bad_sizes);
        RUN(test_impossible_entries);
        return unit_done();
}
