/* The life of the VMs; contract in vms.h. */
#include "guest/life/vms.h"

#include "guest/console/console.h"
#include "guest/exec/damage.h"
#include "guest/vm/vcpu.h"
#include "guest/vm/vm_code.h"
#include "guest/vm/vm_stats.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define REBUILD_REST 3 /* for every tick that went into a guest's reboot, so many do not */

static void enqueue(struct vms *vms, struct vms_entry *entry)
{
        entry->state = VMS_QUEUED;
        entry->turn = vms->turns++;
}

void vms_init(struct vms *vms, const struct config *config, const struct vm_machine *machine,
              void (*turn)(void))
{
        memset(vms, 0, sizeof *vms);
        vms->machine = machine;
        vms->turn = turn;
        vms->due_at = SCHED_NEVER;
        vms->count = config->vm_count;
        for (size_t i = 0; i < vms->count; i++) {
                vms->entry[i].config = &config->vm[i];
                if (config->vm[i].startable)
                        enqueue(vms, &vms->entry[i]);
        }
}

/* Those of its cpus= that this machine has. */
static struct cpu_set told_cpus(const struct vms *vms, const struct vm_config *config)
{
        struct cpu_set online = cpu_set_first(vms->machine->sched->cpus);

        return cpu_set_common(&config->cpus, &online);
}

/* The CPUs that a VM may use: those told, else all. */
static struct cpu_set cpus_of(const struct vms *vms, const struct vm_config *config)
{
        struct cpu_set told = told_cpus(vms, config);

        return cpu_set_is_empty(&told) ? cpu_set_first(vms->machine->sched->cpus) : told;
}

static void free_vm(const struct vms *vms, struct vms_entry *entry)
{
        if (dram_free(vms->machine->dram, HPA((uint64_t)entry->vm), dram_order(sizeof(struct vm))))
                panic("vm %s: its frame cannot be freed", entry->config->name);
        entry->vm = NULL;
}

static void place(const struct vms *vms, struct vm *vm)
{
        struct cpu_set cpus = cpus_of(vms, vm->config);

        for (unsigned i = 0; i < vm->vcpus; i++) {
                vm->vcpu[i]->sched.cpus = cpus;
                vm->vcpu[i]->sched.cpu = cpu_set_next(&cpus, 0);
        }
}

/* Each looks once: what came before a pause may have been taken in already, where nobody else sees
 * it: an interrupt in its local APIC, its timer, an NMI. */
static void let_run(const struct vms *vms, struct vm *vm)
{
        uint64_t now = cpu_rdtsc();

        for (unsigned i = 0; i < vm->vcpus; i++) {
                struct vm_vcpu *v = vm->vcpu[i];

                sched_add(vms->machine->sched, &v->sched, now);
                vcpu_notify(v);
        }
}

static void refuse(struct vms_entry *entry)
{
        entry->state = VMS_ENDED;
        entry->end = VM_REFUSED;
}

static void start(struct vms *vms, struct vms_entry *entry)
{
        const char *name = entry->config->name;
        uint64_t begun = cpu_rdtsc(), free = dram_free_bytes(vms->machine->dram);
        struct cpu_set told = told_cpus(vms, entry->config);
        hpa_t frame;

        if (!cpu_set_is_empty(&entry->config->cpus) && cpu_set_is_empty(&told))
                printk(LOG_WARN, "vm %s: cpus=: this machine has none of them: it may use all",
                       name);
        if (dram_alloc(vms->machine->dram, dram_order(sizeof(struct vm)), &frame)) {
                printk(LOG_ERROR, "vm %s: not started: no memory", name);
                refuse(entry);
                return;
        }
        entry->vm = (struct vm *)frame.v;
        if (vm_create(entry->vm, entry->config, vms->machine)) {
                free_vm(vms, entry);
                refuse(entry);
                return;
        }
        entry->state = VMS_RUNNING;
        entry->starts++;
        vms->any = true;
        place(vms, entry->vm);
        entry->vm->build_ticks = cpu_rdtsc() - begun;
        entry->vm->own_bytes = free - dram_free_bytes(vms->machine->dram) - entry->config->mem;
        printk(LOG_NOTICE, "vm %s: starts", name);
        entry->vm->start_tsc = cpu_rdtsc();
        if (entry->spent)
                vms->rebuild_at = entry->vm->start_tsc +
                                  REBUILD_REST * (entry->vm->start_tsc - begun + entry->spent);
        entry->spent = 0;
        if (!console_focus())
                console_set_focus(&entry->vm->console);
        let_run(vms, entry->vm);
}

static bool all_off(const struct vm *vm)
{
        for (unsigned i = 0; i < vm->vcpus; i++)
                if (__atomic_load_n(&vm->vcpu[i]->sched.state, __ATOMIC_SEQ_CST) != SCHED_OFF)
                        return false;
        return true;
}

/* Until no CPU runs one of its vCPUs. CPU 0 itself may have to let one go. */
static void wait_off(const struct vms *vms, struct vm *vm)
{
        for (unsigned i = 0; i < vm->vcpus; i++)
                vcpu_notify(vm->vcpu[i]);
        while (!all_off(vm)) {
                __atomic_store_n(vms->machine->attention, true, __ATOMIC_SEQ_CST);
                vms->turn();
        }
}

static void take_apart(struct vms *vms, struct vms_entry *entry)
{
        struct vm *vm = entry->vm;
        enum vm_end end = vm_how_ended(vm);
        uint64_t build_ticks = vm->build_ticks, own_bytes = vm->own_bytes;
        uint64_t begun = cpu_rdtsc(), ticks, off;

        wait_off(vms, vm);
        off = cpu_rdtsc();
        ticks = off - begun;
        console_flush(&vm->console);
        vm_print_stats(vm);
        printk(LOG_NOTICE, "vm %s: %s", entry->config->name, vm_end_text(end));
        begun = cpu_rdtsc();
        vm_destroy(vm);
        free_vm(vms, entry);
        ticks += cpu_rdtsc() - begun;
        printk(LOG_INFO,
               "vm %s: built in %lu ticks of the TSC, taken apart in %lu, %lu bytes of DRAM "
               "beside its memory",
               entry->config->name, build_ticks, ticks, own_bytes);
        entry->state = VMS_ENDED;
        entry->end = end;
        if (end == VM_REBOOTED) {
                entry->spent = cpu_rdtsc() - off;
                enqueue(vms, entry);
        }
}

/* The VM whose number was typed; the first that runs, when nobody has the line. */
static void choose_focus(const struct vms *vms)
{
        unsigned number = console_take_choice();

        if (number && number <= vms->count && vms->entry[number - 1].state == VMS_RUNNING)
                console_set_focus(&vms->entry[number - 1].vm->console);
        for (size_t i = 0; i < vms->count && !console_focus(); i++)
                if (vms->entry[i].state == VMS_RUNNING)
                        console_set_focus(&vms->entry[i].vm->console);
}

const struct vms_entry *vms_waits_for(const struct vms *vms, const struct vms_entry *entry)
{
        for (size_t i = 0; i < vms->count; i++) {
                const struct vms_entry *other = &vms->entry[i];
                bool before = strcmp(entry->config->after, other->config->name) == 0;
                bool behind = strcmp(other->config->after, entry->config->name) == 0;

                if ((before && other->state == VMS_QUEUED) ||
                    ((before || behind) && other->state == VMS_RUNNING))
                        return other;
        }
        return NULL;
}

static struct vms_entry *next_queued(struct vms *vms)
{
        bool may_rebuild = cpu_rdtsc() >= vms->rebuild_at;
        struct vms_entry *next = NULL;

        vms->due_at = SCHED_NEVER;
        for (size_t i = 0; i < vms->count; i++) {
                struct vms_entry *e = &vms->entry[i];

                if (e->state != VMS_QUEUED || (next && e->turn > next->turn) ||
                    vms_waits_for(vms, e))
                        continue;
                if (e->spent && !may_rebuild)
                        vms->due_at = vms->rebuild_at;
                else
                        next = e;
        }
        return next;
}

void vms_serve_code(const struct vms *vms)
{
        for (size_t i = 0; i < vms->count; i++)
                if (vms->entry[i].state == VMS_RUNNING)
                        vm_code_serve(vms->entry[i].vm);
}

void vms_service(struct vms *vms)
{
        struct vms_entry *next;

        __atomic_store_n(vms->machine->attention, false, __ATOMIC_SEQ_CST);
        vms_serve_code(vms);
        for (size_t i = 0; i < vms->count; i++)
                if (vms->entry[i].state == VMS_RUNNING &&
                    vm_how_ended(vms->entry[i].vm) != VM_RUNNING)
                        take_apart(vms, &vms->entry[i]);
        while ((next = next_queued(vms)))
                start(vms, next);
        sched_errand(vms->machine->sched, vms->due_at);
        choose_focus(vms);
}

bool vms_due(const struct vms *vms)
{
        return vms->due_at != SCHED_NEVER && cpu_rdtsc() >= vms->due_at;
}

void vms_take_input(struct vms *vms)
{
        struct vm *vm = NULL;

        for (size_t i = 0; i < vms->count && !vm && console_has_input(); i++)
                if (vms->entry[i].state == VMS_RUNNING &&
                    console_focus() == &vms->entry[i].vm->console)
                        vm = vms->entry[i].vm;
        if (!vm)
                return;
        spin_lock(&vm->devices);
        vm_feed_input(vm);
        spin_unlock(&vm->devices);
}

void vms_tell_damage(struct vms *vms, const struct mce_place *place)
{
        for (size_t i = 0; i < vms->count; i++)
                if (vms->entry[i].state == VMS_RUNNING) {
                        damage_tell(vms->entry[i].vm, place);
                        posted_nudge(&vms->entry[i].vm->vcpu[0]->posted);
                        vcpu_notify(vms->entry[i].vm->vcpu[0]);
                }
}

bool vms_alive(const struct vms *vms)
{
        for (size_t i = 0; i < vms->count; i++)
                if (vms->entry[i].state == VMS_RUNNING || vms->entry[i].state == VMS_QUEUED)
                        return true;
        return false;
}

struct vms_entry *vms_find(struct vms *vms, const char *name)
{
        for (size_t i = 0; i < vms->count; i++)
                if (strcmp(vms->entry[i].config->name, name) == 0)
                        return &vms->entry[i];
        return NULL;
}

int vms_start(struct vms *vms, struct vms_entry *entry)
{
        if (!entry->config->startable)
                return -EINVAL;
        if (entry->state == VMS_RUNNING || entry->state == VMS_QUEUED)
                return -EBUSY;
        entry->spent = 0;
        enqueue(vms, entry);
        return 0;
}

int vms_stop(struct vms *vms, struct vms_entry *entry)
{
        if (entry->state == VMS_RUNNING) {
                vm_finish(entry->vm, VM_STOPPED);
                take_apart(vms, entry);
                return 0;
        }
        if (entry->state != VMS_QUEUED)
                return -EINVAL;
        entry->state = entry->starts ? VMS_ENDED : VMS_CONFIGURED;
        entry->end = VM_STOPPED;
        printk(LOG_NOTICE, "vm %s: stopped", entry->config->name);
        return 0;
}

int vms_reset(struct vms *vms, struct vms_entry *entry)
{
        if (entry->state != VMS_RUNNING)
                return -EINVAL;
        vm_finish(entry->vm, VM_REBOOTED);
        take_apart(vms, entry);
        entry->spent = 0; /* the administrator's, not the guest's */
        return 0;
}

int vms_pause(struct vms *vms, struct vms_entry *entry)
{
        if (entry->state != VMS_RUNNING || entry->vm->paused)
                return -EINVAL;
        __atomic_store_n(&entry->vm->paused, true, __ATOMIC_SEQ_CST);
        wait_off(vms, entry->vm);
        return 0;
}

int vms_resume(struct vms *vms, struct vms_entry *entry)
{
        if (entry->state != VMS_RUNNING || !entry->vm->paused)
                return -EINVAL;
        __atomic_store_n(&entry->vm->paused, false, __ATOMIC_SEQ_CST);
        let_run(vms, entry->vm);
        return 0;
}

const char *vms_state_text(const struct vms_entry *entry)
{
        static const char *const text[] = {"configured", "queued", "running"};

        if (entry->state == VMS_ENDED)
                return vm_end_text(entry->end);
        if (entry->state == VMS_RUNNING && entry->vm->paused)
                return "paused";
        for (unsigned i = 0; entry->state == VMS_RUNNING && i < entry->vm->vcpus; i++)
                if (__atomic_load_n(&entry->vm->vcpu[i]->hung, __ATOMIC_RELAXED))
                        return "hung";
        return text[entry->state];
}
