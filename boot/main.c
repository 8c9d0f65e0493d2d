/* The boot order of the hypervisor, from the loader's jump to the defined end. */
#include "boot/efi/efi_map.h"
#include "boot/hv_map.h"
#include "boot/machine.h"
#include "boot/multiboot2.h"
#include "boot/smp.h"
#include "boot/version.h"
#include "guest/admin/control.h"
#include "guest/admin/monitor.h"
#include "guest/admin/nv/nv_commands.h"
#include "guest/life/cpu0.h"
#include "guest/life/cpus.h"
#include "guest/load/initrd.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"
#include "hv/safety/harden.h"
#include "hv/safety/mitigate.h"
#include "hv/trap/mce.h"
#include "hv/trap/trap.h"
#include "hv/virt.h"

#define MCE_POLL_S 10 /* between two looks of a CPU for errors that raise no exception */

static struct boot_info info;
static struct config config;
static struct machine machine;
static struct vm_machine vm_machine;
static struct monitor_target monitor_target;
static struct nv_target nv_target;
static struct monitor monitor;

/* Called by entry.asm with what the loader left in EAX and EBX, or for our own loader the like. */
_Noreturn void boot_main(uint32_t magic, uint32_t address);

void boot_entry_info(void); /* entry.asm */

extern const struct boot_header boot_header;

const struct boot_header boot_header __attribute__((section(".boot_header"))) = {
    .magic = BOOT_HEADER_MAGIC,
    .layout = BOOT_LAYOUT,
    .entry = (uint64_t)boot_entry_info,
};

/* A machine that stays on has time to scrub; one that goes off takes it up at its next start. */
static _Noreturn void finish(enum config_exit how)
{
        static const char *const text[] = {"halt", "poweroff", "reboot", "monitor"};

        printk(LOG_NOTICE, "permafrost: end (exit=%s)", text[how]);
        while (how == CONFIG_EXIT_HALT && pool_scrub(&machine.pool, 1))
                ;
        machine_end(how);
}

/* As a verb of the monitor calls it. */
static void end(enum config_exit how)
{
        finish(how);
}

/* What the loader tells into info. Negative errno: nothing of it can be used; logged. */
static int read_info(uint32_t magic, uint32_t address)
{
        const void *from = (const void *)(uintptr_t)address;

        if (magic == MULTIBOOT2_LOADED_BY)
                return multiboot2_parse(from, BOOT_MAPPED - address, &info);
        if (magic == BOOT_INFO_MAGIC)
                return efi_info_take(from, &info);
        info.loader = info.cmdline = "";
        printk(LOG_ERROR, "boot: not started by multiboot2 or BOOTX64.EFI (magic 0x%x)", magic);
        return -EINVAL;
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

static void prompt(void)
{
        monitor_run(&monitor);
}

/* What VMs are told of the machine. */
static void describe_machine(uint64_t entry_tsc)
{
        vm_machine = (struct vm_machine){
            .dram = &machine.dram,
            .pool = machine.pool.mounted ? &machine.pool : NULL,
            .tsc_khz = machine.tsc_khz,
            .wall_tsc = machine.wall_tsc,
            .wall_sec = machine.wall_sec,
            .entry_tsc = entry_tsc,
            .small_code = mitigate_current()->small_code,
            .random = random_source(cpu_cpuid),
            .address_bits = cpu_cpuid(0x80000008, 0).eax & 0xff,
            .domain = machine.nfit.domain,
        };
}

/* The VMs are queued, and the verbs get what they show and change. */
static void start_vms(void)
{
        struct vms *vms = cpu0_init(&vm_machine, &config, control_serve);

        monitor_target =
            (struct monitor_target){&machine.map, &machine.dram, vm_machine.pool, vms, end};
        nv_target = (struct nv_target){&machine.pool, cpu_rdtsc, &config};
}

void boot_main(uint32_t magic, uint32_t address)
{
        uint64_t entry_tsc = cpu_rdtsc();
        /* every verb that the prompt and run= know, and what each table works on */
        const struct command_table verbs[] = {
            {"", monitor_commands, monitor_command_count, &monitor_target},
            {"vm", vm_commands, vm_command_count, &monitor_target},
            {"nv", nv_commands, nv_command_count, &nv_target},
        };
        int err;

        harden_stacks();
        percpu_init(0);
        err = read_info(magic, address);
        read_config();
        machine_start_log(&machine, &info, &config.options);
        printk(LOG_NOTICE, "Permafrost " PERMAFROST_VERSION ": a hypervisor for non-volatile RAM");
        if (err)
                finish(config.options.exit);
        trap_init();
        harden_cpu();
        machine_find_tables(&machine, &info);
        machine_find_memory(&machine, &info, &config.options);
        if (hv_map_init(&machine))
                finish(config.options.exit);
        hv_map_check();
        mitigate_init_cpu(config.options.mitigations_off);
        mce_set_memory(&machine.map);
        mce_init_cpu();
        machine_start_late_screen(&machine);
        if (machine_start_dram(&machine, config.options.mem_fail) || virt_init(&machine.dram) ||
            machine_start_devices(&machine) || machine_mount_pool(&machine, &config.options) ||
            machine_read_clocks(&machine))
                finish(config.options.exit);
        mce_poll_every((uint64_t)machine.tsc_khz * 1000 * MCE_POLL_S);
        smp_start(&machine, cpus_work);
        config_report(&config);
        initrd_warn_of_cut(&config);
        describe_machine(entry_tsc);
        start_vms();
        monitor_init(&monitor, verbs, ARRAY_LEN(verbs), &monitor_target);
        control_init(&monitor.set, monitor_target.vms);
        for (size_t i = 0; i < config.options.run_count; i++)
                monitor_run_line(&monitor, config.options.run[i]);
        cpu0_run(config.options.exit == CONFIG_EXIT_MONITOR, prompt);
        finish(config.options.exit);
}
