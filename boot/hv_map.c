/* The hypervisor's page tables; contract in hv_map.h. SDM vol. 3 4.5, 4.6. */
#include "boot/hv_map.h"

#include "boot/hv_check.h"
#include "drivers/acpi.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"
#include "mm/paging/paging.h"

#define LOW_MEMORY     (1 * MiB) /* left alone: firmware, and where other CPUs start */
#define LAPIC_PAGE     0xfee00000ull
#define VGA_BASE       0xa0000ull
#define VGA_SIZE       0x20000ull
#define REGISTER_BYTES 8 /* at most; an HPET has more, in the same page */

extern const uint8_t image_start[], image_text_end[], image_rodata_end[], image_end[];
extern const uint8_t boot_stack[];

static struct paging tables;

static uint64_t guards[HV_GUARDS_MAX]; /* ascending */
static size_t guard_count;

/* Frames for stacks and tables, one behind the other. They are never given back. */
static struct {
        uint64_t start, next, end;
} room;

static int alloc_table(void *ctx, hpa_t *out)
{
        (void)ctx;
        if (room.next == room.end)
                return -ENOMEM;
        *out = HPA(room.next);
        room.next += PAGE_4K;
        return 0;
}

/* Only on the way out of an error that ends the start. */
static void free_table(void *ctx, hpa_t table)
{
        (void)ctx;
        (void)table;
}

static void *to_ptr(void *ctx, hpa_t table)
{
        (void)ctx;
        return (void *)table.v;
}

static const struct paging_ops room_ops = {
    .alloc_table = alloc_table,
    .free_table = free_table,
    .to_ptr = to_ptr,
};

/* Take the largest stretch of RAM that is mapped already; what is left of it stays free. */
static void find_room(const struct memmap *memory)
{
        for (size_t i = 0; i < memory->count; i++) {
                const struct mem_range *r = &memory->range[i];
                uint64_t start = r->start < LOW_MEMORY ? LOW_MEMORY : align_up(r->start, PAGE_4K);
                uint64_t end = r->start + r->size;

                end = align_down(end > BOOT_MAPPED ? BOOT_MAPPED : end, PAGE_4K);
                if (r->kind == MEM_RAM && start < end && end - start > room.end - room.start) {
                        room.start = start;
                        room.end = end;
                }
        }
        room.next = room.start;
}

static int map(uint64_t start, uint64_t end, unsigned prot, enum paging_memtype type)
{
        struct paging_leaf leaf;

        start = align_down(start, PAGE_4K);
        end = align_up(end, PAGE_4K);
        /* Page by page only where something is there already (two entries sharing a page). */
        while (start < end && !paging_walk(&tables, start, &leaf))
                start += PAGE_4K;
        while (end > start && !paging_walk(&tables, end - PAGE_4K, &leaf))
                end -= PAGE_4K;
        return start < end ? paging_map(&tables, start, HPA(start), end - start, prot, type) : 0;
}

static int map_image(void)
{
        int err = map((uint64_t)image_start, (uint64_t)image_text_end, PAGING_RX, PAGING_WB);

        if (!err)
                err =
                    map((uint64_t)image_text_end, (uint64_t)image_rodata_end, PAGING_R, PAGING_WB);
        if (!err)
                err = map((uint64_t)image_rodata_end, (uint64_t)image_end, PAGING_RW, PAGING_WB);
        return err;
}

/* Reserved memory is mapped uncached: it may be a device, and nothing there needs speed. */
static int map_ranges(const struct memmap *memory)
{
        int err = 0;

        for (size_t i = 0; !err && i < memory->count; i++) {
                const struct mem_range *r = &memory->range[i];

                if (r->kind == MEM_UNUSABLE || r->kind == MEM_HYPERVISOR)
                        continue;
                err = map(r->start, r->start + r->size, PAGING_RW,
                          r->kind == MEM_RESERVED ? PAGING_UC : PAGING_WB);
        }
        return err;
}

static int map_device(uint64_t start, uint64_t size)
{
        return map(start, start + size, PAGING_RW, PAGING_UC);
}

static int map_hints(const struct machine *m)
{
        int err = 0;

        for (size_t i = 0; !err && i < m->hint_count; i++)
                err = map_device(m->hint[i].v, REGISTER_BYTES);
        return err;
}

/* Registers that ACPI tells of: in memory on some machines, in ports on most. */
static int map_registers(const struct machine *m)
{
        const struct acpi_register *const all[] = {&m->fadt.sleep_control, &m->fadt.pm1a_control,
                                                   &m->fadt.pm1b_control,  &m->fadt.pm_timer,
                                                   &m->fadt.reset,         &m->hpet};
        int err = 0;

        for (size_t i = 0; !err && i < ARRAY_LEN(all); i++)
                if (all[i]->space == ACPI_SPACE_MEMORY && all[i]->address)
                        err = map_device(all[i]->address, REGISTER_BYTES);
        return err;
}

static int map_devices(const struct machine *m)
{
        int err = map_registers(m);

        if (!err && m->vga_text)
                err = map_device(VGA_BASE, VGA_SIZE);
        if (!err)
                err = map_device(LAPIC_PAGE, PAGE_4K);
        for (unsigned i = 0; !err && i < m->madt.ioapic_count; i++)
                err = map_device(m->madt.ioapics[i].base.v, PAGE_4K);
        if (!err && m->fb.base.v)
                err = map_device(m->fb.base.v, (uint64_t)m->fb.pitch * m->fb.height);
        return err ? err : map_hints(m);
}

/* A NULL that is used as a pointer is to fault, and what overruns a stack. */
static int unmap_guards(void)
{
        int err = paging_unmap(&tables, 0, PAGE_4K);

        for (size_t i = 0; !err && i < guard_count; i++)
                err = paging_unmap(&tables, guards[i], PAGE_4K);
        return err;
}

static void add_guard(const void *page)
{
        size_t i = guard_count++;

        for (; i > 0 && guards[i - 1] > (uint64_t)page; i--)
                guards[i] = guards[i - 1];
        guards[i] = (uint64_t)page;
}

/* Stacks for the other CPUs of the MADT, as far as they take no more than half of the room. */
static void take_stacks(const struct acpi_madt *madt)
{
        uint64_t fit = (room.end - room.start) / 2 / sizeof(struct cpu_stacks);
        unsigned count = madt->cpu_count < CPUS_MAX ? madt->cpu_count : CPUS_MAX - 1;

        if (count > fit)
                count = (unsigned)fit;
        percpu_give_stacks((struct cpu_stacks *)room.next, count);
        room.next += count * sizeof(struct cpu_stacks);
        add_guard(boot_stack);
        for (unsigned i = 0; i < percpu_room(); i++) {
                add_guard(percpu_stacks(i)->ist_guard);
                add_guard(percpu_stacks(i)->machine_guard);
                add_guard(percpu_stacks(i)->guard);
        }
}

/* entry.asm has switched it on where there is one. */
static bool has_nx(void)
{
        return cpu_rdmsr(MSR_EFER) & EFER_NXE;
}

int hv_map_init(struct machine *m)
{
        uint64_t max = cpu_cpuid(0x80000001, 0).edx & CPUID_X1_EDX_1G ? PAGE_1G : PAGE_2M;
        int err;

        find_room(&m->map);
        take_stacks(&m->madt);
        err = paging_init(&tables, has_nx() ? &paging_hv : &paging_hv_no_nx, max, &room_ops, NULL);
        if (!err)
                err = map_image();
        if (!err)
                err = map_ranges(&m->map);
        if (!err)
                err = map_devices(m);
        if (!err)
                err = unmap_guards();
        if (err) {
                printk(LOG_ERROR, "memory: the hypervisor's page tables cannot be built (%d)",
                       -err);
                return err;
        }
        m->tables_start = HPA(room.start);
        m->tables_size = room.next - room.start;
        cpu_write_cr3(tables.root.v);
        return 0;
}

static void report_breach(void *ctx, uint64_t va, const struct paging_leaf *leaf, const char *rule)
{
        unsigned *count = ctx;

        (*count)++;
        printk(LOG_ERROR, "harden: page of %lu KiB at 0x%lx, memory 0x%lx: %s", leaf->size / KiB,
               va, leaf->hpa.v, rule);
}

/* Without these the CPU ignores that a page is read-only, or not to be executed. */
static void check_enforcement(void)
{
        if (!(cpu_read_cr0() & CR0_WP))
                panic("harden: CR0 0x%lx does not enforce the page tables", cpu_read_cr0());
        if (cpu_read_cr3() != tables.root.v)
                panic("harden: CR3 0x%lx is not at the tables that were built", cpu_read_cr3());
}

void hv_map_check(void)
{
        const struct hv_layout layout = {
            .start = (uint64_t)image_start,
            .text_end = (uint64_t)image_text_end,
            .rodata_end = (uint64_t)image_rodata_end,
            .guard = guards,
            .guards = guard_count,
        };
        unsigned breaches = 0;
        uint64_t leaves;

        if (!has_nx())
                return;
        check_enforcement();
        leaves = hv_check_tables(&tables, &layout, report_breach, &breaches);
        if (breaches)
                panic("harden: %u pages break the rules", breaches);
        printk(LOG_NOTICE,
               "harden: %lu pages checked: none both writable and executable, code and constants "
               "have no alias, NULL and %zu guard pages are not mapped",
               leaves, guard_count);
}
