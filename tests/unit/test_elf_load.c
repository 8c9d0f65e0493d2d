/* ELF images for fixed addresses: what is taken as it is, and files that lie. */
#include "boot/efi/elf_load.h"

#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define FILE_SIZE 12288u
#define CODE_AT   4096u
#define DATA_AT   8192u
#define PROGRAMS  64u
#define PROGRAM   56u

static uint8_t file[FILE_SIZE];
static struct elf_image image;

static void put(size_t at, uint64_t v, size_t bytes)
{
        memcpy(file + at, &v, bytes);
}

static void put_program(unsigned i, uint64_t offset, uint64_t start, uint64_t in_file,
                        uint64_t size)
{
        size_t at = PROGRAMS + (size_t)i * PROGRAM;

        put(at, 1, 4);
        put(at + 8, offset, 8);
        put(at + 16, start, 8);
        put(at + 24, start, 8);
        put(at + 32, in_file, 8);
        put(at + 40, size, 8);
}

/* Two segments, a note between them, and the header for the loader 64 bytes into the code. */
static void build(void)
{
        static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        struct boot_header header = {BOOT_HEADER_MAGIC, BOOT_LAYOUT, 0x200100};

        for (size_t i = 0; i < FILE_SIZE; i++)
                file[i] = i < CODE_AT ? 0 : (uint8_t)(i / 7);
        memcpy(file, ident, sizeof ident);
        put(16, 2, 2);
        put(18, 62, 2);
        put(32, PROGRAMS, 8);
        put(54, PROGRAM, 2);
        put(56, 3, 2);
        put_program(0, CODE_AT, 0x200000, 0x1000, 0x1000);
        put_program(1, 0, 0, 1, 1);
        put(PROGRAMS + PROGRAM, 4, 4);
        put_program(2, DATA_AT, 0x201000, 0x10, 0x1fff);
        memcpy(file + CODE_AT + 64, &header, sizeof header);
}

/* Of a copy that ends where the file ends, so that ASan sees every overrun. */
static const char *check_file(size_t size)
{
        uint8_t *copy = malloc(size ? size : 1);
        const char *wrong;

        memcpy(copy, file, size);
        wrong = elf_check(copy, size, &image);
        free(copy);
        return wrong;
}

static void check_wrong(const char *words)
{
        const char *wrong = check_file(FILE_SIZE);

        if (!wrong || !strstr(wrong, words))
                printf("says: %s\n", wrong ? wrong : "nothing");
        CHECK(wrong && strstr(wrong, words));
        build();
}

static void test_image(void)
{
        static uint8_t memory[0x3000];

        build();
        CHECK(!check_file(FILE_SIZE));
        CHECK_EQ(image.segment_count, 2);
        CHECK_EQ(image.start, 0x200000);
        CHECK_EQ(image.size, 0x3000);
        CHECK_EQ(image.entry, 0x200100);
        memset(memory, 0xaa, sizeof memory);
        elf_copy(file, &image, memory);
        CHECK(memcmp(memory, file + CODE_AT, 0x1000) == 0);
        CHECK(memcmp(memory + 0x1000, file + DATA_AT, 0x10) == 0);
        for (size_t i = 0x1010; i < sizeof memory; i++)
                CHECK_EQ(memory[i], 0);
}

static void test_no_elf(void)
{
        build();
        CHECK(check_file(0) && check_file(63));
        put(0, 0, 1);
        check_wrong("no ELF64");
        put(4, 1, 1); /* 32 bits */
        check_wrong("no ELF64");
        put(5, 2, 1); /* big-endian */
        check_wrong("no ELF64");
        put(16, 3, 2); /* position-independent */
        check_wrong("fixed addresses");
        put(18, 3, 2);
        check_wrong("fixed addresses");
        put(54, 32, 2);
        check_wrong("program headers");
        put(32, FILE_SIZE - PROGRAM, 8);
        check_wrong("program headers");
        put(32, UINT64_MAX, 8);
        check_wrong("program headers");
        put(56, 0, 2);
        check_wrong("nothing to load");
}

static void test_segments(void)
{
        build();
        put_program(2, DATA_AT, 0x201000, FILE_SIZE - DATA_AT + 1, 0x2000);
        check_wrong("does not hold");
        put_program(2, UINT64_MAX, 0x201000, 0x10, 0x2000);
        check_wrong("does not hold");
        put_program(2, DATA_AT, 0x201000, 0x10, 0xf);
        check_wrong("does not hold");
        put_program(2, DATA_AT, 0x201008, 0x10, 0x10);
        check_wrong("one to one");
        put_program(2, DATA_AT, 0x201000, 0x10, 0x10);
        put(PROGRAMS + 2 * PROGRAM + 16, 0x301000, 8);
        check_wrong("one to one");
        put_program(2, DATA_AT, 0xffe00000, 0x10, 0x200001);
        check_wrong("above 4 GiB");
        put_program(2, DATA_AT, 0x201000, 0x10, UINT64_MAX);
        check_wrong("above 4 GiB");
        put_program(0, CODE_AT, 0, 0x1000, 0x1000);
        check_wrong("below 1 MiB");
        put_program(2, DATA_AT, 0x200000, 0x10, 0x10);
        check_wrong("overlap");
        put(56, 12, 2);
        for (unsigned i = 0; i < 12; i++)
                put_program(i, CODE_AT, 0x200000 + i * PAGE_4K, 8, 8);
        check_wrong("too many segments");
}

static void test_entry(void)
{
        build();
        put(CODE_AT + 64, 'q', 1);
        check_wrong("no entry for EFI");
        put(CODE_AT + 64 + 16, BOOT_LAYOUT + 8, 8);
        check_wrong("another build");
        put(CODE_AT + 64 + 24, 0x201000, 8);
        check_wrong("outside of its code");
        put(CODE_AT + 64 + 24, 0x1fffff, 8);
        check_wrong("outside of its code");
}

static void test_every_truncation(void)
{
        build();
        for (size_t size = 0; size < DATA_AT + 0x10; size += size < 512 ? 1 : 61)
                CHECK(check_file(size));
        CHECK(!check_file(DATA_AT + 0x10));
}

static void test_mutations(void)
{
        static uint8_t memory[4 * MiB];
        uint64_t seed = unit_seed();
        unsigned good = 0, bad = 0;

        for (unsigned i = 0; i < 30000; i++) {
                build();
                for (uint64_t n = 1 + unit_random(&seed) % 3; n > 0; n--)
                        put(unit_random(&seed) % (PROGRAMS + 3 * PROGRAM), unit_random(&seed),
                            1 + unit_random(&seed) % 4);
                if (check_file(FILE_SIZE)) {
                        bad++;
                        continue;
                }
                good++;
                CHECK(image.start >= ELF_LOWEST && image.start + image.size <= BOOT_MAPPED);
                if (image.size <= sizeof memory)
                        elf_copy(file, &image, memory);
        }
        CHECK(good > 0 && bad > 0);
}

int main(void)
{
        RUN(test_image);
        RUN(test_no_elf);
        RUN(test_segments);
        RUN(test_entry);
        RUN(test_every_truncation);
        RUN(test_mutations);
        return unit_done();
}
