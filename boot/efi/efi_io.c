/* Console, memory and files by boot services; the contract is in efi_io.h. */
#include "boot/efi/efi_io.h"

#include "boot/boot_info.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

#define LINE_SIZE      256
#define PATH_SIZE      256
#define ALLOCS_MAX     (BOOT_MODULES_MAX + 8)
#define KEY_SECONDS    10
#define TICKS_A_SECOND 10000000ull /* of 100 ns */

static EFI_HANDLE self;
static EFI_SYSTEM_TABLE *st;
static struct {
        EFI_PHYSICAL_ADDRESS start;
        UINTN pages;
} allocs[ALLOCS_MAX];
static size_t alloc_count;

void efi_io_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
        self = image;
        st = system;
}

EFI_BOOT_SERVICES *efi_boot_services(void)
{
        return st->BootServices;
}

EFI_SYSTEM_TABLE *efi_system(void)
{
        return st;
}

static void say_v(const char *prefix, const char *fmt, va_list ap)
{
        char text[LINE_SIZE];
        CHAR16 wide[LINE_SIZE + 2];
        size_t used = (size_t)format_text(text, sizeof text, "%s", prefix), n = 0;

        format_text_v(text + used, sizeof text - used, fmt, ap);
        for (; text[n]; n++)
                wide[n] = (CHAR16)(unsigned char)text[n];
        wide[n++] = '\r';
        wide[n++] = '\n';
        wide[n] = 0;
        st->ConOut->OutputString(st->ConOut, wide);
}

void efi_say(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        say_v("permafrost: ", fmt, ap);
        va_end(ap);
}

EFI_STATUS efi_fail(EFI_STATUS status, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        say_v("permafrost: error: ", fmt, ap);
        va_end(ap);
        return status;
}

void efi_wait_for_key(void)
{
        EFI_BOOT_SERVICES *bs = st->BootServices;
        EFI_EVENT events[2] = {st->ConIn->WaitForKey, NULL};
        EFI_INPUT_KEY key;
        UINTN index;

        st->ConIn->Reset(st->ConIn, FALSE);
        efi_say("back to the firmware after a key, or in %d s", KEY_SECONDS);
        if (bs->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[1]) != EFI_SUCCESS)
                return;
        bs->SetTimer(events[1], TimerRelative, KEY_SECONDS * TICKS_A_SECOND);
        bs->WaitForEvent(2, events, &index);
        st->ConIn->ReadKeyStroke(st->ConIn, &key);
        bs->CloseEvent(events[1]);
}

/* Zeroed, and noted for efi_free_all; NULL: the firmware gives none. */
static void *take_pages(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, EFI_PHYSICAL_ADDRESS start,
                        uint64_t size)
{
        UINTN pages = align_up(size, PAGE_4K) / PAGE_4K;

        if (alloc_count == ALLOCS_MAX ||
            st->BootServices->AllocatePages(how, type, pages, &start) != EFI_SUCCESS)
                return NULL;
        allocs[alloc_count].start = start;
        allocs[alloc_count++].pages = pages;
        return memset((void *)start, 0, pages * PAGE_4K);
}

void *efi_alloc(uint64_t size)
{
        void *memory = take_pages(AllocateMaxAddress, EfiLoaderData, BOOT_MAPPED - 1, size);

        if (!memory)
                efi_fail(EFI_OUT_OF_RESOURCES, "no %lu KiB of memory below 4 GiB", size / KiB + 1);
        return memory;
}

/* Which part of a place is not free: the firmware's map tells. */
static void tell_who_is_there(uint64_t start, uint64_t size)
{
        UINTN map_size = 0, key, each;
        UINT32 version;
        uint8_t *map;

        st->BootServices->GetMemoryMap(&map_size, NULL, &key, &each, &version);
        map_size += 2 * PAGE_4K;
        map = efi_alloc(map_size);
        if (!map || st->BootServices->GetMemoryMap(&map_size, (EFI_MEMORY_DESCRIPTOR *)map, &key,
                                                   &each, &version) != EFI_SUCCESS)
                return;
        for (UINTN at = 0; at < map_size; at += each) {
                const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(map + at);
                uint64_t end = d->PhysicalStart + d->NumberOfPages * PAGE_4K;

                if (d->Type != EfiConventionalMemory && d->PhysicalStart < start + size &&
                    end > start)
                        efi_say("0x%lx-0x%lx is memory of EFI type %u", d->PhysicalStart, end - 1,
                                d->Type);
        }
}

void *efi_alloc_at(uint64_t start, uint64_t size)
{
        void *memory = take_pages(AllocateAddress, EfiLoaderCode, start, size);

        if (memory)
                return memory;
        efi_fail(EFI_OUT_OF_RESOURCES,
                 "the firmware does not give the memory 0x%lx-0x%lx, where the image must be",
                 start, start + size - 1);
        tell_who_is_there(start, size);
        return NULL;
}

void efi_free_all(void)
{
        while (alloc_count-- > 0)
                st->BootServices->FreePages(allocs[alloc_count].start, allocs[alloc_count].pages);
        alloc_count = 0;
}

static EFI_STATUS open_volume(EFI_FILE_HANDLE *root)
{
        static EFI_GUID loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
        static EFI_GUID file_system = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
        EFI_BOOT_SERVICES *bs = st->BootServices;
        EFI_LOADED_IMAGE *image;
        EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
        EFI_STATUS status = bs->HandleProtocol(self, &loaded_image, (void **)&image);

        if (status == EFI_SUCCESS)
                status = bs->HandleProtocol(image->DeviceHandle, &file_system, (void **)&volume);
        if (status == EFI_SUCCESS)
                status = volume->OpenVolume(volume, root);
        if (status != EFI_SUCCESS)
                return efi_fail(status, "the loader's volume cannot be read (EFI error %lu)",
                                status & ~EFI_ERROR_MASK);
        return EFI_SUCCESS;
}

static EFI_STATUS open_file(const char *path, EFI_FILE_HANDLE *file)
{
        CHAR16 wide[PATH_SIZE];
        EFI_FILE_HANDLE root = NULL;
        EFI_STATUS status;
        size_t n = 0;

        for (; path[n]; n++) {
                if (n == PATH_SIZE - 1)
                        return efi_fail(EFI_INVALID_PARAMETER, "%s: the path is too long", path);
                wide[n] = path[n] == '/' ? '\\' : (CHAR16)(unsigned char)path[n];
        }
        wide[n] = 0;
        status = open_volume(&root);
        if (status == EFI_SUCCESS && !root)
                status = EFI_NOT_FOUND;
        if (status != EFI_SUCCESS)
                return status;
        status = root->Open(root, file, wide, EFI_FILE_MODE_READ, 0);
        root->Close(root);
        if (status == EFI_NOT_FOUND)
                return efi_fail(status, "%s: not found on the loader's volume", path);
        if (status != EFI_SUCCESS)
                return efi_fail(status, "%s: cannot be opened (EFI error %lu)", path,
                                status & ~EFI_ERROR_MASK);
        return EFI_SUCCESS;
}

/* Seeking to the last position moves to the end (13.5, SetPosition). */
static EFI_STATUS file_size(EFI_FILE_HANDLE file, uint64_t *size)
{
        EFI_STATUS status = file->SetPosition(file, UINT64_MAX);

        if (status == EFI_SUCCESS)
                status = file->GetPosition(file, size);
        return status == EFI_SUCCESS ? file->SetPosition(file, 0) : status;
}

static EFI_STATUS read_all(EFI_FILE_HANDLE file, const char *path, uint8_t **out, uint64_t *size)
{
        EFI_STATUS status = file_size(file, size);
        UINTN part;

        *out = NULL;
        if (status == EFI_SUCCESS && *size) {
                *out = efi_alloc(*size);
                if (!*out)
                        return EFI_OUT_OF_RESOURCES;
        }
        for (uint64_t at = 0; status == EFI_SUCCESS && at < *size; at += part) {
                part = *size - at;
                status = file->Read(file, &part, *out + at);
                if (status == EFI_SUCCESS && !part)
                        status = EFI_END_OF_FILE;
        }
        if (status != EFI_SUCCESS)
                return efi_fail(status, "%s: cannot be read (EFI error %lu)", path,
                                status & ~EFI_ERROR_MASK);
        return EFI_SUCCESS;
}

EFI_STATUS efi_read_file(const char *path, uint8_t **out, uint64_t *size)
{
        EFI_FILE_HANDLE file;
        EFI_STATUS status = open_file(path, &file);

        if (status != EFI_SUCCESS)
                return status;
        status = read_all(file, path, out, size);
        file->Close(file);
        return status;
}
