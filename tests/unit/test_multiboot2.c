/* Multiboot2 boot information: what a GRUB hands over, and structures that lie about themselves. */
#include "boot/multiboot2.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define MBI_SIZE 65536u

/* A structure under construction; 8-byte aligned as the specification demands. */
static struct {
        _Alignas(8) uint8_t bytes[MBI_SIZE];
        uint32_t used;
} mbi;

static struct boot_info info;

static void put32(uint32_t at, uint32_t v)
{
        memcpy(mbi.bytes + at, &v, sizeof v);
}

static void put64(uint32_t at, uint64_t v)
{
        memcpy(mbi.bytes + at, &v, sizeof v);
}

static void mbi_begin(void)
{
        memset(&mbi, 0, sizeof mbi);
        mbi.used = 8;
}

/* Append a tag of size bytes in all; returns its offset. */
static uint32_t add_tag(uint32_t type, uint32_t size)
{
        uint32_t at = mbi.used;

        put32(at, type);
        put32(at + 4, size);
        mbi.used = (uint32_t)align_up(at + size, 8);
        return at;
}

static void add_string(uint32_t type, const char *text)
{
        uint32_t at = add_tag(type, 8 + (uint32_t)strlen(text) + 1);

        memcpy(mbi.bytes + at + 8, text, strlen(text));
}

static uint32_t add_module(uint32_t start, uint32_t end, const char *text)
{
        uint32_t at = add_tag(3, 16 + (uint32_t)strlen(text) + 1);

        put32(at + 8, start);
        put32(at + 12, end);
        memcpy(mbi.bytes + at + 16, text, strlen(text));
        return at;
}

static uint32_t add_map(unsigned entries, uint32_t entry_size)
{
        uint32_t at = add_tag(6, 16 + entries * entry_size);

        put32(at + 8, entry_size);
        for (unsigned i = 0; i < entries; i++) {
                put64(at + 16 + i * entry_size, 0x100000000ull * i);
                put64(at + 24 + i * entry_size, 0x1000 + i);
                put32(at + 32 + i * entry_size, i == 2 ? 90 : 1);
        }
        return at;
}

static uint32_t add_framebuffer(uint8_t type, uint32_t size)
{
        uint32_t at = add_tag(8, size);
        static const uint8_t colors[] = {16, 8, 8, 7, 0, 6};

        put64(at + 8, 0xfd000000);
        put32(at + 16, 4096);
        put32(at + 20, 1024);
        put32(at + 24, 768);
        mbi.bytes[at + 28] = 32;
        mbi.bytes[at + 29] = type;
        if (size >= 38)
                memcpy(mbi.bytes + at + 32, colors, sizeof colors);
        return at;
}

static int parse(void)
{
        put32(0, mbi.used);
        return multiboot2_parse(mbi.bytes, mbi.used, &info);
}

static int parse_to_end(void)
{
        add_tag(0, 8);
        return parse();
}

static void build_full(void)
{
        mbi_begin();
        add_string(1, "console=com1 exit=halt");
        add_string(2, "GRUB 2.06");
        add_module(0x200000, 0x300010, "vm=a mem=64M -- quiet");
        add_module(0x400000, 0x400000, "initrd");
        add_map(4, 24);
        add_framebuffer(1, 38);
        memset(mbi.bytes + add_tag(15, 8 + 36) + 8, 0x15, 36);
        memset(mbi.bytes + add_tag(14, 8 + 20) + 8, 0x14, 20);
        add_tag(77, 13);
        add_tag(0, 8);
}

static void test_full(void)
{
        build_full();
        CHECK_EQ(parse(), 0);
        CHECK(strcmp(info.cmdline, "console=com1 exit=halt") == 0);
        CHECK(strcmp(info.loader, "GRUB 2.06") == 0);
        CHECK_EQ(info.module_count, 2);
        CHECK_EQ(info.module[0].start.v, 0x200000);
        CHECK_EQ(info.module[0].size, 0x100010);
        CHECK(strcmp(info.module[0].string, "vm=a mem=64M -- quiet") == 0);
        CHECK_EQ(info.module[1].size, 0);
        CHECK_EQ(info.map_count, 4);
        CHECK_EQ(info.map[2].start, 0x200000000);
        CHECK_EQ(info.map[2].size, 0x1002);
        CHECK_EQ(info.map[2].type, 90);
        CHECK_EQ(info.display, BOOT_DISPLAY_FB);
        CHECK_EQ(info.fb.base.v, 0xfd000000);
        CHECK_EQ(info.fb.pitch, 4096);
        CHECK_EQ(info.fb.width, 1024);
        CHECK_EQ(info.fb.height, 768);
        CHECK_EQ(info.fb.bpp, 32);
        CHECK_EQ(info.fb.red_pos, 16);
        CHECK_EQ(info.fb.green_size, 7);
        CHECK_EQ(info.fb.blue_size, 6);
        CHECK_EQ(info.rsdp_size, 36);
        CHECK_EQ(info.rsdp[0], 0x15);
        CHECK_EQ(info.rsdp[35], 0x15);
        CHECK_EQ(info.size, mbi.used);
        CHECK_EQ(info.start.v, (uintptr_t)mbi.bytes);
}

static void test_nothing_told(void)
{
        mbi_begin();
        CHECK_EQ(parse_to_end(), 0);
        CHECK(strcmp(info.cmdline, "") == 0);
        CHECK(strcmp(info.loader, "") == 0);
        CHECK_EQ(info.module_count + info.map_count + info.rsdp_size, 0);
        CHECK_EQ(info.display, BOOT_DISPLAY_NONE);
}

static void test_text_screen_and_old_rsdp(void)
{
        mbi_begin();
        add_framebuffer(2, 32);
        memset(mbi.bytes + add_tag(14, 8 + 20) + 8, 0x14, 20);
        CHECK_EQ(parse_to_end(), 0);
        CHECK_EQ(info.display, BOOT_DISPLAY_TEXT);
        CHECK_EQ(info.rsdp_size, 20);
        CHECK_EQ(info.rsdp[19], 0x14);
}

/* Entries may grow in later versions of the specification. */
static void test_longer_map_entries(void)
{
        mbi_begin();
        add_map(3, 32);
        CHECK_EQ(parse_to_end(), 0);
        CHECK_EQ(info.map_count, 3);
        CHECK_EQ(info.map[2].type, 90);
}

/* As EFI tells it, of which tag 6 is the loader's shorter version, whichever comes first. */
static uint32_t add_efi_map(unsigned entries, uint32_t descriptor_size)
{
        uint32_t at = add_tag(17, 16 + entries * descriptor_size);

        put32(at + 8, descriptor_size);
        put32(at + 12, 1);
        for (unsigned i = 0; i < entries; i++) {
                uint32_t d = at + 16 + i * descriptor_size;

                put32(d, i == 1 ? 14 : 7);
                put64(d + 8, 0x100000000ull * i);
                put64(d + 24, 16);
                put64(d + 32, 0xf);
        }
        return at;
}

static void test_efi_map(void)
{
        for (int swap = 0; swap < 2; swap++) {
                mbi_begin();
                if (swap)
                        add_map(BOOT_MAP_MAX + 1, 24);
                add_efi_map(3, 48);
                if (!swap)
                        add_map(4, 24);
                CHECK_EQ(parse_to_end(), 0);
                CHECK_EQ(info.map_count, 3);
                CHECK_EQ(info.map[1].start, 0x100000000);
                CHECK_EQ(info.map[1].size, 0x10000);
                CHECK_EQ(info.map[1].type, 7);
                CHECK_EQ(info.map[1].source, BOOT_MAP_EFI);
                CHECK_EQ(info.map[1].efi_type, 14);
        }
        mbi_begin();
        put32(add_efi_map(3, 48) + 8, 0);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_tag(17, 15);
        CHECK_EQ(parse_to_end(), -EINVAL);
}

/* Modules beyond the table are counted, and the memory that holds them is known. */
static void test_many_modules(void)
{
        mbi_begin();
        for (uint32_t i = 0; i < BOOT_MODULES_MAX; i++)
                add_module(i, i, "initrd");
        CHECK_EQ(parse_to_end(), 0);
        CHECK_EQ(info.module_count, BOOT_MODULES_MAX);
        CHECK_EQ(info.modules_left, 0);
        mbi.used -= 8;
        add_module(0x5000, 0x6000, "one more");
        add_module(0x3000, 0x3010, "and one");
        add_module(0x4000, 0x4010, "between");
        CHECK_EQ(parse_to_end(), 0);
        CHECK_EQ(info.module_count, BOOT_MODULES_MAX);
        CHECK_EQ(info.modules_left, 3);
        CHECK_EQ(info.left_start.v, 0x3000);
        CHECK_EQ(info.left_size, 0x3000);
}

static void put_entry(uint32_t map, unsigned i, uint64_t start, uint64_t size, uint32_t type)
{
        put64(map + 16 + i * 24, start);
        put64(map + 24 + i * 24, size);
        put32(map + 32 + i * 24, type);
}

static uint64_t sum_of_type(uint32_t type)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < info.map_count; i++)
                sum += info.map[i].type == type ? info.map[i].size : 0;
        return sum;
}

/* Too many entries: RAM is left out, the smallest first, and never a reservation. */
static void test_long_map(void)
{
        uint32_t map;

        mbi_begin();
        map = add_map(BOOT_MAP_MAX + 3, 24);
        for (unsigned i = 0; i < BOOT_MAP_MAX + 3; i++)
                put_entry(map, i, i * 0x10000ull, i == 5 ? 0x100 : 0x1000, i % 2 ? 1 : 2);
        CHECK_EQ(parse_to_end(), 0);
        CHECK_EQ(info.map_count, BOOT_MAP_MAX);
        CHECK_EQ(info.map_left, 3);
        CHECK_EQ(info.map_left_bytes, 0x2100);
        CHECK_EQ(sum_of_type(2), (BOOT_MAP_MAX / 2 + 2) * 0x1000ull);
        CHECK_EQ(sum_of_type(1), (BOOT_MAP_MAX / 2 - 2) * 0x1000ull);
        /* no RAM to give up: the last two become one reservation */
        for (unsigned i = 0; i < BOOT_MAP_MAX + 3; i++)
                put_entry(map, i, i * 0x10000ull, 0x1000, 2);
        put_entry(map, BOOT_MAP_MAX, 1ull << 40, 0x1000, 1);
        put_entry(map, BOOT_MAP_MAX + 1, 1ull << 41, 0x1000, 7);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(info.map_count, BOOT_MAP_MAX);
        CHECK_EQ(info.map_left, 3);
        CHECK_EQ(sum_of_type(1) + sum_of_type(7), 0);
        CHECK_EQ(info.map[BOOT_MAP_MAX - 1].start, (BOOT_MAP_MAX - 1) * 0x10000ull);
        CHECK_EQ(info.map[BOOT_MAP_MAX - 1].size, 0x31000);
}

static void test_bad_tags(void)
{
        mbi_begin();
        mbi.bytes[add_tag(1, 12) + 11] = 'x';
        memset(mbi.bytes + mbi.used - 8, 'x', 4);
        CHECK_EQ(parse_to_end(), -EINVAL); /* a string without an end */
        mbi_begin();
        add_tag(1, 8);
        CHECK_EQ(parse_to_end(), -EINVAL); /* not even an empty string */
        mbi_begin();
        add_module(0x2000, 0x1fff, "initrd");
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_tag(3, 16);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_map(2, 16);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_map(2, 28);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        put32(add_map(2, 24) + 8, 0);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        put32(add_map(2, 24) + 8, 40);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_framebuffer(1, 37);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_framebuffer(1, 29);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_tag(14, 8 + 19);
        CHECK_EQ(parse_to_end(), -EINVAL);
        mbi_begin();
        add_tag(15, 8 + 35);
        CHECK_EQ(parse_to_end(), -EINVAL);
}

static void test_bad_structure(void)
{
        static const uint32_t sizes[] = {0, 1, 7, 17, UINT32_MAX, UINT32_MAX - 7};

        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
                mbi_begin();
                put32(add_tag(77, 16) + 4, sizes[i]);
                CHECK_EQ(parse(), -EINVAL);
        }
        mbi_begin();
        CHECK_EQ(parse(), -EINVAL); /* no end tag */
        mbi_begin();
        add_tag(0, 8);
        put32(0, mbi.used + 1);
        CHECK_EQ(multiboot2_parse(mbi.bytes, mbi.used, &info), -EINVAL);
        put32(0, 7);
        CHECK_EQ(multiboot2_parse(mbi.bytes, mbi.used, &info), -EINVAL);
        put32(0, mbi.used);
        CHECK_EQ(multiboot2_parse(mbi.bytes, 7, &info), -EINVAL);
        CHECK_EQ(multiboot2_parse(mbi.bytes + 4, mbi.used, &info), -EINVAL);
}

/* Parse a copy that ends exactly where the parser may still read, so that ASan sees every overrun.
 */
static int parse_copy(const uint8_t *from, uint32_t size)
{
        uint8_t *copy = malloc(size ? size : 1);
        int err;

        memcpy(copy, from, size);
        err = multiboot2_parse(copy, size, &info);
        if (!err) {
                for (size_t i = 0; i < info.module_count; i++)
                        CHECK(strlen(info.module[i].string) < size);
                CHECK(strlen(info.cmdline) + strlen(info.loader) < size);
        }
        free(copy);
        return err;
}

static void test_every_truncation(void)
{
        build_full();
        for (uint32_t size = 0; size < mbi.used; size++) {
                put32(0, size);
                CHECK_EQ(parse_copy(mbi.bytes, size), -EINVAL);
        }
        put32(0, mbi.used);
        CHECK_EQ(parse_copy(mbi.bytes, mbi.used), 0);
}

static void test_mutations(void)
{
        uint64_t seed = unit_seed();
        unsigned good = 0, bad = 0;

        for (unsigned i = 0; i < 30000; i++) {
                build_full();
                if (unit_random(&seed) % 2) {
                        mbi.used -= 8;
                        add_efi_map(4, 40);
                        add_tag(0, 8);
                }
                put32(0, mbi.used);
                for (uint64_t n = 1 + unit_random(&seed) % 3; n > 0; n--) {
                        uint32_t at = (uint32_t)(unit_random(&seed) % mbi.used);

                        if (unit_random(&seed) % 2)
                                mbi.bytes[at] = (uint8_t)unit_random(&seed);
                        else
                                put32(at & ~3u, (uint32_t)unit_random(&seed) % 300);
                }
                if (parse_copy(mbi.bytes, mbi.used))
                        bad++;
                else
                        good++;
        }
        CHECK(good > 0 && bad > 0);
}

int main(void)
{
        RUN(test_full);
        RUN(test_nothing_told);
        RUN(test_text_screen_and_old_rsdp);
        RUN(test_longer_map_entries);
        RUN(test_efi_map);
        RUN(test_many_modules);
        RUN(test_long_map);
        RUN(test_bad_tags);
        RUN(test_bad_structure);
        RUN(test_every_truncation);
        RUN(test_mutations);
        return unit_done();
}
