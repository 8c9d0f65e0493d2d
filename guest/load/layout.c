/* A VM's guest-physical address space; the contract is in layout.h. */
#include "guest/load/layout.h"

#include "guest/dev/platform.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

_Static_assert(PLATFORM_PCI_BASE >= PLATFORM_RAM_LOW_END &&
                   PLATFORM_PCI_BASE + PLATFORM_PCI_SIZE <= PLATFORM_IOAPIC_BASE,
               "the PCI bus' window lies in the hole for devices, whatever memory a VM has");

static void add_ram(struct vm_layout *layout, uint64_t gpa, uint64_t size)
{
        layout->ram[layout->ram_count++] = (struct layout_range){GPA(gpa), size};
}

int layout_compute(const struct vm_config *vm, unsigned address_bits, struct vm_layout *layout)
{
        uint64_t limit = 1ull << address_bits;
        uint64_t end = PLATFORM_RAM_HIGH_BASE;

        memset(layout, 0, sizeof *layout);
        if (vm->mem <= PLATFORM_RAM_LOW_END) {
                add_ram(layout, 0, vm->mem);
        } else {
                uint64_t high = vm->mem - PLATFORM_RAM_LOW_END;

                if (end > limit || high > limit - end)
                        return -ERANGE;
                add_ram(layout, 0, PLATFORM_RAM_LOW_END);
                add_ram(layout, end, high);
                /* a hole of at least a large page, as between regions: an overrun faults */
                end += high + PAGE_2M;
        }
        for (size_t i = 0; i < vm->region_count; i++) {
                struct layout_region *region = &layout->region[i];
                uint64_t gpa = align_up(end, PAGE_1G);

                if (gpa > limit || vm->region[i].size > limit - gpa)
                        return -ERANGE;
                memcpy(region->name, vm->region[i].name, sizeof region->name);
                region->gpa = GPA(gpa);
                region->size = vm->region[i].size;
                region->read_only = vm->region[i].read_only;
                end = gpa + region->size + PAGE_2M;
                layout->region_count++;
        }
        return 0;
}

int layout_format_regions(const struct vm_layout *layout, char *buf, size_t size)
{
        size_t len = 0;

        if (size > 0)
                buf[0] = '\0';
        for (size_t i = 0; i < layout->region_count; i++) {
                const struct layout_region *region = &layout->region[i];
                size_t room = len < size ? size - len : 0;

                len += (size_t)format_text(room ? buf + len : NULL, room, "%s%s@0x%lx:0x%lx%s",
                                           i == 0 ? "permafrost.nvram=" : ",", region->name,
                                           region->gpa.v, region->size,
                                           region->read_only ? ":ro" : "");
        }
        return (int)len;
}
