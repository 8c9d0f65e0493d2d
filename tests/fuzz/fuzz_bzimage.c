/*
 * A guest's kernel, initrd and command line (guest/load/linux_boot.c). The input: one byte for the
 * VM's memory, two bytes that cut off the command line and the initrd, and the image. The fields
 * that the loader compares with constants are set, unless a flag leaves them as they are.
 */
#include "guest/dev/platform.h"
#include "guest/load/linux_boot.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"

#define KEEP_CONSTANTS 0x80u
#define RAM_MAX        (16 * MiB)
#define IMAGE_MIN      0x270u

static uint8_t *ram; /* zero */

static void put(uint8_t *image, unsigned at, uint64_t value, unsigned bytes)
{
        memcpy(image + at, &value, bytes);
}

/* Offsets as in Linux's boot.rst. */
static void set_constants(uint8_t *image)
{
        put(image, 0x1fe, 0xaa55, 2);
        put(image, 0x202, 0x53726448, 4);
        put(image, 0x206, 0x20f, 2);
        image[0x211] |= 1;
        image[0x236] |= 1;
        image[0x201] |= 0x6a;
}

static void check(const struct linux_entry *entry, int err, const char *why, uint64_t mem)
{
        DEMAND(err == 0 || err == -EINVAL || err == -ENOSPC || err == -E2BIG);
        DEMAND(memchr(why, 0, LINUX_WHY_SIZE) && (err == 0) == (why[0] == '\0'));
        if (err)
                return;
        DEMAND(entry->state.rip >= PLATFORM_BIOS_END && entry->state.rip < mem);
        DEMAND(entry->regs[REG_RSI] == PLATFORM_BOOT_PARAMS);
        DEMAND(memchr(ram + PLATFORM_CMDLINE, 0, PLATFORM_CMDLINE_SIZE));
}

static void load(const struct linux_image *image, unsigned shape)
{
        struct vm_config vm = {.mem = (1 + (shape & 7)) * PAGE_2M, .region_count = shape >> 3 & 3};
        char why[LINUX_WHY_SIZE] = "";
        struct linux_entry entry;
        struct vm_layout layout;
        struct gmem mem = {.count = 0};
        int err;

        for (size_t i = 0; i < vm.region_count; i++) {
                memcpy(vm.region[i].name, "region-0", 8);
                vm.region[i].name[7] = (char)('0' + i);
                vm.region[i].size = PAGE_2M << i;
        }
        if (layout_compute(&vm, 40, &layout) || gmem_add(&mem, GPA(0), vm.mem, ram))
                abort();
        err = linux_boot_load(image, &layout, &mem, &entry, why);
        check(&entry, err, why, vm.mem);
        if (!err)
                memset(ram, 0, vm.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        unsigned shape = (unsigned)fuzz_take(&in, 1);
        size_t cmdline_len = fuzz_take(&in, 1), initrd_len = fuzz_take(&in, 1), kernel_len;
        char *cmdline = fuzz_string(&in, cmdline_len * (shape & 0x40 ? 16 : 1));
        uint8_t *initrd = fuzz_block(&in, initrd_len, &initrd_len);
        uint8_t *kernel = fuzz_block(&in, in.left, &kernel_len);
        struct linux_image image = {
            .kernel = kernel,
            .kernel_size = kernel_len,
            .initrd = shape & 0x20 ? initrd : NULL,
            .initrd_size = initrd_len,
            .cmdline = cmdline,
            .domain = "adr",
        };

        if (!ram)
                ram = calloc(1, RAM_MAX);
        DEMAND(ram);
        if (kernel_len >= IMAGE_MIN && !(shape & KEEP_CONSTANTS))
                set_constants(kernel);
        load(&image, shape);
        free(kernel);
        free(initrd);
        free(cmdline);
        return 0;
}
