/* Building a VM and taking it apart; contract in vm.h. */
#include "guest/vm/vm.h"

#include "guest/console/console.h"
#include "guest/dev/platform.h"
#include "guest/load/acpi_tables.h"
#include "guest/load/linux_boot.h"
#include "guest/vm/vcpu_apic.h"
#include "guest/vm/vm_nvram.h"
#include "guest/vm/vm_refuse.h"
#include "guest/vm/vm_virtio.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"

/* The identity of the host bridge: Red Hat's vendor ID for virtual devices' PCI bridges. */
#define BRIDGE_VENDOR       0x1b36
#define BRIDGE_DEVICE       0x0008
#define VLAPIC_TSC_PER_TICK 1u

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
        if (dram_alloc(vm->host->dram, 0, &frame))
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
        while ((err = dram_alloc_zeroed(vm->host->dram, order, &hpa)) && order > DRAM_ORDER_2M)
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
        struct dram *dram = vm->host->dram;

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
        vm_console_put(&((struct vm *)ctx)->console, (char)byte);
}

static void uart_irq_line(void *ctx, bool level)
{
        struct vm *vm = ctx;

        vioapic_set_irq(&vm->ioapic, PLATFORM_COM1_IRQ, level);
}

static void ioapic_deliver(void *ctx, const struct apic_message *message)
{
        vm_post(ctx, NULL, message);
}

static void lapic_send(void *ctx, const struct apic_message *message)
{
        const struct vm_vcpu *v = ctx;

        vm_post(v->vm, v, message);
}

/* To the vCPU itself: as from another one. */
static void lapic_signal(void *ctx, enum apic_mode mode, uint8_t vector)
{
        struct vm_vcpu *v = ctx;
        const struct apic_message message = {.mode = (uint8_t)mode, .vector = vector};

        posted_post(&v->posted, &message);
}

static void lapic_level_eoi(void *ctx, uint8_t vector)
{
        struct vm *vm = ((struct vm_vcpu *)ctx)->vm;

        spin_lock(&vm->devices);
        vioapic_eoi(&vm->ioapic, vector);
        spin_unlock(&vm->devices);
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

static int add_vcpu(struct vm *vm, unsigned id)
{
        const struct vm_config *c = vm->config;
        struct vlapic_ops ops = {NULL, lapic_send, lapic_signal, lapic_level_eoi};
        struct vm_vcpu *v;
        hpa_t frame;
        int err = dram_alloc_zeroed(vm->host->dram, 0, &frame);

        if (err)
                return err;
        v = ops.ctx = (void *)frame.v;
        v->vm = vm;
        v->id = id;
        v->activity = id == 0 ? VCPU_RUNS : VCPU_WAITS;
        v->deaf = id != 0;
        v->sched.weight = c->weight ? c->weight : CONFIG_WEIGHT;
        v->sched.cpus = cpu_set_is_empty(&c->cpus) ? cpu_set_first(CPUS_MAX) : c->cpus;
        mtrr_init(&v->mtrr);
        vlapic_init(&v->lapic, id, id == 0, VLAPIC_TSC_PER_TICK, &ops);
        err = virt->vcpu_create(&v->vcpu, vm->second_level.root, vm->host->dram);
        if (!err && vm->virtual_apic) {
                err = vcpu_apic_create(v);
                if (err)
                        virt->vcpu_destroy(&v->vcpu);
        }
        if (err) {
                if (dram_free(vm->host->dram, frame, 0))
                        panic("vm %s: a frame just allocated cannot be freed", c->name);
                return err;
        }
        vm->vcpu[vm->vcpus++] = v;
        return 0;
}

static int add_vcpus(struct vm *vm, const struct linux_entry *entry)
{
        int err = 0;

        for (unsigned i = 0; !err && i < vm->config->vcpus; i++) {
                err = add_vcpu(vm, i);
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
        int err = layout_compute(vm->config, vm->host->address_bits, &vm->layout);

        if (err) {
                vm_refuse(vm->config, "mem=, nvram=: more than the CPU can address (error %d)",
                          -err);
                return err;
        }
        err = vm_nvram_check(vm);
        if (err)
                return err;
        err = paging_init(&vm->second_level, virt->second_level, virt_caps.page_max,
                          &paging_dram_ops, vm->host->dram);
        if (err) {
                vm_refuse(vm->config, "no memory for page tables (error %d)", -err);
                return err;
        }
        vm->has_tables = true;
        if (vm->config->mem > dram_free_bytes(vm->host->dram)) {
                vm_refuse(vm->config, "mem=%luM: only %lu MiB of DRAM are free",
                          vm->config->mem / MiB, dram_free_bytes(vm->host->dram) / MiB);
                return -ENOMEM;
        }
        err = add_ram(vm);
        if (err) {
                vm_refuse(vm->config, "mem=%luM: the free DRAM is too scattered",
                          vm->config->mem / MiB);
                return err;
        }
        err = kvmclock_init(&vm->clock, vm->host->tsc_khz, vm->host->wall_tsc, vm->host->wall_sec);
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

int vm_create(struct vm *vm, const struct vm_config *config, const struct vm_host *host)
{
        int err;

        memset(vm, 0, sizeof *vm);
        vm->config = config;
        vm->serial = ++serials;
        vm->host = host;
        gmem_init(&vm->mem, host->dram);
        vm_console_open(&vm->console, config->name);
        vm->virtual_apic = virt_caps.virtual_apic;
        vm->protection = host->small_code ? PAGING_RW : PAGING_RWX;
        err = build(vm);
        if (err)
                vm_destroy(vm);
        return err;
}

void vm_destroy(struct vm *vm)
{
        vm_virtio_leave(vm);
        vm_console_close(&vm->console);
        vm_nvram_detach(vm);
        while (vm->vcpus) {
                struct vm_vcpu *v = vm->vcpu[--vm->vcpus];

                virt->vcpu_destroy(&v->vcpu);
                if (dram_free(vm->host->dram, HPA((uint64_t)v), 0))
                        panic("vm %s: a vCPU cannot be freed", vm->config->name);
        }
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
        __atomic_store_n(vm->host->attention, true, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < vm->vcpus; i++)
                vm_notify(vm->vcpu[i]);
        vm->host->kick(0);
}

void vm_feed_input(struct vm *vm)
{
        int c;

        while (console_focus() == vm && uart16550_room(&vm->uart) && (c = console_get()) >= 0)
                if (uart16550_receive(&vm->uart, (uint8_t)c))
                        break;
}

void vm_notify(struct vm_vcpu *v)
{
        const struct vm_host *host = v->vm->host;
        enum sched_state state = __atomic_load_n(&v->sched.state, __ATOMIC_SEQ_CST);
        int cpu = -1;

        if (state == SCHED_RUNNING)
                cpu = (int)v->sched.cpu;
        else if (state == SCHED_BLOCKED)
                cpu = sched_wake(host->sched, &v->sched, cpu_rdtsc());
        if (cpu >= 0)
                host->kick((unsigned)cpu);
}

void vm_post(struct vm *vm, const struct vm_vcpu *sender, const struct apic_message *message)
{
        uint32_t from = sender ? sender->id : APIC_NO_SENDER;

        __atomic_fetch_add(&vm->sent, 1, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < vm->vcpus; i++) {
                struct vm_vcpu *v = vm->vcpu[i];

                if (!vlapic_matches(v->id, from, message))
                        continue;
                posted_post(&v->posted, message);
                if (v != sender)
                        vm_notify(v);
                if (message->mode == APIC_LOWEST)
                        return;
        }
}
