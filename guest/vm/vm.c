/* Building a VM and taking it apart; contract in vm.h. */
#include "guest/vm/vm.h"

#include "guest/console/console.h"
#include "guest/dev/platform.h"
#include "guest/dev/virtio/console.h"
#include "guest/load/acpi_tables.h"
#include "guest/load/linux_boot.h"
#include "guest/vm/vcpu.h"
#include "guest/vm/vm_nvram.h"
#include "guest/vm/vm_refuse.h"
#include "guest/vm/vm_virtio.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"

/* The identity of the host bridge: Red Hat's vendor ID for virtual devices' PCI bridges. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008

static uint64_t serials;

/* The largest block order, up to 1 GiB, that fits in size bytes at a gpa. */
static unsigned block_order(uint64_t gpa, uint64_t size)
{
        unsigned order = DRAM_ORDER_1G;

        while (order > DRAM_ORDER_2M && ((PAGE_4K << order) > size || gpa % (PAGE_4K << order)))
                order--;
        return order;
}

/* Room in the list for one more block, whatever DRAM is like: each block may be the smallest. */
static int reserve_block(struct vm *vm)
{
        struct vm_blocks *blocks;
        hpa_t frame;

        if (vm->blocks && vm->blocks->count < ARRAY_LEN(vm->blocks->block))
                return 0;
        if (dram_alloc(vm->machine->dram, 0, &frame))
                return -ENOMEM;
        blocks = (struct vm_blocks *)frame.v;
        blocks->next = vm->blocks;
        blocks->count = 0;
        vm->blocks = blocks;
        return 0;
}

static int add_block(struct vm *vm, gpa_t gpa, uint64_t left, uint64_t *size)
{
        unsigned order = block_order(gpa.v, left);
        hpa_t hpa;
        int err = reserve_block(vm);

        if (err)
                return err;
        while ((err = dram_alloc_zeroed(vm->machine->dram, order, &hpa)) && order > DRAM_ORDER_2M)
                order--;
        if (err)
                return err;
        vm->blocks->block[vm->blocks->count++] = hpa.v | order;
        *size = PAGE_4K << order;
        err = gmem_add(&vm->mem, gpa, *size, (void *)hpa.v);
        if (err)
                return err;
        return paging_map(&vm->second_level, gpa.v, hpa, *size, vm->protection, PAGING_WB);
}

/* Give back all of its memory, and the list. */
static void free_blocks(struct vm *vm)
{
        struct dram *dram = vm->machine->dram;

        while (vm->blocks) {
                struct vm_blocks *blocks = vm->blocks;
                int err = 0;

                for (uint64_t i = 0; i < blocks->count; i++) {
                        hpa_t hpa = HPA(align_down(blocks->block[i], PAGE_4K));

                        err |= dram_free(dram, hpa, (unsigned)(blocks->block[i] - hpa.v));
                }
                vm->blocks = blocks->next;
                err |= dram_free(dram, HPA((uint64_t)blocks), 0);
                if (err)
                        panic("vm %s: its memory cannot be freed", vm->config->name);
                work_step();
        }
}

static int add_ram(struct vm *vm)
{
        for (size_t i = 0; i < vm->layout.ram_count; i++) {
                gpa_t gpa = vm->layout.ram[i].gpa;
                uint64_t left = vm->layout.ram[i].size;

                while (left) {
                        uint64_t size;
                        int err = add_block(vm, gpa, left, &size);

                        if (err)
                                return err;
                        gpa.v += size;
                        left -= size;
                        work_step();
                }
        }
        return 0;
}

static void uart_put(void *ctx, uint8_t byte)
{
        struct vm *vm = ctx;
        const char text = (char)byte;

        __atomic_store_n(&vm->reads_hvc, false, __ATOMIC_RELAXED);
        console_write(&vm->console, &text, 1);
}

static void uart_irq_line(void *ctx, bool level)
{
        struct vm *vm = ctx;

        vioapic_set_irq(&vm->ioapic, PLATFORM_COM1_IRQ, level);
}

static void ioapic_deliver(void *ctx, const struct apic_message *message)
{
        vcpu_post(ctx, NULL, message);
}

static void power_event(void *ctx, enum acpi_pm_event event)
{
        vm_finish(ctx, event == ACPI_PM_POWER_OFF ? VM_POWERED_OFF : VM_REBOOTED);
}

static int add_devices(struct vm *vm)
{
        const struct vioapic_ops vioapic_ops = {vm, ioapic_deliver};
        const struct uart16550_ops uart_ops = {vm, uart_put, uart_irq_line};
        struct bus_handler h;
        int err;

        bus_init(&vm->bus);
        vioapic_init(&vm->ioapic, PLATFORM_IOAPIC_ID, &vioapic_ops);
        uart16550_init(&vm->uart, &uart_ops);
        pci_host_init(&vm->pci, &vm->bus, BRIDGE_VENDOR, BRIDGE_DEVICE);
        acpi_pm_init(&vm->acpi_pm, vm, power_event);
        h = uart16550_handler(&vm->uart);
        err = bus_add_ports(&vm->bus, PLATFORM_COM1_PORT, UART16550_PORTS, &h);
        h = acpi_pm_handler(&vm->acpi_pm);
        if (!err)
                err = bus_add_ports(&vm->bus, PLATFORM_ACPI_PM_PORT, ACPI_PM_PORTS, &h);
        h = pci_host_handler(&vm->pci);
        if (!err)
                err = bus_add_ports(&vm->bus, PLATFORM_PCI_PORT, PCI_HOST_PORTS, &h);
        h = vioapic_handler(&vm->ioapic);
        if (!err)
                err = bus_add_mmio(&vm->bus, GPA(PLATFORM_IOAPIC_BASE), VIOAPIC_SIZE, &h);
        return err;
}

static int add_vcpus(struct vm *vm, const struct linux_entry *entry)
{
        int err = 0;

        for (unsigned i = 0; !err && i < vm->config->vcpus; i++) {
                err = vcpu_create(vm, i);
                if (!err && i == 0) {
                        memcpy(vm->vcpu[0]->vcpu.regs, entry->regs, sizeof entry->regs);
                        virt->set_state(&vm->vcpu[0]->vcpu, &entry->state);
                }
                if (!err)
                        virt->unload(&vm->vcpu[i]->vcpu);
        }
        if (err)
                vm_refuse(vm->config, "no memory for the vCPUs (error %d)", -err);
        return err;
}

static int load(struct vm *vm)
{
        const struct vm_config *c = vm->config;
        const struct linux_image image = {
            .kernel = (const void *)c->kernel.start.v,
            .kernel_size = c->kernel.size,
            .initrd = c->has_initrd ? (const void *)c->initrd.start.v : NULL,
            .initrd_size = c->initrd.size,
            .cmdline = c->cmdline,
            .domain = vm_nvram_domain(vm),
        };
        struct linux_entry entry;
        char why[LINUX_WHY_SIZE];
        int err = linux_boot_load(&image, &vm->layout, &vm->mem, &entry, why);

        if (err) {
                vm_refuse(vm->config, "kernel: %s", why);
                return err;
        }
        err = vm_virtio_add(vm);
        if (err)
                return err;
        err = acpi_tables_write(&vm->mem, c->vcpus);
        if (err) {
                vm_refuse(vm->config, "the ACPI tables do not fit (error %d)", -err);
                return err;
        }
        return add_vcpus(vm, &entry);
}

static int build(struct vm *vm)
{
        int err = layout_compute(vm->config, vm->machine->address_bits, &vm->layout);

        if (err) {
                vm_refuse(vm->config, "mem=, nvram=: more than the CPU can address (error %d)",
                          -err);
                return err;
        }
        err = vm_nvram_check(vm);
        if (err)
                return err;
        err = paging_init(&vm->second_level, virt->second_level, virt_caps.page_max,
                          &paging_dram_ops, vm->machine->dram);
        if (err) {
                vm_refuse(vm->config, "no memory for page tables (error %d)", -err);
                return err;
        }
        vm->has_tables = true;
        if (vm->config->mem > dram_free_bytes(vm->machine->dram)) {
                vm_refuse(vm->config, "mem=%luM: only %lu MiB of DRAM are free",
                          vm->config->mem / MiB, dram_free_bytes(vm->machine->dram) / MiB);
                return -ENOMEM;
        }
        err = add_ram(vm);
        if (err) {
                vm_refuse(vm->config, "mem=%luM: the free DRAM is too scattered",
                          vm->config->mem / MiB);
                return err;
        }
        err = kvmclock_init(&vm->clock, vm->machine->tsc_khz, vm->machine->wall_tsc,
                            vm->machine->wall_sec);
        if (!err)
                err = add_devices(vm);
        if (err) {
                vm_refuse(vm->config, "the virtual platform does not fit together (error %d)",
                          -err);
                return err;
        }
        cpuid_policy_init(&vm->cpuid, cpu_cpuid, &virt_caps, vm->config->vcpus);
        vm->cpuid.pv_features = pv_features(vm->config->vcpus, !vm->virtual_apic);
        vm->mca.amd = cpuid_policy_is_amd(&vm->cpuid);
        err = load(vm);
        return err ? err : vm_nvram_attach(vm);
}

int vm_create(struct vm *vm, const struct vm_config *config, const struct vm_machine *machine)
{
        int err;

        memset(vm, 0, sizeof *vm);
        vm->config = config;
        vm->serial = ++serials;
        vm->machine = machine;
        gmem_init(&vm->mem, machine->dram);
        console_open(&vm->console, config->name);
        vm->virtual_apic = virt_caps.virtual_apic;
        vm->protection = machine->small_code ? PAGING_RW : PAGING_RWX;
        err = build(vm);
        if (err)
                vm_destroy(vm);
        return err;
}

void vm_destroy(struct vm *vm)
{
        vm_virtio_leave(vm);
        console_close(&vm->console);
        vm_nvram_detach(vm);
        while (vm->vcpus)
                vcpu_destroy(vm->vcpu[--vm->vcpus]);
        if (vm->has_tables)
                paging_destroy(&vm->second_level);
        vm_virtio_remove(vm);
        gmem_destroy(&vm->mem);
        free_blocks(vm);
        vm->has_tables = false;
}

void vm_finish(struct vm *vm, enum vm_end end)
{
        enum vm_end running = VM_RUNNING;

        if (!__atomic_compare_exchange_n(&vm->end, &running, end, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
                return;
        __atomic_store_n(vm->machine->attention, true, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < vm->vcpus; i++)
                vcpu_notify(vm->vcpu[i]);
        vm->machine->kick(0);
}

void vm_feed_input(struct vm *vm)
{
        int c;

        if (__atomic_load_n(&vm->reads_hvc, __ATOMIC_RELAXED)) {
                virtio_console_push(vm->hvc, 0);
                return;
        }
        while (uart16550_room(&vm->uart) && (c = console_get(&vm->console)) >= 0)
                if (uart16550_receive(&vm->uart, (uint8_t)c))
                        break;
}
