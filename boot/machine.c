/* Finding and starting the machine's parts in the order of boot_main; contract in machine.h. */
#include "boot/machine.h"

#include "boot/nvdimms.h"
#include "boot/nvram.h"
#include "boot/smp.h"
#include "drivers/fb.h"
#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/power.h"
#include "drivers/rtc.h"
#include "drivers/timer.h"
#include "drivers/vga.h"
#include "guest/admin/map_view.h"
#include "guest/admin/nv/nv_commands.h"
#include "guest/console/console.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/trap/alarm.h"
#include "hv/trap/trap.h"
#include "hv/virt.h"
#include "mm/paging/paging.h"
#include "mm/pool/pm.h"

#define PIC_VECTOR         0xe0u
#define ADDRESS_BITS_LEAST 36u /* of a CPU that does not tell, SDM vol. 3 4.1.4 */

extern const uint8_t image_start[], image_end[];

/* Where addresses end for this CPU and its page tables of four levels, which map them one to one.
 */
static uint64_t address_limit(void)
{
        unsigned bits = cpu_leaf(0x80000008).eax & 0xff;

        if (!bits)
                bits = ADDRESS_BITS_LEAST;
        return 1ull << (bits < paging_hv.va_bits ? bits : paging_hv.va_bits);
}

static bool lies_below(const struct framebuffer *fb, uint64_t limit)
{
        uint64_t size = (uint64_t)fb->pitch * fb->height;

        return fb->base.v < limit && size <= limit - fb->base.v;
}

static void start_framebuffer(struct machine *m)
{
        struct psf_font font;

        if (psf_parse(font_psf, (size_t)(font_psf_end - font_psf), &font) ||
            fb_init(&m->fb, &font)) {
                m->fb.base = HPA(0);
                return;
        }
        log_add_sink(fb_log_sink);
}

static void start_screen(struct machine *m, const struct boot_info *info)
{
        if (info->display == BOOT_DISPLAY_TEXT) {
                m->vga_text = true;
                vga_init();
                log_add_sink(vga_log_sink);
        }
        if (info->display != BOOT_DISPLAY_FB || !lies_below(&info->fb, address_limit()))
                return;
        m->fb = info->fb;
        m->late_screen = !lies_below(&m->fb, BOOT_MAPPED);
        if (!m->late_screen)
                start_framebuffer(m);
}

void machine_start_late_screen(struct machine *m)
{
        if (m->late_screen)
                start_framebuffer(m);
}

void machine_start_log(struct machine *m, const struct boot_info *info,
                       const struct hv_options *options)
{
        log_set_level((enum log_level)options->log_level);
        if (options->console_port && !uart_init(&m->uart, options->console_port)) {
                uart_set_log(&m->uart);
                log_add_sink(uart_log_sink);
        }
        start_screen(m, info);
        if (options->console_port && !m->uart.port)
                printk(LOG_WARN,
                       "console: no serial port at 0x%x: the log and guests show on the "
                       "screen only, and nothing typed is read",
                       options->console_port);
}

/* Tables are read before the hypervisor's own page tables are there. */
static const void *identity_map(void *ctx, hpa_t addr, size_t len)
{
        (void)ctx;
        return addr.v >= BOOT_MAPPED || len > BOOT_MAPPED - addr.v ? NULL : (const void *)addr.v;
}

static bool is_read(const char *table, int err)
{
        if (err && err != -ENOENT)
                printk(LOG_WARN, "acpi: the %s cannot be used (error %d)", table, -err);
        return !err;
}

static void tell_left(unsigned count, const char *what, unsigned max)
{
        if (count)
                printk(LOG_WARN, "acpi: %u %s are left out: at most %u are used", count, what, max);
}

static void tell_tables(const struct acpi_tables *t)
{
        tell_left(t->left, "tables", ACPI_TABLES_MAX);
        if (t->out_of_reach)
                printk(LOG_WARN,
                       "acpi: %u tables lie above 4 GiB and are not read, the first at 0x%lx",
                       t->out_of_reach, t->first_unreachable.v);
}

static void find_madt(struct machine *m)
{
        m->has_madt = is_read("MADT", acpi_read_madt(&m->tables, &m->madt));
        tell_left(m->madt.ioapics_left, "I/O APICs", ACPI_IOAPICS_MAX);
        tell_left(m->madt.overrides_left, "interrupt overrides", ACPI_OVERRIDES_MAX);
}

static void tell_power(const struct acpi_fadt *fadt)
{
        const char *why = acpi_power_off_missing(fadt);

        if (why)
                printk(LOG_WARN, "power: the machine cannot be switched off: %s", why);
        else if (fadt->s5_unchecked)
                printk(LOG_WARN, "power: the checksum of the DSDT is wrong: its values for "
                                 "switching off are used all the same");
}

void machine_find_tables(struct machine *m, const struct boot_info *info)
{
        const struct acpi_memory memory = {.map = identity_map};
        bool has_fadt = false;
        int err = acpi_open(&m->tables, &memory, info->rsdp, info->rsdp_size);

        if (err) {
                printk(LOG_WARN, "acpi: no usable tables (error %d)", -err);
        } else {
                tell_tables(&m->tables);
                has_fadt = is_read("FADT", acpi_read_fadt(&m->tables, &m->fadt));
                (void)is_read("HPET", acpi_read_hpet(&m->tables, &m->hpet));
                find_madt(m);
        }
        if (has_fadt)
                power_init(&m->fadt);
        tell_power(&m->fadt);
        timer_calibrate_start(&m->fadt, &m->hpet);
}

static void *identity(hpa_t hpa)
{
        return (void *)hpa.v;
}

static void tell_stray(uint64_t start, enum mem_kind kind, int err)
{
        if (err == -EBUSY) /* -ENOSPC is told with the map */
                printk(LOG_WARN, "memory: 0x%lx (%s) does not lie in RAM", start,
                       memmap_kind_name(kind));
}

static void carve(struct machine *m, uint64_t start, uint64_t size, enum mem_kind kind)
{
        if (size)
                tell_stray(start, kind, memmap_carve(&m->map, start, size, kind));
}

static void carve_module(struct machine *m, const struct boot_module *module)
{
        uint64_t start = module->start.v;

        if (module->size)
                tell_stray(start, MEM_MODULE, memmap_carve_module(&m->map, start, module->size));
}

static struct mem_source source_of(const struct boot_map_entry *e)
{
        if (e->source == BOOT_MAP_EFI)
                return (struct mem_source){.origin = MEM_FROM_EFI, .type = e->efi_type};
        return (struct mem_source){.origin = MEM_FROM_E820, .type = e->type};
}

/* The loader's memory map, and what of it found no place. */
static void add_map(struct machine *m, const struct boot_info *info)
{
        char size[24];

        for (size_t i = 0; i < info->map_count; i++) {
                const struct boot_map_entry *e = &info->map[i];

                if (memmap_add(&m->map, e->start, e->size, memmap_kind_of_e820(e->type),
                               source_of(e)) == -ERANGE)
                        printk(LOG_WARN,
                               "memory: entry 0x%lx + 0x%lx type %u ends behind the last address: "
                               "not used",
                               e->start, e->size, e->type);
        }
        memmap_format_size(size, sizeof size, info->map_left_bytes);
        if (info->map_left)
                printk(LOG_WARN,
                       "memory: %zu entries of the loader's map (%s) are left out: it may have %u",
                       info->map_left, size, BOOT_MAP_MAX);
        if (info->modules_left)
                printk(LOG_WARN, "boot: %zu modules are left out: at most %u are used",
                       info->modules_left, BOOT_MODULES_MAX);
        carve(m, info->left_start.v, info->left_size, MEM_MODULE);
}

void machine_find_memory(struct machine *m, const struct boot_info *info,
                         const struct hv_options *options)
{
        memmap_init(&m->map);
        m->map.limit = address_limit();
        add_map(m, info);
        nvdimms_find(&m->tables, &m->nfit);
        nvdimms_add(&m->nfit, &m->map);
        m->hint_count = nvdimms_hints(&m->nfit, &m->map, m->hint);
        carve(m, (uint64_t)image_start, (uint64_t)(image_end - image_start), MEM_HYPERVISOR);
        carve(m, info->start.v, info->size, MEM_LOADER);
        for (size_t i = 0; i < info->module_count; i++)
                carve_module(m, &info->module[i]);
        for (size_t i = 0; i < options->nvram_count; i++)
                if (memmap_add_simulated(&m->map, options->nvram[i].start, options->nvram[i].size))
                        printk(LOG_ERROR, "memory: nvram=0x%lx@0x%lx does not lie in free RAM",
                               options->nvram[i].size, options->nvram[i].start);
        smp_take_page(m);
        map_view_log(&m->map);
}

static void tell_dram(const struct dram *dram)
{
        uint64_t bytes;
        size_t left = dram_left(dram, &bytes);

        if (left)
                printk(LOG_WARN,
                       "memory: %zu stretches of RAM (%lu KiB) are left out: the largest %u are "
                       "used",
                       left, bytes / KiB, DRAM_RANGES_MAX);
        printk(LOG_INFO, "memory: %lu MiB of DRAM free", dram_free_bytes(dram) / MiB);
}

int machine_start_dram(struct machine *m, uint64_t mem_fail)
{
        int err = 0;

        dram_init(&m->dram, identity);
        for (size_t i = 0; !err && i < m->map.count; i++) {
                const struct mem_range *r = &m->map.range[i];

                if (r->kind == MEM_RAM)
                        err = dram_add_range(&m->dram, HPA(r->start), r->size);
        }
        if (!err)
                err = dram_reserve(&m->dram, m->tables_start, m->tables_size);
        if (!err)
                err = dram_start(&m->dram);
        if (err)
                printk(LOG_ERROR, "memory: no usable DRAM (error %d)", -err);
        else
                tell_dram(&m->dram);
        (void)dram_fail_after(&m->dram, mem_fail);
        return err;
}

int machine_start_devices(struct machine *m)
{
        if (!m->has_madt || m->madt.has_8259)
                pic_disable(PIC_VECTOR);
        lapic_init(TRAP_VECTOR_SPURIOUS);
        lapic_take_nmi();
        alarm_init();
        if (!m->has_madt || ioapic_init(&m->madt) < 0)
                printk(LOG_WARN, "irq: no I/O APIC: nothing typed will be read");
        else if (m->uart.port && console_init(&m->uart))
                printk(LOG_WARN, "console: no interrupt: nothing typed will be read");
        return 0;
}

static void set_flush_hints(const struct machine *m)
{
        volatile uint64_t *hint[NFIT_NVDIMMS_MAX];

        for (size_t i = 0; i < m->hint_count; i++)
                hint[i] = (volatile uint64_t *)m->hint[i].v;
        pm_set_flush_hints(hint, m->hint_count);
}

static void tell_domain(const struct machine *m)
{
        bool real = false;

        for (size_t i = 0; i < m->map.count; i++)
                real |= memmap_is_nvram(m->map.range[i].kind) &&
                        m->map.range[i].kind != MEM_NVRAM_SIMULATED;
        printk(LOG_NOTICE, "persistence: domain %s; flushes with %s, fences write %zu flush hints",
               real ? nfit_domain_text(m->nfit.domain) : "none, it is simulated (volatile)",
               pm_flush_name(), m->hint_count);
}

int machine_mount_pool(struct machine *m, const struct hv_options *options)
{
        static struct nvram_choice choice;
        struct pool_config config = {.entropy = cpu_rdtsc()};
        hpa_t memory;

        pm_init();
        set_flush_hints(m);
        if (!nvram_choose(&m->map, options, &choice)) {
                printk(LOG_WARN, "pool: this machine has no NVRAM");
                return 0;
        }
        if (!choice.count) {
                printk(LOG_WARN, "pool: all NVRAM is left alone: there is no pool");
                return 0;
        }
        config.bad = &choice.bad;
        config.members_only = choice.members_only;
        config.memory_size = pool_memory_size(choice.range, choice.count);
        if (dram_alloc(&m->dram, dram_order(config.memory_size), &memory)) {
                printk(LOG_ERROR, "pool: no memory for its tables");
                return -ENOMEM;
        }
        config.memory = (void *)memory.v;
        tell_domain(m);
        if (pool_mount(&m->pool, choice.range, choice.count, &config))
                return 0;
        nvram_add_bad(&m->pool, options);
        nv_log(&m->pool);
        return 0;
}

int machine_read_clocks(struct machine *m)
{
        int64_t seconds = 0;
        const char *by;

        if (timer_calibrate_finish(&m->tsc_khz, &by)) {
                printk(LOG_ERROR, "timer: neither ACPI PM timer nor HPET nor 8254 moves, and CPUID "
                                  "does not tell the TSC's frequency");
                return -EIO;
        }
        m->wall_tsc = cpu_rdtsc();
        if (m->fadt.no_rtc || rtc_read(m->fadt.rtc_century, &seconds))
                printk(LOG_WARN, "timer: no wall clock; it starts at 1970");
        m->wall_sec = (uint64_t)seconds;
        printk(LOG_NOTICE, "timer: TSC runs at %u kHz, by %s", m->tsc_khz, by);
        return 0;
}

void machine_end(enum config_exit how)
{
        if (how == CONFIG_EXIT_POWEROFF) {
                power_off();
                printk(LOG_WARN, "power: the machine has not gone off: it is halted");
        }
        if (how == CONFIG_EXIT_REBOOT)
                power_reset();
        cpu_stop();
}
