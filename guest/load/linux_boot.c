/* Linux's 64-bit boot protocol from the loader's side; the contract is in linux_boot.h. */
#include "guest/load/linux_boot.h"

#include "guest/dev/acpi_pm.h"
#include "guest/dev/platform.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"
#include "mm/memmap.h"

/* The setup header in the file, boot.rst "The Real-Mode Kernel Header"; all of it little-endian. */
struct setup_header {
        uint8_t setup_sects;
        uint16_t root_flags;
        uint32_t syssize; /* of the protected-mode code, in 16-byte paragraphs */
        uint16_t ram_size, vid_mode, root_dev;
        uint16_t boot_flag;
        uint16_t jump; /* its second byte tells where the header ends */
        uint32_t magic;
        uint16_t version;
        uint32_t realmode_switch;
        uint16_t start_sys_seg, kernel_version;
        uint8_t type_of_loader;
        uint8_t loadflags;
        uint16_t setup_move_size;
        uint32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
        uint16_t heap_end_ptr;
        uint8_t ext_loader_ver, ext_loader_type;
        uint32_t cmd_line_ptr;
        uint32_t initrd_addr_max; /* the last byte an initrd may take */
        uint32_t kernel_alignment;
        uint8_t relocatable_kernel, min_alignment;
        uint16_t xloadflags;
        uint32_t cmdline_size; /* without the terminator */
        uint32_t hardware_subarch;
        uint64_t hardware_subarch_data;
        uint32_t payload_offset, payload_length;
        uint64_t setup_data;
        uint64_t pref_address;
        uint32_t init_size; /* bytes the kernel needs from its load address */
        uint32_t handover_offset, kernel_info_offset;
} __attribute__((packed));

struct e820_entry {
        uint64_t addr, size;
        uint32_t type;
} __attribute__((packed));

#define E820_ENTRIES_MAX 128
#define E820_FIXED       4 /* entries below the RAM that kernels may use */

/* The zero page, Linux, Documentation/arch/x86/zero-page.rst: what is used of it. */
struct boot_params {
        uint8_t pad0[0x70];
        uint64_t acpi_rsdp_addr;
        uint8_t pad1[0x1e8 - 0x78];
        uint8_t e820_entries;
        uint8_t pad2[0x1f1 - 0x1e9];
        struct setup_header hdr;
        uint8_t pad3[0x2d0 - 0x1f1 - sizeof(struct setup_header)];
        struct e820_entry e820[E820_ENTRIES_MAX];
        uint8_t pad4[0x1000 - 0x2d0 - E820_ENTRIES_MAX * sizeof(struct e820_entry)];
} __attribute__((packed));

_Static_assert(offsetof(struct boot_params, hdr.magic) == 0x202, "HdrS");
_Static_assert(offsetof(struct boot_params, hdr.init_size) == 0x260, "setup header");
_Static_assert(offsetof(struct boot_params, e820) == 0x2d0, "E820 table");
_Static_assert(sizeof(struct boot_params) == PAGE_4K, "zero page");

#define SECTOR           512u
#define HEADER_OFFSET    0x1f1u
#define HEADER_END_BASE  0x202u /* + the jump's second byte */
#define BOOT_FLAG        0xaa55
#define HEADER_MAGIC     0x53726448u /* "HdrS" */
#define VERSION_MIN      0x20c       /* 2.12: the first with xloadflags */
#define LOADED_HIGH      0x01
#define XLF_KERNEL_64    0x01
#define LOADER_UNDEFINED 0xff
#define VID_MODE_NORMAL  0xffff
#define ENTRY_64         0x200

#define PIECE (2 * MiB) /* that is copied without a step */

#define PTE_PRESENT_WRITE 3ull
#define PTE_LARGE         0x80ull
#define IDENTITY_GIB      4u
#define PTES              512u

/* boot.rst "64-bit Boot Protocol": flat segments at these selectors */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TR 0x20

/* Access rights: present, code/data and accessed; SDM vol. 3, 3.4.5 and 3.5 */
#define RIGHTS_CODE 0xa09b /* execute/read, 64-bit, 4 KiB granularity */
#define RIGHTS_DATA 0xc093 /* read/write, 32-bit, 4 KiB granularity */
#define RIGHTS_TSS  0x008b /* busy 64-bit TSS */

/* Everything the steps share: what was read from the file, and where the parts go. */
struct load {
        const struct linux_image *image;
        const struct vm_layout *layout;
        const struct gmem *mem;
        struct setup_header hdr;
        uint64_t code_offset, code_size; /* in the file */
        uint64_t kernel, initrd;         /* guest-physical addresses */
        char *why;
};

static __attribute__((format(printf, 3, 4))) int refuse(const struct load *load, int err,
                                                        const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        format_text_v(load->why, LINUX_WHY_SIZE, fmt, ap);
        va_end(ap);
        return err;
}

/* The header ends before its newest fields in older kernels: those read as zero. */
static int read_header(struct load *load)
{
        const uint8_t *file = load->image->kernel;
        uint64_t size = load->image->kernel_size;
        struct setup_header *hdr = &load->hdr;
        size_t len;

        memset(hdr, 0, sizeof *hdr);
        if (size < HEADER_OFFSET + sizeof *hdr)
                return refuse(load, -EINVAL, "not a Linux bzImage: only %lu bytes", size);
        memcpy(hdr, file + HEADER_OFFSET, sizeof *hdr);
        if (hdr->boot_flag != BOOT_FLAG)
                return refuse(load, -EINVAL, "not a Linux bzImage: no boot flag AA55h at 1FEh");
        if (hdr->magic != HEADER_MAGIC)
                return refuse(load, -EINVAL, "not a Linux bzImage: no HdrS at 202h");
        if (hdr->version < VERSION_MIN)
                return refuse(load, -EINVAL, "boot protocol %u.%02u is older than 2.12",
                              hdr->version >> 8, hdr->version & 0xffu);
        len = HEADER_END_BASE + (hdr->jump >> 8) - HEADER_OFFSET;
        if (len < offsetof(struct setup_header, handover_offset))
                return refuse(load, -EINVAL, "the setup header ends before init_size");
        if (len < sizeof *hdr)
                memset((uint8_t *)hdr + len, 0, sizeof *hdr - len);
        return 0;
}

static int check_kernel(struct load *load)
{
        const struct setup_header *hdr = &load->hdr;
        uint64_t setup_sects = hdr->setup_sects ? hdr->setup_sects : 4; /* boot.rst: 0 means 4 */

        if (!(hdr->xloadflags & XLF_KERNEL_64))
                return refuse(load, -EINVAL, "no 64-bit entry (XLF_KERNEL_64 is 0)");
        if (!(hdr->loadflags & LOADED_HIGH))
                return refuse(load, -EINVAL, "a zImage, not a bzImage (LOADED_HIGH is 0)");
        load->code_offset = (setup_sects + 1) * SECTOR;
        load->code_size = hdr->syssize * 16ull;
        if (load->code_size <= ENTRY_64)
                return refuse(load, -EINVAL, "no kernel behind the setup code");
        if (load->image->kernel_size < load->code_offset ||
            load->image->kernel_size - load->code_offset < load->code_size)
                return refuse(load, -EINVAL, "the file is cut short: %lu of %lu bytes",
                              load->image->kernel_size, load->code_offset + load->code_size);
        if (hdr->init_size < load->code_size)
                return refuse(load, -EINVAL, "init_size %u is below the kernel's own size %lu",
                              hdr->init_size, load->code_size);
        return 0;
}

/* The preferred address; a kernel that moves itself would go there anyway. */
static int place_kernel(struct load *load)
{
        const struct setup_header *hdr = &load->hdr;
        uint64_t align = hdr->kernel_alignment;
        uint64_t ram_end = load->layout->ram[0].size;

        if (align == 0 || (align & (align - 1)) != 0)
                return refuse(load, -EINVAL, "kernel_alignment 0x%lx is no power of two", align);
        if (hdr->pref_address < PLATFORM_BIOS_END || hdr->pref_address > UINT32_MAX)
                return refuse(load, -EINVAL, "pref_address 0x%lx is not between 1 MiB and 4 GiB",
                              hdr->pref_address);
        load->kernel = align_up(hdr->pref_address, align);
        if (load->kernel != hdr->pref_address && !hdr->relocatable_kernel)
                return refuse(load, -EINVAL, "pref_address 0x%lx is not aligned",
                              hdr->pref_address);
        if (load->kernel > ram_end || hdr->init_size > ram_end - load->kernel)
                return refuse(load, -ENOSPC, "mem=%luM is too small: the kernel needs %luM",
                              ram_end / MiB,
                              align_up(load->kernel + hdr->init_size, PAGE_2M) / MiB);
        return 0;
}

/* As high as the kernel allows, out of the way of its growth; boot.rst "initrd_addr_max". */
static int place_initrd(struct load *load)
{
        uint64_t size = load->image->initrd_size;
        uint64_t end = load->layout->ram[0].size;
        uint64_t start = load->kernel + load->hdr.init_size;

        if (!load->image->initrd)
                return 0;
        if (end > load->hdr.initrd_addr_max + 1ull)
                end = load->hdr.initrd_addr_max + 1ull;
        if (size > UINT32_MAX || end < size || align_down(end - size, PAGE_4K) < start)
                return refuse(load, -ENOSPC,
                              "an initrd of %lu KiB does not fit between 0x%lx and 0x%lx",
                              size / KiB, start, end);
        load->initrd = align_down(end - size, PAGE_4K);
        return 0;
}

static int write_guest(const struct load *load, uint64_t gpa, const void *data, uint64_t size)
{
        int err = 0;

        for (uint64_t at = 0, n; !err && at < size; at += n) {
                n = size - at < PIECE ? size - at : PIECE;
                err = gmem_write(load->mem, GPA(gpa + at), (const uint8_t *)data + at, n);
                work_step();
        }
        if (err)
                return refuse(load, -EFAULT, "0x%lx bytes at guest address 0x%lx are no memory",
                              size, gpa);
        return 0;
}

static void *guest_page(const struct load *load, uint64_t gpa, uint64_t size)
{
        void *page = gmem_ptr(load->mem, GPA(gpa), size);

        if (!page)
                refuse(load, -EFAULT, "guest address 0x%lx is no memory", gpa);
        return page;
}

/* What is told of the regions, as format_text: where they are and when their data is durable. */
static uint64_t format_arguments(const struct load *load, char *buf, uint64_t size)
{
        uint64_t len = (uint64_t)layout_format_regions(load->layout, buf, size);
        uint64_t room = len < size ? size - len : 0;

        if (!len)
                return 0;
        return len + (uint64_t)format_text(room ? buf + len : NULL, room, " permafrost.domain=%s",
                                           load->image->domain);
}

/* The kernel's command line with the regions behind it. */
static int write_cmdline(struct load *load)
{
        uint64_t limit = load->hdr.cmdline_size, len = strlen(load->image->cmdline);
        uint64_t regions = format_arguments(load, NULL, 0);
        uint64_t total = len + (len && regions ? 1 : 0) + regions;
        char *text = guest_page(load, PLATFORM_CMDLINE, PLATFORM_CMDLINE_SIZE);

        if (!text)
                return -EFAULT;
        if (limit > PLATFORM_CMDLINE_SIZE - 1)
                limit = PLATFORM_CMDLINE_SIZE - 1;
        if (total > limit)
                return refuse(load, -E2BIG,
                              "the kernel's command line has %lu characters with permafrost.nvram,"
                              " %lu is the kernel's limit",
                              total, limit);
        memcpy(text, load->image->cmdline, len);
        if (total > len + regions)
                text[len++] = ' ';
        text[len] = '\0';
        format_arguments(load, text + len, PLATFORM_CMDLINE_SIZE - len);
        return 0;
}

_Static_assert(E820_ENTRIES_MAX >= E820_FIXED + LAYOUT_RAM_MAX + CONFIG_REGIONS_MAX,
               "a VM's memory map holds its RAM and all its regions");

static void add_e820(struct boot_params *params, uint64_t addr, uint64_t size, enum e820_type type)
{
        params->e820[params->e820_entries++] = (struct e820_entry){addr, size, type};
}

static void fill_e820(struct boot_params *params, const struct vm_layout *layout)
{
        add_e820(params, 0, PLATFORM_BIOS_BASE, E820_RAM);
        add_e820(params, PLATFORM_BIOS_BASE, PLATFORM_ACPI_BASE - PLATFORM_BIOS_BASE,
                 E820_RESERVED);
        add_e820(params, PLATFORM_ACPI_BASE, PLATFORM_ACPI_SIZE, E820_ACPI_RECLAIM);
        add_e820(params, PLATFORM_ACPI_BASE + PLATFORM_ACPI_SIZE,
                 PLATFORM_BIOS_END - PLATFORM_ACPI_BASE - PLATFORM_ACPI_SIZE, E820_RESERVED);
        add_e820(params, PLATFORM_BIOS_END, layout->ram[0].size - PLATFORM_BIOS_END, E820_RAM);
        for (size_t i = 1; i < layout->ram_count; i++)
                add_e820(params, layout->ram[i].gpa.v, layout->ram[i].size, E820_RAM);
        for (size_t i = 0; i < layout->region_count; i++)
                add_e820(params, layout->region[i].gpa.v, layout->region[i].size,
                         E820_PERSISTENT_LEGACY);
}

static int write_boot_params(struct load *load)
{
        struct boot_params *params = guest_page(load, PLATFORM_BOOT_PARAMS, PAGE_4K);

        if (!params)
                return -EFAULT;
        memset(params, 0, sizeof *params);
        params->hdr = load->hdr;
        params->hdr.type_of_loader = LOADER_UNDEFINED;
        params->hdr.vid_mode = VID_MODE_NORMAL;
        params->hdr.code32_start = (uint32_t)load->kernel;
        params->hdr.cmd_line_ptr = PLATFORM_CMDLINE;
        params->hdr.ramdisk_image = (uint32_t)load->initrd;
        params->hdr.ramdisk_size = load->image->initrd ? (uint32_t)load->image->initrd_size : 0;
        params->hdr.setup_data = 0;
        params->acpi_rsdp_addr = PLATFORM_ACPI_BASE;
        fill_e820(params, load->layout);
        return 0;
}

/* Identity tables with 2 MiB pages: all that the protocol asks for, with room to spare. */
static int write_page_tables(struct load *load)
{
        uint64_t *pml4 = guest_page(load, PLATFORM_PAGE_TABLES, (2 + IDENTITY_GIB) * PAGE_4K);
        uint64_t *pdpt, *pd;

        if (!pml4)
                return -EFAULT;
        pdpt = pml4 + PTES;
        pd = pdpt + PTES;
        memset(pml4, 0, 2 * PAGE_4K);
        pml4[0] = (PLATFORM_PAGE_TABLES + PAGE_4K) | PTE_PRESENT_WRITE;
        for (uint64_t i = 0; i < IDENTITY_GIB; i++)
                pdpt[i] = (PLATFORM_PAGE_TABLES + (2 + i) * PAGE_4K) | PTE_PRESENT_WRITE;
        for (uint64_t i = 0; i < IDENTITY_GIB * PTES; i++)
                pd[i] = i * PAGE_2M | PTE_PRESENT_WRITE | PTE_LARGE;
        return 0;
}

/* A flat descriptor from the access rights of struct vcpu_segment; SDM vol. 3, figure 3-8. */
static uint64_t flat_descriptor(uint64_t access)
{
        return 0xffffull | (access & 0xff) << 40 | 0xfull << 48 | (access >> 12 & 0xf) << 52;
}

static void fill_entry(const struct load *load, struct linux_entry *entry)
{
        const struct vcpu_segment data = {0, UINT32_MAX, BOOT_DS, RIGHTS_DATA};

        memset(entry, 0, sizeof *entry);
        entry->regs[REG_RSI] = PLATFORM_BOOT_PARAMS;
        entry->state = (struct vcpu_state){
            .rip = load->kernel + ENTRY_64,
            .rflags = RFLAGS_FIXED,
            .cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG,
            .cr3 = PLATFORM_PAGE_TABLES,
            .cr4 = CR4_PAE,
            .efer = EFER_LME | EFER_LMA,
            .gdt_base = PLATFORM_GDT,
            .gdt_limit = BOOT_DS + 7,
        };
        entry->state.seg[SEG_CS] = (struct vcpu_segment){0, UINT32_MAX, BOOT_CS, RIGHTS_CODE};
        entry->state.seg[SEG_DS] = entry->state.seg[SEG_ES] = data;
        entry->state.seg[SEG_SS] = entry->state.seg[SEG_FS] = entry->state.seg[SEG_GS] = data;
        /* VT-x and the CPU's own reset both want a busy TSS, though nothing uses it here */
        entry->state.seg[SEG_TR] = (struct vcpu_segment){0, 0x67, BOOT_TR, RIGHTS_TSS};
}

static int write_gdt(struct load *load)
{
        const uint64_t gdt[] = {
            [BOOT_CS / 8] = flat_descriptor(RIGHTS_CODE),
            [BOOT_DS / 8] = flat_descriptor(RIGHTS_DATA),
        };

        return write_guest(load, PLATFORM_GDT, gdt, sizeof gdt);
}

/*
 * The whole BIOS. On hardware-reduced ACPI without EFI Linux 6.1 passes over the reset register and
 * restarts as an old PC did, through the real-mode reset vector.
 */
static int write_reset_vector(struct load *load)
{
        const uint16_t port = PLATFORM_ACPI_PM_PORT + ACPI_PM_RESET;
        /* mov dx, port; mov al, value; out dx, al; stop: hlt; jmp stop */
        const uint8_t code[] = {0xba, port & 0xff, port >> 8, 0xb0, ACPI_PM_RESET_VALUE,
                                0xee, 0xf4,        0xeb,      0xfd};

        return write_guest(load, PLATFORM_RESET_VECTOR, code, sizeof code);
}

static int write_files(struct load *load)
{
        const struct linux_image *image = load->image;
        const uint8_t *code = (const uint8_t *)image->kernel + load->code_offset;
        int err = write_guest(load, load->kernel, code, load->code_size);

        if (!err && image->initrd)
                err = write_guest(load, load->initrd, image->initrd, image->initrd_size);
        return err;
}

int linux_boot_load(const struct linux_image *image, const struct vm_layout *layout,
                    const struct gmem *mem, struct linux_entry *entry, char why[LINUX_WHY_SIZE])
{
        /* All checks before the first write. */
        static int (*const steps[])(struct load *) = {
            read_header,       check_kernel,      place_kernel, place_initrd,       write_cmdline,
            write_boot_params, write_page_tables, write_gdt,    write_reset_vector, write_files,
        };
        struct load load = {.image = image, .layout = layout, .mem = mem, .why = why};
        int err = 0;

        why[0] = '\0';
        for (size_t i = 0; !err && i < ARRAY_LEN(steps); i++)
                err = steps[i](&load);
        if (!err)
                fill_entry(&load, entry);
        return err;
}
