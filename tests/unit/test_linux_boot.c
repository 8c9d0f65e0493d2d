/*
 * The Linux loader on made-up bzImages: layout of guest memory, what the kernel is told, and each
 * reason to refuse a file.
 */
#include "guest/load/linux_boot.h"

#include "guest/dev/platform.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define FILE_SIZE                                                                                  \
        (5 * 512u + CODE_SIZE + 100u) /* with something behind the code, as a signature            \
                                       */
#define CODE_OFFSET (5 * 512u)        /* setup_sects 0 means 4 */
#define CODE_SIZE   8192u
#define PREF        (2 * MiB)
#define INIT_SIZE   (3 * MiB)
#define RAM_SIZE    (16 * MiB)

static uint8_t kernel[FILE_SIZE];
static uint8_t *ram;
static struct gmem mem;
static struct vm_config vm;
static struct vm_layout layout;
static struct linux_image image;
static struct linux_entry entry;
static char why[LINUX_WHY_SIZE];

static void put(unsigned at, uint64_t v, unsigned bytes)
{
        memcpy(kernel + at, &v, bytes);
}

static uint64_t get(uint64_t gpa, unsigned bytes)
{
        uint64_t v = 0;

        CHECK_EQ(gmem_read(&mem, GPA(gpa), &v, bytes), 0);
        return v;
}

/* A bzImage that the loader must take; offsets as in Linux's boot.rst. */
static void make_kernel(void)
{
        for (unsigned i = 0; i < FILE_SIZE; i++)
                kernel[i] = (uint8_t)(i * 7 + 3);
        put(0x1f1, 0, 1);
        put(0x1f4, CODE_SIZE / 16, 4);
        put(0x1fe, 0xaa55, 2);
        put(0x200, 0x6aeb, 2);
        put(0x202, 0x53726448, 4);
        put(0x206, 0x20f, 2);
        put(0x211, 1, 1);
        put(0x22c, 0x7fffffff, 4);
        put(0x230, 2 * MiB, 4);
        put(0x234, 1, 1);
        put(0x236, 3, 2);
        put(0x238, 2047, 4);
        put(0x250, 0x1234, 8);
        put(0x258, PREF, 8);
        put(0x260, INIT_SIZE, 4);
}

static void make_vm(void)
{
        static uint8_t initrd[5000];

        memset(&vm, 0, sizeof vm);
        vm.mem = RAM_SIZE;
        memset(initrd, 0x5a, sizeof initrd);
        make_kernel();
        image = (struct linux_image){kernel, sizeof kernel, initrd, sizeof initrd, "quiet", "adr"};
}

static int load_image(void)
{
        free(ram);
        ram = calloc(1, RAM_SIZE);
        mem = (struct gmem){.count = 0};
        CHECK_EQ(gmem_add(&mem, GPA(0), 4 * MiB, ram), 0);
        CHECK_EQ(gmem_add(&mem, GPA(4 * MiB), RAM_SIZE - 4 * MiB, ram + 4 * MiB), 0);
        CHECK_EQ(layout_compute(&vm, 40, &layout), 0);
        return linux_boot_load(&image, &layout, &mem, &entry, why);
}

static void check_e820(unsigned i, uint64_t start, uint64_t size, uint32_t type)
{
        uint64_t at = PLATFORM_BOOT_PARAMS + 0x2d0 + 20 * i;

        CHECK_EQ(get(at, 8), start);
        CHECK_EQ(get(at + 8, 8), size);
        CHECK_EQ(get(at + 16, 4), type);
}

static void test_loads(void)
{
        uint64_t initrd_at = align_down(RAM_SIZE - 5000, PAGE_4K);

        make_vm();
        CHECK_EQ(load_image(), 0);
        CHECK(strcmp(why, "") == 0);
        CHECK(memcmp(ram + PREF, kernel + CODE_OFFSET, CODE_SIZE) == 0);
        CHECK_EQ(get(PREF + CODE_SIZE, 8), 0);
        CHECK_EQ(get(initrd_at, 1), 0x5a);
        CHECK_EQ(get(initrd_at + 4999, 2), 0x5a);
        CHECK(strcmp((char *)ram + PLATFORM_CMDLINE, "quiet") == 0);
        /* mov dx, 604h; mov al, 6; out dx, al */
        CHECK(memcmp(ram + 0xffff0, "\xba\x04\x06\xb0\x06\xee", 6) == 0);
}

static void test_boot_params(void)
{
        uint64_t bp = PLATFORM_BOOT_PARAMS;

        make_vm();
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(get(bp + 0x70, 8), PLATFORM_ACPI_BASE);
        CHECK_EQ(get(bp + 0x1ef, 1), 0); /* sentinel */
        CHECK_EQ(get(bp + 0x202, 4), 0x53726448);
        CHECK_EQ(get(bp + 0x210, 1), 0xff);
        CHECK_EQ(get(bp + 0x211, 1), 1);
        CHECK_EQ(get(bp + 0x214, 4), PREF);
        CHECK_EQ(get(bp + 0x218, 4), align_down(RAM_SIZE - 5000, PAGE_4K));
        CHECK_EQ(get(bp + 0x21c, 4), 5000);
        CHECK_EQ(get(bp + 0x228, 4), PLATFORM_CMDLINE);
        CHECK_EQ(get(bp + 0x238, 4), 2047);
        CHECK_EQ(get(bp + 0x250, 8), 0); /* setup_data */
        CHECK_EQ(get(bp + 0x260, 4), INIT_SIZE);
        CHECK_EQ(get(bp + 0x26c, 8), 0); /* the header ends there: nothing of the file behind it */
        CHECK_EQ(get(bp + 0x1e8, 1), 5);
        check_e820(0, 0, 0xa0000, 1);
        check_e820(1, 0xa0000, 0x40000, 2);
        check_e820(2, 0xe0000, PLATFORM_ACPI_SIZE, 3);
        check_e820(3, 0xe0000 + PLATFORM_ACPI_SIZE, 0x20000 - PLATFORM_ACPI_SIZE, 2);
        check_e820(4, 0x100000, RAM_SIZE - 0x100000, 1);
        image.initrd = NULL;
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(get(bp + 0x218, 8), 0);
}

/* Fields that an older header does not have must read as zero, not as the code behind it. */
static void test_short_header(void)
{
        make_vm();
        put(0x200, 0x62eb, 2); /* up to init_size */
        put(0x264, UINT64_MAX, 8);
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(get(PLATFORM_BOOT_PARAMS + 0x264, 8), 0);
}

static void test_entry_state(void)
{
        const struct vcpu_state *s = &entry.state;

        make_vm();
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(s->rip, PREF + 0x200);
        CHECK_EQ(s->rflags, 2);
        CHECK_EQ(s->cr0, 0x80000031);
        CHECK_EQ(s->cr4, 0x20);
        CHECK_EQ(s->efer, 0x500);
        CHECK_EQ(entry.regs[REG_RSI], PLATFORM_BOOT_PARAMS);
        CHECK_EQ(s->seg[SEG_CS].selector, 0x10);
        CHECK_EQ(s->seg[SEG_CS].access, 0xa09b);
        for (int i = SEG_SS; i <= SEG_GS; i++) {
                CHECK_EQ(s->seg[i].selector, 0x18);
                CHECK_EQ(s->seg[i].access, 0xc093);
                CHECK_EQ(s->seg[i].limit, UINT32_MAX);
        }
        CHECK_EQ(s->seg[SEG_ES].selector, 0x18);
        CHECK_EQ(s->seg[SEG_TR].access, 0x8b);
        CHECK_EQ(s->seg[SEG_LDTR].access, 0);
        CHECK_EQ(s->gdt_limit, 0x1f);
        CHECK_EQ(get(s->gdt_base + 0x10, 8), 0x00af9b000000ffff);
        CHECK_EQ(get(s->gdt_base + 0x18, 8), 0x00cf93000000ffff);
}

/* Walk the tables as the CPU does: the first 4 GiB map to themselves, writable. */
static void test_page_tables(void)
{
        make_vm();
        CHECK_EQ(load_image(), 0);
        for (uint64_t va = 0; va < 4 * GiB; va += 2 * MiB) {
                uint64_t pml4e = get(entry.state.cr3 + 8 * (va >> 39), 8);
                uint64_t pdpte = get(align_down(pml4e, PAGE_4K) + 8 * (va >> 30 & 511), 8);
                uint64_t pde = get(align_down(pdpte, PAGE_4K) + 8 * (va >> 21 & 511), 8);

                CHECK_EQ(pml4e & 3, 3);
                CHECK_EQ(pdpte & 0x83, 3);
                CHECK_EQ(pde, va | 0x83);
        }
        CHECK_EQ(get(entry.state.cr3 + 8, 8), 0);
}

static void test_regions_are_told(void)
{
        make_vm();
        vm.region_count = 2;
        vm.region[0] = (struct config_region){.name = "data", .size = 2 * MiB};
        vm.region[1] = (struct config_region){.name = "log", .size = GiB};
        CHECK_EQ(load_image(), 0);
        CHECK(strcmp((char *)ram + PLATFORM_CMDLINE,
                     "quiet permafrost.nvram=data@0x100000000:0x200000,log@0x140000000:0x40000000 "
                     "permafrost.domain=adr") == 0);
        CHECK_EQ(get(PLATFORM_BOOT_PARAMS + 0x1e8, 1), 7);
        check_e820(5, 4 * GiB, 2 * MiB, 12);
        check_e820(6, 5 * GiB, GiB, 12);
        image.cmdline = "";
        CHECK_EQ(load_image(), 0);
        CHECK(strncmp((char *)ram + PLATFORM_CMDLINE, "permafrost.nvram=data@", 22) == 0);
}

static void test_layout(void)
{
        memset(&vm, 0, sizeof vm);
        vm.mem = 3 * GiB;
        CHECK_EQ(layout_compute(&vm, 32, &layout), 0);
        CHECK_EQ(layout.ram_count, 1);
        vm.mem = 5 * GiB;
        CHECK_EQ(layout_compute(&vm, 32, &layout), -ERANGE);
        CHECK_EQ(layout_compute(&vm, 33, &layout), 0);
        CHECK_EQ(layout.ram_count, 2);
        CHECK_EQ(layout.ram[0].size, 3 * GiB);
        CHECK_EQ(layout.ram[1].gpa.v, 4 * GiB);
        CHECK_EQ(layout.ram[1].size, 2 * GiB);
        vm.region_count = 2;
        vm.region[0] = (struct config_region){.name = "a", .size = GiB - 2 * MiB};
        vm.region[1] = (struct config_region){.name = "b", .size = GiB};
        CHECK_EQ(layout_compute(&vm, 34, &layout), 0);
        CHECK_EQ(layout.region[0].gpa.v, 7 * GiB); /* not 6: RAM ends there */
        CHECK_EQ(layout.region[1].gpa.v, 8 * GiB); /* the hole is 2 MiB */
        vm.region[0].size = GiB;
        CHECK_EQ(layout_compute(&vm, 34, &layout), 0);
        CHECK_EQ(layout.region[1].gpa.v, 9 * GiB); /* else there would be no hole */
        CHECK(strcmp(layout.region[1].name, "b") == 0);
        vm.region[1].size = 8 * GiB;
        CHECK_EQ(layout_compute(&vm, 34, &layout), -ERANGE);
}

/* After changing one header field the file must be refused with this error and text. */
static void refused(unsigned at, uint64_t value, unsigned bytes, int err, const char *text)
{
        make_vm();
        put(at, value, bytes);
        CHECK_EQ(load_image(), err);
        CHECK(strstr(why, text));
        if (!strstr(why, text))
                printf("# field %x: \"%s\"\n", at, why);
}

static void test_refuses_headers(void)
{
        refused(0x1fe, 0xaa54, 2, -EINVAL, "boot flag");
        refused(0x202, 0x53726449, 4, -EINVAL, "HdrS");
        refused(0x206, 0x20b, 2, -EINVAL, "2.11 is older than 2.12");
        refused(0x200, 0x5eeb, 2, -EINVAL, "ends before init_size");
        refused(0x236, 2, 2, -EINVAL, "XLF_KERNEL_64");
        refused(0x211, 0, 1, -EINVAL, "LOADED_HIGH");
        refused(0x1f4, 0x20, 4, -EINVAL, "no kernel behind");
        refused(0x1f4, UINT32_MAX, 4, -EINVAL, "cut short");
        refused(0x1f1, 200, 1, -EINVAL, "cut short");
        refused(0x260, CODE_SIZE - 1, 4, -EINVAL, "init_size");
        refused(0x230, 0, 4, -EINVAL, "kernel_alignment");
        refused(0x230, 3 * MiB, 4, -EINVAL, "kernel_alignment");
        refused(0x258, 0, 8, -EINVAL, "pref_address");
        refused(0x258, 1ull << 32, 8, -EINVAL, "pref_address");
        refused(0x258, UINT64_MAX, 8, -EINVAL, "pref_address");
        refused(0x258, 16 * MiB, 8, -ENOSPC, "mem=16M is too small: the kernel needs 20M");
        refused(0x260, UINT32_MAX, 4, -ENOSPC, "mem=16M is too small");
        refused(0x22c, 5 * MiB - 1, 4, -ENOSPC, "initrd");
        refused(0x238, 4, 4, -E2BIG, "command line");
}

static void test_relocation(void)
{
        make_vm();
        put(0x258, PREF + 4096, 8);
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(entry.state.rip, 4 * MiB + 0x200);
        put(0x234, 0, 1);
        CHECK_EQ(load_image(), -EINVAL);
        CHECK(strstr(why, "not aligned"));
}

static void test_refuses_what_does_not_fit(void)
{
        static char longline[5000];

        make_vm();
        image.initrd_size = RAM_SIZE - PREF - INIT_SIZE + 1;
        CHECK_EQ(load_image(), -ENOSPC);
        CHECK(strstr(why, "initrd"));
        image.initrd_size = UINT64_MAX;
        CHECK_EQ(load_image(), -ENOSPC);
        CHECK(strstr(why, "initrd"));
        make_vm();
        memset(longline, 'x', sizeof longline - 1);
        image.cmdline = longline;
        CHECK_EQ(load_image(), -E2BIG);
        put(0x238, UINT32_MAX, 4); /* our own limit */
        CHECK_EQ(load_image(), -E2BIG);
        longline[PLATFORM_CMDLINE_SIZE - 1] = '\0';
        CHECK_EQ(load_image(), 0);
        vm.region_count = 1;
        vm.region[0] = (struct config_region){.name = "data", .size = 2 * MiB};
        CHECK_EQ(load_image(), -E2BIG);
}

/* The least that mem= allows: all of it is used, and what is larger is told. */
static void test_tiny(void)
{
        make_vm();
        vm.mem = CONFIG_MEM_MIN;
        image.initrd = NULL;
        put(0x258, 1 * MiB, 8);
        put(0x230, PAGE_4K, 4);
        put(0x260, 1 * MiB, 4);
        CHECK_EQ(load_image(), 0);
        CHECK_EQ(entry.state.rip, 1 * MiB + 0x200);
        check_e820(4, 1 * MiB, 1 * MiB, 1);
        put(0x260, 1 * MiB + 1, 4);
        CHECK_EQ(load_image(), -ENOSPC);
        CHECK(strstr(why, "mem=2M is too small: the kernel needs 4M"));
        put(0x258, 16 * MiB, 8);
        CHECK_EQ(load_image(), -ENOSPC);
        CHECK(strstr(why, "mem=2M is too small: the kernel needs 18M"));
}

/* A gmem that lacks what the layout promises is an error, never a crash. */
static void test_memory_missing(void)
{
        static const uint64_t holes[] = {PLATFORM_PAGE_TABLES, PLATFORM_BOOT_PARAMS, PLATFORM_GDT,
                                         PLATFORM_CMDLINE, PREF};

        make_vm();
        CHECK_EQ(load_image(), 0);
        for (unsigned i = 0; i < ARRAY_LEN(holes); i++) {
                struct gmem holed = {.count = 0};

                CHECK_EQ(gmem_add(&holed, GPA(0), holes[i], ram), 0);
                CHECK_EQ(gmem_add(&holed, GPA(holes[i] + PAGE_4K), RAM_SIZE - holes[i] - PAGE_4K,
                                  ram + holes[i] + PAGE_4K),
                         0);
                CHECK_EQ(linux_boot_load(&image, &layout, &holed, &entry, why), -EFAULT);
                CHECK(strstr(why, "no memory"));
        }
}

static void test_every_truncation(void)
{
        make_vm();
        CHECK_EQ(load_image(), 0);
        for (uint64_t size = 0; size < CODE_OFFSET + CODE_SIZE; size += size < 1024 ? 1 : 97) {
                uint8_t *copy = malloc(size ? size : 1);

                memcpy(copy, kernel, size);
                image.kernel = copy;
                image.kernel_size = size;
                CHECK_EQ(linux_boot_load(&image, &layout, &mem, &entry, why), -EINVAL);
                CHECK(strlen(why) > 0);
                free(copy);
        }
}

static void test_mutated_headers(void)
{
        uint64_t seed = unit_seed();
        unsigned good = 0, bad = 0;

        make_vm();
        CHECK_EQ(load_image(), 0);
        for (unsigned i = 0; i < 30000; i++) {
                make_kernel();
                for (uint64_t n = 1 + unit_random(&seed) % 3; n > 0; n--)
                        put(0x1f1 + (unsigned)(unit_random(&seed) % 0x80), unit_random(&seed),
                            1 + (unsigned)(unit_random(&seed) % 8));
                if (linux_boot_load(&image, &layout, &mem, &entry, why)) {
                        bad++;
                        CHECK(strlen(why) > 0);
                } else {
                        good++;
                        CHECK(entry.state.rip < RAM_SIZE);
                }
        }
        CHECK(good > 0 && bad > 0);
}

int main(void)
{
        RUN(test_loads);
        RUN(test_boot_params);
        RUN(test_short_header);
        RUN(test_entry_state);
        RUN(test_page_tables);
        RUN(test_regions_are_told);
        RUN(test_layout);
        RUN(test_refuses_headers);
        RUN(test_relocation);
        RUN(test_refuses_what_does_not_fit);
        RUN(test_tiny);
        RUN(test_memory_missing);
        RUN(test_every_truncation);
        RUN(test_mutated_headers);
        free(ram);
        return unit_done();
}
