/* The boot order of the hypervisor, from the loader's jump to the defined end. */
#include "boot/host_map.h"
#include "boot/machine.h"
#include "boot/multiboot2.h"
#include "guest/console.h"
#include "guest/run.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/trap.h"
#include "hv/virt.h"

#define EARLY_LIMIT (4 * GiB) /* what the entry code has mapped for certain */

static struct boot_info info;
static struct config config;
static struct machine machine;
static struct vm vm;

/* Called by entry.asm with what the loader left in EAX and EBX. */
_Noreturn void boot_main(uint32_t magic, uint32_t mbi);

static _Noreturn void finish(void)
{
        static const char *const text[] = {"halt", "poweroff", "reboot"};

        printk(LOG_INFO, "permafrost: end (exit=%s)", text[config.options.exit]);
        machine_end(config.options.exit);
}

/* A VM from its first start over all its reboots to its end. Returns whether it ran at all. */
static bool run_vm(const struct vm_config *vm_config, const struct vm_host *host)
{
        enum vm_end end;
        bool ran = false;

        do {
                if (vm_create(&vm, vm_config, host))
                        return ran;
                ran = true;
                end = vm_run(&vm);
                vm_print_stats(&vm);
                printk(LOG_INFO, "vm %s: %s", vm_config->name, vm_end_text(end));
                vm_destroy(&vm);
        } while (end == VM_REBOOTED);
        return ran;
}

static void read_config(void)
{
        config_init(&config);
        if (config_parse_options(&config, info.cmdline))
                printk(LOG_WARN, "permafrost: the command line has mistakes, see below");
        for (size_t i = 0; i < info.module_count; i++)
                if (config_add_module(&config, info.module[i].start, info.module[i].size,
                                      info.module[i].string))
                        printk(LOG_DEBUG, "permafrost: module %lu has mistakes", i + 1);
        config_finish(&config);
}

void boot_main(uint32_t magic, uint32_t mbi)
{
        uint64_t entry_tsc = cpu_rdtsc();
        struct vm_host host;
        bool any = false;
        bool readable = magic == MULTIBOOT2_LOADED_BY &&
                        !multiboot2_parse((const void *)(uintptr_t)mbi, EARLY_LIMIT - mbi, &info);

        read_config();
        machine_start_log(&machine, &info, &config.options);
        printk(LOG_INFO, "Permafrost: a hypervisor for non-volatile RAM");
        if (!readable) {
                printk(LOG_ERROR, "boot: not started by a multiboot2 loader (magic 0x%x)", magic);
                finish();
        }
        trap_init();
        machine_find_tables(&machine, &info);
        if (machine_find_memory(&machine, &info, &config.options) || host_map_init(&machine) ||
            virt_init(&machine.dram) || machine_start_devices(&machine) ||
            machine_mount_pool(&machine, &config.options) || machine_read_clocks(&machine))
                finish();
        config_report(&config);
        host = (struct vm_host){
            .dram = &machine.dram,
            .pool = machine.pool.mounted ? &machine.pool : NULL,
            .tsc_khz = machine.tsc_khz,
            .wall_tsc = machine.wall_tsc,
            .wall_sec = machine.wall_sec,
            .entry_tsc = entry_tsc,
            .direct_interrupts = machine.direct_interrupts, /* each VM has the CPU to itself */
            .address_bits = cpu_cpuid(0x80000008, 0).eax & 0xff,
        };
        for (size_t i = 0; i < config.vm_count; i++)
                if (config.vm[i].startable && run_vm(&config.vm[i], &host))
                        any = true;
        if (!any)
                printk(LOG_WARN, "permafrost: no VM was started");
        finish();
}
