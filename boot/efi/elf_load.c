/* ELF64 images of our own kind: all checks first, then a copy that cannot fail; see elf_load.h. */
#include "boot/efi/elf_load.h"

#include "hv/lib/string.h"

#define ELF_EXEC   2
#define ELF_X86_64 62
#define ELF_LOAD   1

struct elf_header {
        uint8_t ident[16]; /* magic, class (2: 64 bits), byte order (1: little), version (1) */
        uint16_t type, machine;
        uint32_t version;
        uint64_t entry, program_offset, section_offset;
        uint32_t flags;
        uint16_t header_size, program_size, program_count;
        uint16_t section_size, section_count, section_names;
};

struct elf_program {
        uint32_t type, flags;
        uint64_t offset, virtual_start, start, file_size, size, alignment;
};

static uint64_t end_of(const struct elf_segment *s)
{
        return s->start + s->size;
}

static const char *check_header(const uint8_t *file, uint64_t size, struct elf_header *h)
{
        static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

        if (size < sizeof *h)
                return "is too short for an ELF file";
        memcpy(h, file, sizeof *h);
        if (memcmp(h->ident, ident, sizeof ident) != 0)
                return "is no ELF64 file";
        if (h->type != ELF_EXEC || h->machine != ELF_X86_64)
                return "is no program for x86-64 with fixed addresses";
        if (h->program_size != sizeof(struct elf_program) || h->program_offset > size ||
            h->program_count > (size - h->program_offset) / sizeof(struct elf_program))
                return "has program headers outside of the file";
        return NULL;
}

static const char *add_segment(const struct elf_program *p, uint64_t size, struct elf_image *out)
{
        const struct elf_segment *last =
            out->segment_count ? &out->segment[out->segment_count - 1] : NULL;

        if (p->offset > size || p->file_size > size - p->offset || p->file_size > p->size)
                return "has a segment that the file does not hold: it was cut or is damaged";
        if (p->start < ELF_LOWEST || p->start >= BOOT_MAPPED || p->size > BOOT_MAPPED - p->start)
                return "has a segment below 1 MiB or above 4 GiB";
        if (p->start != p->virtual_start || !is_aligned(p->start, PAGE_4K))
                return "has a segment that is not mapped one to one in pages";
        if (last && p->start < end_of(last))
                return "has segments that overlap or are not in order";
        if (out->segment_count == ELF_SEGMENTS_MAX)
                return "has too many segments";
        out->segment[out->segment_count++] =
            (struct elf_segment){p->offset, p->file_size, p->start, p->size};
        return NULL;
}

static const char *find_entry(const uint8_t *file, struct elf_image *image)
{
        const struct elf_segment *first = &image->segment[0];
        uint64_t limit =
            first->file_size < BOOT_HEADER_SEARCH ? first->file_size : BOOT_HEADER_SEARCH;
        struct boot_header header;

        for (uint64_t at = 0; at + sizeof header <= limit; at += 8) {
                memcpy(&header, file + first->offset + at, sizeof header);
                if (memcmp(header.magic, BOOT_HEADER_MAGIC, sizeof header.magic) != 0)
                        continue;
                if (header.layout != BOOT_LAYOUT)
                        return "is of another build than this loader: take both from one";
                if (header.entry < first->start || header.entry - first->start >= first->file_size)
                        return "has its entry outside of its code";
                image->entry = header.entry;
                return NULL;
        }
        return "has no entry for EFI: it is not Permafrost, or older than this loader";
}

const char *elf_check(const uint8_t *file, uint64_t size, struct elf_image *out)
{
        struct elf_header header;
        struct elf_program program;
        const char *wrong = check_header(file, size, &header);

        memset(out, 0, sizeof *out);
        for (unsigned i = 0; !wrong && i < header.program_count; i++) {
                memcpy(&program, file + header.program_offset + i * sizeof program, sizeof program);
                if (program.type == ELF_LOAD && program.size)
                        wrong = add_segment(&program, size, out);
        }
        if (wrong)
                return wrong;
        if (!out->segment_count)
                return "has nothing to load";
        out->start = out->segment[0].start;
        out->size = align_up(end_of(&out->segment[out->segment_count - 1]), PAGE_4K) - out->start;
        return find_entry(file, out);
}

void elf_copy(const uint8_t *file, const struct elf_image *image, uint8_t *memory)
{
        memset(memory, 0, image->size);
        for (size_t i = 0; i < image->segment_count; i++) {
                const struct elf_segment *s = &image->segment[i];

                memcpy(memory + (s->start - image->start), file + s->offset, s->file_size);
        }
}
