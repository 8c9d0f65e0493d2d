/* Virtio devices of a VM; contract in vm_virtio.h. */
#include "guest/vm/vm_virtio.h"

#include "guest/dev/virtio/blk.h"
#include "guest/dev/virtio/console.h"
#include "guest/dev/virtio/net.h"
#include "guest/dev/virtio/pci.h"
#include "guest/dev/virtio/rng.h"
#include "guest/text/words.h"
#include "guest/vm/vcpu.h"
#include "guest/vm/vm_control.h"
#include "guest/vm/vm_refuse.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"

struct rng {
        struct virtio_pci pci;
        struct virtio_rng rng;
};

struct disk {
        struct virtio_pci pci;
        struct virtio_blk blk;
};

struct hvc {
        struct virtio_pci pci;
        struct virtio_console console;
        struct vm_control control[]; /* one, if the VM has it */
};

struct net {
        struct virtio_pci pci;
        struct virtio_net net;
};

/* Zeroed memory for a device, which the VM keeps. */
static void *allocate(struct vm *vm, uint64_t size)
{
        struct vm_virtio *all = &vm->virtio;
        unsigned order = 0;
        hpa_t memory;

        while ((PAGE_4K << order) < size)
                order++;
        if (all->count == ARRAY_LEN(all->device) ||
            dram_alloc_zeroed(vm->machine->dram, order, &memory))
                return NULL;
        all->device[all->count].memory = memory;
        all->device[all->count++].order = order;
        return (void *)memory.v;
}

static void send_message(void *ctx, const struct apic_message *message)
{
        vcpu_post(ctx, NULL, message);
}

static int attach(struct vm *vm, struct virtio_pci *pci, struct virtio_device *device)
{
        const struct msix_ops ops = {vm, send_message};

        virtio_pci_init(pci, device, &ops);
        return pci_host_add(&vm->pci, &pci->function);
}

static int add_rng(struct vm *vm)
{
        const char *name = vm->config->name;
        struct rng *rng;

        if (!vm->machine->random) {
                printk(LOG_NOTICE,
                       "vm %s: has no virtio-rng: the CPU has neither RDSEED nor RDRAND", name);
                return 0;
        }
        rng = allocate(vm, sizeof *rng);
        if (!rng)
                return -ENOMEM;
        virtio_rng_init(&rng->rng, vm->machine->random, &vm->mem, name);
        return attach(vm, &rng->pci, &rng->rng.device);
}

/* A region's sectors are found when it is attached, by vm_nvram.c. */
static int add_disk(struct vm *vm, size_t i)
{
        const struct config_disk *c = &vm->config->disk[i];
        const struct config_region *region = &c->region;
        struct disk *disk = allocate(vm, sizeof *disk);

        if (!disk)
                return -ENOMEM;
        virtio_blk_init(&disk->blk, region->name, region->size, region->read_only, &vm->mem,
                        vm->config->name);
        vm->disk[i] = &disk->blk.media;
        if (c->file.size)
                pool_disk_of_memory(vm->disk[i], (const void *)c->file.start.v, c->file.size);
        return attach(vm, &disk->pci, &disk->blk.device);
}

static int add_net(struct vm *vm, size_t i)
{
        const struct config_net *c = &vm->config->net[i];
        struct net_switch *sw = switch_get(c->sw);
        struct net *net = sw ? allocate(vm, sizeof *net) : NULL;
        int err;

        if (!sw) {
                vm_refuse(vm->config, "net=%s: there are %u other switches", c->sw, SWITCHES_MAX);
                return -ENOSPC;
        }
        if (!net)
                return -ENOMEM;
        err = virtio_net_init(&net->net, sw, c->mac, vm->config->net_rate, vm->machine->tsc_khz,
                              &vm->mem, vm->config->name);
        if (err) {
                vm_refuse(vm->config, "net=%s: the switch has %u other ports", c->sw,
                          SWITCH_PORTS_MAX);
                return err;
        }
        vm->net[vm->nets++] = &net->net;
        return attach(vm, &net->pci, &net->net.device);
}

static uint64_t hvc_write(void *ctx, const uint8_t *text, uint64_t n)
{
        struct vm *vm = ctx;

        __atomic_store_n(&vm->reads_hvc, true, __ATOMIC_RELAXED);
        console_write(&vm->console, (const char *)text, n);
        return n;
}

static uint64_t hvc_read(void *ctx, uint8_t *to, uint64_t size)
{
        struct vm *vm = ctx;
        uint64_t n = 0;
        int c;

        while (n < size && __atomic_load_n(&vm->reads_hvc, __ATOMIC_RELAXED) &&
               (c = console_get(&vm->console)) >= 0)
                to[n++] = (uint8_t)c;
        return n;
}

static void wake_control(void *ctx)
{
        const struct vm *vm = ctx;

        __atomic_store_n(vm->machine->attention, true, __ATOMIC_SEQ_CST);
        vm->machine->kick(0);
}

/* Whether the arguments of the guest's kernel have console=hvc0. */
static bool wants_hvc(const struct vm_config *config)
{
        const char *rest = config->cmdline;

        for (struct word word; word_next(&rest, false, &word);)
                if (word_is(word, "console=hvc0"))
                        return true;
        return false;
}

/* Its ports are for those who ask for them: Linux would start a second login on an hvc0 that nobody
 * has chosen. */
static int add_console(struct vm *vm)
{
        bool hvc0 = wants_hvc(vm->config), control = vm->config->control != CONFIG_CONTROL_NONE;
        struct virtio_console_end end[VIRTIO_CONSOLE_PORTS] = {{0}};
        struct hvc *hvc;

        if (!hvc0 && !control)
                return 0;
        hvc = allocate(vm, sizeof *hvc + control * sizeof *hvc->control);
        if (!hvc)
                return -ENOMEM;
        vm->hvc = &hvc->console;
        if (hvc0)
                end[0] =
                    (struct virtio_console_end){.ctx = vm, .write = hvc_write, .read = hvc_read};
        if (control) {
                vm->control = &hvc->control[0];
                end[1] = vm_control_init(vm->control, vm->hvc, wake_control, vm);
        }
        virtio_console_init(vm->hvc, end, 1 + control, &vm->mem, vm->config->name);
        return attach(vm, &hvc->pci, &hvc->console.device);
}

int vm_virtio_add(struct vm *vm)
{
        int err = add_rng(vm);

        for (size_t i = 0; !err && i < vm->config->disk_count; i++)
                err = add_disk(vm, i);
        for (size_t i = 0; !err && i < vm->config->net_count; i++)
                err = add_net(vm, i);
        if (!err)
                err = add_console(vm);
        if (err)
                vm_refuse(vm->config,
                          "no memory or no place on the PCI bus for its virtio devices (error %d)",
                          -err);
        return err;
}

void vm_virtio_leave(struct vm *vm)
{
        while (vm->nets)
                virtio_net_leave(vm->net[--vm->nets]);
}

void vm_virtio_remove(struct vm *vm)
{
        struct vm_virtio *all = &vm->virtio;

        while (all->count) {
                all->count--;
                if (dram_free(vm->machine->dram, all->device[all->count].memory,
                              all->device[all->count].order))
                        panic("vm %s: a virtio device cannot be freed", vm->config->name);
        }
}
