/* Counters of a VM; contract in vm_stats.h. */
#include "guest/vm/vm_stats.h"

#include "guest/vm/vcpu.h"
#include "hv/lib/printk.h"
#include "hv/lib/work.h"

const char *vm_exit_name(enum vm_exit_kind kind)
{
        static const char *const names[VM_EXIT_KINDS] = {
            "interrupt", "cpuid",    "hypercall", "io",     "rdmsr", "wrmsr",   "memory",
            "hlt",       "timer",    "window",    "xsetbv", "cr8",   "refused", "undefined",
            "cache",     "shutdown", "entry",     "eoi",    "self",  "task",    "other"};

        return names[kind];
}

uint64_t vm_exits(const struct vm *vm, enum vm_exit_kind kind)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < vm->vcpus; i++)
                n += __atomic_load_n(&vm->vcpu[i]->exits[kind], __ATOMIC_RELAXED);
        return n;
}

uint64_t vm_interrupts(const struct vm *vm)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < vm->vcpus; i++)
                n += __atomic_load_n(&vm->vcpu[i]->interrupts, __ATOMIC_RELAXED);
        return n;
}

/* The log may be slow. */
static void say_exits(const char *name, enum vm_exit_kind kind, uint64_t n)
{
        printk(LOG_INFO, "vm %s: exits %-10s %lu", name, vm_exit_name(kind), n);
        work_step();
}

void vm_print_stats(const struct vm *vm)
{
        const char *name = vm->config->name;
        uint64_t bytes[PAGING_SIZES];
        uint64_t total = 0, n;

        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                total += vm_exits(vm, k);
        printk(LOG_INFO, "vm %s: started at TSC %lu, %lu after the loader's jump", name,
               vm->start_tsc, vm->start_tsc - vm->machine->entry_tsc);
        printk(LOG_INFO, "vm %s: %lu exits, %lu interrupts injected", name, total,
               vm_interrupts(vm));
        for (unsigned k = 0; k < VM_EXIT_KINDS; k++)
                if ((n = vm_exits(vm, k)))
                        say_exits(name, k, n);
        paging_count_leaves(&vm->second_level, bytes);
        printk(LOG_INFO, "vm %s: mapped in pages of 4 KiB: %lu KiB, 2 MiB: %lu KiB, 1 GiB: %lu KiB",
               name, bytes[0] / KiB, bytes[1] / KiB, bytes[2] / KiB);
}

const char *vm_end_text(enum vm_end end)
{
        static const char *const text[] = {"runs",    "powered off", "reboots", "halted",
                                           "crashed", "stopped",     "refused"};

        return text[end];
}
