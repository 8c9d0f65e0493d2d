/*
 * BOOTX64.EFI: loads what permafrost.cfg names from its own volume and enters the image. What goes
 * wrong is told on the EFI console, and the firmware gets everything back with an EFI error.
 */
#include "boot/efi/efi_config.h"
#include "boot/efi/efi_io.h"
#include "boot/efi/efi_platform.h"
#include "boot/efi/elf_load.h"
#include "boot/version.h"

#define CONFIG_PATH  "/permafrost.cfg"
#define CONFIG_BYTES (1 * MiB)

/* The handed-over block: the structure, then the configuration's strings, then the memory map. */
struct block {
        struct boot_info *info;
        char *strings;
        uint8_t *map;
        uint64_t map_room;
};

/* Called by GNU-EFI's start code, in the C compiler's own calling convention. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static struct efi_config config;
static struct elf_image elf;

static EFI_STATUS make_block(uint64_t config_size, struct block *out)
{
        uint64_t strings_at = align_up(sizeof(struct boot_info), PAGE_4K);
        uint64_t map_at = strings_at + align_up(EFI_CONFIG_ROOM(config_size), PAGE_4K);
        uint64_t map_room = efi_map_room();
        uint8_t *p = efi_alloc(map_at + map_room);

        if (!p)
                return EFI_OUT_OF_RESOURCES;
        *out = (struct block){(struct boot_info *)p, (char *)p + strings_at, p + map_at, map_room};
        out->info->layout = BOOT_LAYOUT;
        out->info->start = HPA((uint64_t)p);
        out->info->size = map_at + map_room;
        return EFI_SUCCESS;
}

static EFI_STATUS read_config(struct block *block)
{
        const char *wrong;
        uint8_t *text;
        uint64_t size;
        EFI_STATUS status = efi_read_file(CONFIG_PATH, &text, &size);

        if (status != EFI_SUCCESS)
                return status;
        if (size > CONFIG_BYTES)
                return efi_fail(EFI_LOAD_ERROR, "%s: more than 1 MiB", CONFIG_PATH);
        status = make_block(size, block);
        if (status != EFI_SUCCESS)
                return status;
        wrong = efi_config_parse((const char *)text, size, block->strings, &config);
        if (wrong && config.line)
                return efi_fail(EFI_LOAD_ERROR, "%s: line %u: %s", CONFIG_PATH, config.line, wrong);
        if (wrong)
                return efi_fail(EFI_LOAD_ERROR, "%s: %s", CONFIG_PATH, wrong);
        block->info->cmdline = config.image.args;
        block->info->modules_left = config.modules_left;
        return EFI_SUCCESS;
}

static EFI_STATUS load_image(void)
{
        const char *path = config.image.path, *wrong;
        uint8_t *file, *memory;
        uint64_t size;
        EFI_STATUS status = efi_read_file(path, &file, &size);

        if (status != EFI_SUCCESS)
                return status;
        wrong = elf_check(file, size, &elf);
        if (wrong)
                return efi_fail(EFI_LOAD_ERROR, "%s %s", path, wrong);
        memory = efi_alloc_at(elf.start, elf.size);
        if (!memory)
                return EFI_OUT_OF_RESOURCES;
        elf_copy(file, &elf, memory);
        return EFI_SUCCESS;
}

static EFI_STATUS load_modules(struct boot_info *info)
{
        for (size_t i = 0; i < config.module_count; i++) {
                struct boot_module *module = &info->module[i];
                uint8_t *file;
                EFI_STATUS status = efi_read_file(config.module[i].path, &file, &module->size);

                if (status != EFI_SUCCESS)
                        return status;
                module->start = HPA((uint64_t)file);
                module->string = config.module[i].args;
                info->module_count++;
        }
        return EFI_SUCCESS;
}

static EFI_STATUS load(EFI_HANDLE image, struct block *block)
{
        EFI_STATUS status = read_config(block);

        if (status == EFI_SUCCESS)
                status = load_image();
        if (status == EFI_SUCCESS)
                status = load_modules(block->info);
        if (status != EFI_SUCCESS)
                return status;
        efi_describe_platform(block->info);
        status = efi_end_boot_services(image, block->map, block->map_room, block->info);
        if (status != EFI_SUCCESS)
                return efi_fail(status, "the firmware does not end its boot services (error %lu)",
                                status & ~EFI_ERROR_MASK);
        return EFI_SUCCESS;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
        struct block block = {0};
        EFI_STATUS status;

        efi_io_init(image, system);
        efi_say("loader " PERMAFROST_VERSION);
        efi_boot_services()->SetWatchdogTimer(0, 0, 0, NULL);
        status = load(image, &block);
        if (status == EFI_SUCCESS) {
                void (*enter)(struct boot_info *) = (void (*)(struct boot_info *))elf.entry;

                enter(block.info);
        }
        efi_free_all();
        efi_wait_for_key();
        return status;
}
