/* permafrost.cfg (boot/efi/efi_config.c): the input is the whole file, read into just the room it
 * asks for. */
#include "boot/efi/efi_config.h"

#include "tests/fuzz/fuzz.h"

static bool lies_within(const char *text, const char *room, size_t size)
{
        return text >= room && text < room + size && memchr(text, 0, size - (size_t)(text - room));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct efi_config config;
        struct fuzz_input in = {data, size};
        size_t len, room_size;
        uint8_t *text = fuzz_block(&in, size, &len);
        char *room;
        const char *wrong;

        room_size = EFI_CONFIG_ROOM(len);
        room = fuzz_alloc(room_size);
        wrong = efi_config_parse((const char *)text, len, room, &config);
        DEMAND(!wrong || *wrong);
        DEMAND(config.module_count <= BOOT_MODULES_MAX);
        if (!wrong) {
                DEMAND(lies_within(config.image.path, room, room_size) &&
                       lies_within(config.image.args, room, room_size) &&
                       config.image.path[0] == '/');
                for (size_t i = 0; i < config.module_count; i++)
                        DEMAND(lies_within(config.module[i].path, room, room_size) &&
                               lies_within(config.module[i].args, room, room_size) &&
                               config.module[i].path[0] == '/');
        }
        free(room);
        free(text);
        return 0;
}
