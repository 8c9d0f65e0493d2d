/*
 * An EFI application that plays firmware with persistent memory and, where the CPU has them, page
 * tables of five levels: it takes PMEM_MIB of ordinary memory, lets GetMemoryMap tell it as type 14
 * from then on, switches five levels on, and starts NEXT from its own volume. It stays loaded below
 * that program. UEFI 2.10: 2.3.4 (paging), 4.4 (table), 7.2.3 (map), 7.4.1 and 7.4.2 (images).
 */
#include <efi.h>

#define PMEM_MIB 192
#define OWN_TYPE 0x80000001u /* 7.2.1: such types are free for OS loaders to use */
#define NEXT     L"\\EFI\\BOOT\\NEXT.EFI"
#define PATH_MAX 512

#define CPUID_7_ECX_LA57 (1u << 16)
#define PRESENT_WRITABLE 3u

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

/*
 * Make this the top table, of five levels: paging has to be off meanwhile (SDM vol. 3 4.5), hence
 * the way through 32-bit mode. The firmware's GDT and segments come back.
 */
void use_five_levels(UINT64 table) __attribute__((sysv_abi));

__asm__(".pushsection .text\n"
        ".globl use_five_levels\n"
        "use_five_levels:\n\t"
        "pushfq\n\t"
        "cli\n\t"
        "movl %cs, %eax\n\t"
        "pushq %rax\n\t"
        "movl %ss, %eax\n\t"
        "pushq %rax\n\t"
        "subq $16, %rsp\n\t"
        "sgdt (%rsp)\n\t"
        "leaq 4f(%rip), %rax\n\t"
        "pushq %rax\n\t"
        "pushq $0\n\t"
        "movw $31, 6(%rsp)\n\t" /* the limit, before the base */
        "lgdt 6(%rsp)\n\t"
        "addq $16, %rsp\n\t"
        "leaq 2f(%rip), %rsi\n\t"
        "leaq 1f(%rip), %rax\n\t"
        "pushq $0x10\n\t"
        "pushq %rax\n\t"
        "lretq\n"
        ".code32\n"
        "1:\tmovl $0x18, %eax\n\t"
        "movl %eax, %ss\n\t"
        "movl %cr0, %ecx\n\t"
        "movl %ecx, %eax\n\t"
        "btrl $31, %eax\n\t" /* PG */
        "movl %eax, %cr0\n\t"
        "movl %cr4, %eax\n\t"
        "btsl $12, %eax\n\t" /* LA57 */
        "movl %eax, %cr4\n\t"
        "movl %edi, %cr3\n\t"
        "movl %ecx, %cr0\n\t"
        "pushl $0x08\n\t"
        "pushl %esi\n\t"
        "lret\n"
        ".code64\n"
        "2:\tlgdt (%rsp)\n\t"
        "addq $16, %rsp\n\t"
        "popq %rax\n\t"
        "movl %eax, %ss\n\t"
        "leaq 3f(%rip), %rax\n\t"
        "pushq %rax\n\t"
        "lretq\n"
        "3:\tpopfq\n\t"
        "ret\n\t"
        ".balign 8\n"
        "4:\t.quad 0, 0x00af9b000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
        ".popsection");

static EFI_GET_MEMORY_MAP original;

static EFI_STATUS EFIAPI told(UINTN *size, EFI_MEMORY_DESCRIPTOR *map, UINTN *key, UINTN *each,
                              UINT32 *version)
{
        EFI_STATUS status = original(size, map, key, each, version);

        for (UINTN at = 0; status == EFI_SUCCESS && at < *size; at += *each) {
                EFI_MEMORY_DESCRIPTOR *d = (EFI_MEMORY_DESCRIPTOR *)((UINT8 *)map + at);

                if (d->Type == OWN_TYPE)
                        d->Type = 14;
        }
        return status;
}

static EFI_STATUS hook(EFI_BOOT_SERVICES *bs)
{
        EFI_PHYSICAL_ADDRESS start = 0x3fffffff;
        EFI_STATUS status = bs->AllocatePages(AllocateMaxAddress, (EFI_MEMORY_TYPE)OWN_TYPE,
                                              PMEM_MIB * 256, &start);
        UINT32 crc = 0;

        if (status != EFI_SUCCESS)
                return status;
        bs->SetMem((void *)start, PMEM_MIB << 20, 0);
        original = bs->GetMemoryMap;
        bs->GetMemoryMap = told;
        bs->Hdr.CRC32 = 0;
        status = bs->CalculateCrc32(bs, bs->Hdr.HeaderSize, &crc);
        bs->Hdr.CRC32 = crc;
        return status;
}

/* The device path of NEXT: the volume's, then a node with the file's path (10.3.5.4), then the end.
 */
static EFI_STATUS next_path(EFI_BOOT_SERVICES *bs, EFI_HANDLE device, UINT8 *out)
{
        static EFI_GUID guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
        static CHAR16 name[] = NEXT;
        const UINT8 *volume, *p;
        UINTN n;
        EFI_STATUS status = bs->HandleProtocol(device, &guid, (void **)&volume);

        if (status != EFI_SUCCESS)
                return status;
        for (p = volume; p[0] != 0x7f; p += p[2] | p[3] << 8)
                ;
        n = (UINTN)(p - volume);
        if (n + 4 + sizeof name + 4 > PATH_MAX)
                return EFI_BUFFER_TOO_SMALL;
        bs->CopyMem(out, (void *)volume, n);
        out[n] = 4;     /* media */
        out[n + 1] = 4; /* file path */
        out[n + 2] = 4 + sizeof name;
        out[n + 3] = 0;
        bs->CopyMem(out + n + 4, name, sizeof name);
        bs->CopyMem(out + n + 4 + sizeof name, (void *)p, 4);
        return EFI_SUCCESS;
}

static UINT64 read_cr3(void)
{
        UINT64 value;

        __asm__ volatile("movq %%cr3, %0" : "=r"(value));
        return value;
}

static EFI_STATUS add_level(EFI_SYSTEM_TABLE *system)
{
        EFI_BOOT_SERVICES *bs = system->BootServices;
        EFI_PHYSICAL_ADDRESS table = 0x3fffffff;
        UINT32 a = 7, b, c = 0, d;
        EFI_STATUS status;

        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        if (!(c & CPUID_7_ECX_LA57))
                return EFI_SUCCESS;
        status = bs->AllocatePages(AllocateMaxAddress, EfiRuntimeServicesData, 1, &table);
        if (status != EFI_SUCCESS)
                return status;
        bs->SetMem((void *)table, 4096, 0);
        *(UINT64 *)table = (read_cr3() & ~0xfffull) | PRESENT_WRITABLE;
        use_five_levels(table);
        return system->ConOut->OutputString(system->ConOut, L"firmware: paging of 5 levels\r\n");
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
        static EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
        static UINT8 path[PATH_MAX];
        EFI_BOOT_SERVICES *bs = system->BootServices;
        EFI_LOADED_IMAGE *self;
        EFI_HANDLE next;
        EFI_STATUS status = bs->HandleProtocol(image, &guid, (void **)&self);

        if (status == EFI_SUCCESS)
                status = next_path(bs, self->DeviceHandle, path);
        if (status == EFI_SUCCESS)
                status = hook(bs);
        if (status == EFI_SUCCESS)
                status = add_level(system);
        if (status == EFI_SUCCESS)
                status = bs->LoadImage(FALSE, image, (EFI_DEVICE_PATH *)path, NULL, 0, &next);
        return status == EFI_SUCCESS ? bs->StartImage(next, NULL, NULL) : status;
}
