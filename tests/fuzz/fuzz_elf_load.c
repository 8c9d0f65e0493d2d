/* ELF images (boot/efi/elf_load.c): the input is the whole file; one that is taken is copied. */
#include "boot/efi/elf_load.h"

#include "tests/fuzz/fuzz.h"

#define COPY_MAX (4 * MiB)

static void check_image(const struct elf_image *image, size_t size)
{
        uint64_t end = image->start;

        DEMAND(image->segment_count && image->segment_count <= ELF_SEGMENTS_MAX);
        DEMAND(image->start >= ELF_LOWEST && image->start < BOOT_MAPPED &&
               image->size <= BOOT_MAPPED - image->start);
        for (size_t i = 0; i < image->segment_count; i++) {
                const struct elf_segment *s = &image->segment[i];

                DEMAND(s->start >= end && s->file_size <= s->size);
                DEMAND(s->offset <= size && s->file_size <= size - s->offset);
                end = s->start + s->size;
        }
        DEMAND(end <= image->start + image->size);
        DEMAND(image->entry >= image->start && image->entry < end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct elf_image image;
        struct fuzz_input in = {data, size};
        size_t len;
        uint8_t *file = fuzz_block(&in, size, &len), *memory;
        const char *wrong = elf_check(file, len, &image);

        DEMAND(!wrong || *wrong);
        if (!wrong) {
                check_image(&image, len);
                if (image.size <= COPY_MAX) {
                        memory = fuzz_alloc(image.size);
                        elf_copy(file, &image, memory);
                        free(memory);
                }
        }
        free(file);
        return 0;
}
