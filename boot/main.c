/* The boot order of the hypervisor, from the loader's jump to the defined end. */
#include "boot/efi/efi_info.h"
#include "boot/host_map.h"
#include "boot/machine.h"
#include "boot/multiboot2.h"
#include "boot/smp.h"
#include "boot/version.h"
#include "guest/admin/monitor.h"
#include "guest/admin/nv/nv_commands.h"
#include "guest/console/console.h"
#include "guest/exec/damage.h"
#include "guest/life/cpus.h"
#include "guest/life/idle.h"
#include "guest/life/vms.h"
#include "guest/load/initrd.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
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
static struct vm_host vm_host;
static struct vms vms;
static struct monitor_host monitor_host;
static struct nv_host nv_host;
static struct monitor monitor;
static bool machine_runs;
static bool attention;  /* a VM has ended */
static bool in_monitor; /* the prompt is there */

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

/* What the VM of that name may own, by its nvram-max=. */
static uint64_t quota(void *ctx, const char *owner)
{
        const struct config *c = ctx;

        for (size_t i = 0; i < c->vm_count; i++)
                if (strcmp(c->vm[i].name, owner) == 0)
                        return c->vm[i].nvram_max;
        return 0;
}

/* While guests run on CPU 0: whether something else is to be done there. */
static bool service(void)
{
        vms_take_input(&vms);
        return attention || console_in_monitor() != in_monitor || console_has_monitor_input() ||
               console_has_choice() || mce_any() || vms_due(&vms);
}

static void amid_work(void)
{
        vms_take_input(&vms);
        if (__atomic_load_n(&attention, __ATOMIC_ACQUIRE))
                vms_serve_code(&vms);
}

/* CPU 0 has nothing to run: a granule of released NVRAM. */
static bool work_at_rest(uint64_t until)
{
        return service() || idle_scrub(vm_host.pool, machine.tsc_khz, until);
}

static const struct cpus_hooks cpu0 = {service, work_at_rest, amid_work};

/* What only CPU 0 does, out of any guest. */
static void service_vms(void)
{
        struct mce_place place;

        while (mce_any() && machine_check_next(vm_host.pool, &place))
                vms_tell_damage(&vms, &place);
        vms_service(&vms);
}

/* In the monitor, while nothing is typed. */
static void wait(void)
{
        size_t before = log_lines();

        service_vms();
        if (log_lines() == before) /* else the prompt is to be shown again first */
                cpus_turn();
}

/* What the loader may have cut: guests that lack a part of their initrd do not tell so. */
static void check_initrds(void)
{
        for (size_t i = 0; i < config.vm_count; i++) {
                const struct vm_config *vm = &config.vm[i];
                const char *why =
                    vm->startable && vm->has_initrd
                        ? initrd_looks_cut((const void *)vm->initrd.start.v, vm->initrd.size)
                        : NULL;

                if (why)
                        printk(LOG_WARN,
                               "vm %s: its initrd looks cut: %s; in GRUB: module2 --nounzip",
                               vm->name, why);
        }
}

static void describe_host(uint64_t entry_tsc)
{
        struct pool *pool = machine.pool.mounted ? &machine.pool : NULL;

        vm_host = (struct vm_host){
            .dram = &machine.dram,
            .pool = pool,
            .tsc_khz = machine.tsc_khz,
            .wall_tsc = machine.wall_tsc,
            .wall_sec = machine.wall_sec,
            .entry_tsc = entry_tsc,
            .small_code = mitigate_current()->small_code,
            .address_bits = cpu_cpuid(0x80000008, 0).eax & 0xff,
            .domain = machine.nfit.domain,
            .sched = cpus_sched(),
            .kick = cpus_kick,
            .service = cpus_service,
            .attention = &attention,
        };
        monitor_host = (struct monitor_host){&machine.map, &machine.dram, pool, &vms, end};
        nv_host = (struct nv_host){&machine.pool, cpu_rdtsc, quota, &config};
}

/* Run what is queued, and the monitor whenever its user asks or, with exit=monitor, at the end. */
static void run_vms(void)
{
        bool stay = config.options.exit == CONFIG_EXIT_MONITOR;

        if (stay && !console_can_input())
                printk(LOG_WARN, "monitor: nothing can be typed here: exit=monitor is exit=halt");
        for (;;) {
                service_vms();
                if (console_in_monitor()) {
                        in_monitor = true;
                        vm_console_set_monitor(true);
                        monitor_run(&monitor);
                        vm_console_set_monitor(false);
                        in_monitor = false;
                        continue;
                }
                if (vms_alive(&vms)) {
                        cpus_turn();
                        continue;
                }
                if (!vms.any)
                        printk(LOG_WARN, "permafrost: no VM was started");
                if (!stay || !console_can_input())
                        return;
                console_set_monitor(true);
        }
}

/* The other CPUs begin before there is anything to do. */
static void work(void)
{
        while (!__atomic_load_n(&machine_runs, __ATOMIC_ACQUIRE))
                cpu_pause();
        cpus_work();
}

void boot_main(uint32_t magic, uint32_t address)
{
        uint64_t entry_tsc = cpu_rdtsc();
        /* every verb that the monitor and run= know, and what each table works on */
        const struct command_table verbs[] = {
            {"", monitor_commands, monitor_command_count, &monitor_host},
            {"vm", vm_commands, vm_command_count, &monitor_host},
            {"nv", nv_commands, nv_command_count, &nv_host},
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
        if (host_map_init(&machine))
                finish(config.options.exit);
        host_map_check();
        mitigate_init_cpu(config.options.mitigations_off);
        mce_set_memory(&machine.map);
        mce_init_cpu();
        machine_start_late_screen(&machine);
        if (machine_start_dram(&machine, config.options.mem_fail) || virt_init(&machine.dram) ||
            machine_start_devices(&machine) || machine_mount_pool(&machine, &config.options) ||
            machine_read_clocks(&machine))
                finish(config.options.exit);
        mce_poll_every((uint64_t)machine.tsc_khz * 1000 * MCE_POLL_S);
        smp_start(&machine, work);
        cpus_init(machine.tsc_khz, &cpu0);
        config_report(&config);
        check_initrds();
        describe_host(entry_tsc);
        vms_init(&vms, &config, &vm_host, cpus_turn);
        monitor_init(&monitor, verbs, ARRAY_LEN(verbs), &monitor_host);
        monitor.wait = wait;
        monitor.settle = service_vms;
        __atomic_store_n(&machine_runs, true, __ATOMIC_RELEASE);
        for (size_t i = 0; i < config.options.run_count; i++)
                monitor_run_line(&monitor, config.options.run[i]);
        run_vms();
        finish(config.options.exit);
}
