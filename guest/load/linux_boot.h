/*
 * Linux as a guest: loads a bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86/
 * boot.rst) and gives the state in which the first vCPU enters it. No real-mode code runs.
 */
#pragma once

#include "guest/load/layout.h"
#include "guest/mem/gmem.h"
#include "hv/lib/types.h"
#include "hv/virt.h"

#define LINUX_WHY_SIZE 160

/* What to load; the files stay the caller's and are only read. */
struct linux_image {
        const void *kernel;
        uint64_t kernel_size;
        const void *initrd; /* NULL: none */
        uint64_t initrd_size;
        const char *cmdline; /* the kernel's; the arguments on NVRAM regions are appended */
        const char *domain;  /* the regions' persistence domain, in a word */
};

/* How to enter the kernel: state.rip is its entry, regs go to struct vcpu. */
struct linux_entry {
        struct vcpu_state state;
        uint64_t regs[REG_COUNT];
};

/*
 * Copy kernel and initrd into the guest's RAM and write boot parameters, E820 map, command line,
 * page tables, GDT and the reset vector. RAM must read as zero where nothing is written. The ACPI
 * tables are written apart (acpi_tables_write).
 *
 * Returns 0, or with the reason in words in why: -EINVAL when the file is no kernel that can be
 * booted this way; -ENOSPC when something does not fit in the VM's RAM; -E2BIG when the command
 * line is too long for the kernel; -EFAULT when mem is not what layout says. Nothing but the
 * guest's RAM has changed then.
 */
must_check int linux_boot_load(const struct linux_image *image, const struct vm_layout *layout,
                               const struct gmem *mem, struct linux_entry *entry,
                               char why[LINUX_WHY_SIZE]);
