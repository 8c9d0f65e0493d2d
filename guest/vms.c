/* The queue of VMs; contract in vms.h. */
#include "guest/vms.h"

#include "guest/run.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

static void enqueue(struct vms *vms, struct vms_entry *entry, size_t at)
{
        for (size_t i = vms->queued++; i > at; i--)
                vms->queue[i] = vms->queue[i - 1];
        vms->queue[at] = entry;
        entry->state = VMS_QUEUED;
}

static void dequeue(struct vms *vms, size_t at)
{
        vms->queued--;
        for (size_t i = at; i < vms->queued; i++)
                vms->queue[i] = vms->queue[i + 1];
}

void vms_init(struct vms *vms, const struct config *config, const struct vm_host *host)
{
        memset(vms, 0, sizeof *vms);
        vms->host = host;
        vms->count = config->vm_count;
        for (size_t i = 0; i < vms->count; i++) {
                vms->entry[i].config = &config->vm[i];
                if (config->vm[i].startable)
                        enqueue(vms, &vms->entry[i], vms->queued);
        }
}

/* Build queued VMs until one can be run. */
static bool start_next(struct vms *vms)
{
        while (vms->queued) {
                struct vms_entry *next = vms->queue[0];

                dequeue(vms, 0);
                if (vm_create(&vms->vm, next->config, vms->host)) {
                        next->state = VMS_ENDED;
                        next->end = VM_REFUSED;
                        continue;
                }
                next->state = VMS_RUNNING;
                next->starts++;
                vms->current = next;
                vms->any = true;
                return true;
        }
        return false;
}

static void end_current(struct vms *vms, enum vm_end end)
{
        struct vms_entry *entry = vms->current;

        vm_print_stats(&vms->vm);
        printk(LOG_INFO, "vm %s: %s", entry->config->name, vm_end_text(end));
        vm_destroy(&vms->vm);
        vms->current = NULL;
        entry->state = VMS_ENDED;
        entry->end = end;
        if (end == VM_REBOOTED)
                enqueue(vms, entry, 0);
}

bool vms_run(struct vms *vms)
{
        enum vm_end end;

        if (!vms->current && !start_next(vms))
                return false;
        end = vm_run(&vms->vm);
        if (end != VM_PAUSED)
                end_current(vms, end);
        return true;
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
        enqueue(vms, entry, vms->queued);
        return 0;
}

int vms_stop(struct vms *vms, struct vms_entry *entry)
{
        if (entry == vms->current) {
                end_current(vms, VM_STOPPED);
                return 0;
        }
        for (size_t i = 0; i < vms->queued; i++) {
                if (vms->queue[i] != entry)
                        continue;
                dequeue(vms, i);
                entry->state = VMS_CONFIGURED;
                return 0;
        }
        return -EINVAL;
}

int vms_reset(struct vms *vms, struct vms_entry *entry)
{
        if (entry != vms->current)
                return -EINVAL;
        end_current(vms, VM_REBOOTED);
        return 0;
}

const char *vms_state_text(const struct vms_entry *entry)
{
        static const char *const text[] = {"configured", "queued", "running"};

        if (entry->state != VMS_ENDED)
                return text[entry->state];
        return vm_end_text(entry->end);
}
