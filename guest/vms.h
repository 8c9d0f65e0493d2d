/*
 * The machine's VMs: which are waiting, which one runs, how the others ended. One runs at a time,
 * in the order in which they were queued; a guest's reboot or vms_reset builds it again at once.
 */
#pragma once

#include "guest/config.h"
#include "guest/vm.h"

enum vms_state {
        VMS_CONFIGURED, /* not asked for, or not startable: its module lines have mistakes */
        VMS_QUEUED,
        VMS_RUNNING, /* the current one, possibly paused */
        VMS_ENDED
};

struct vms_entry {
        const struct vm_config *config;
        enum vms_state state;
        enum vm_end end; /* VMS_ENDED: how */
        unsigned starts; /* how often it was built */
};

/* Fields are read by anyone and changed by the calls below. */
struct vms {
        const struct vm_host *host;
        struct vms_entry entry[CONFIG_VMS_MAX];
        size_t count;
        struct vms_entry *current; /* NULL: none */
        struct vm vm;              /* the current one */
        struct vms_entry *queue[CONFIG_VMS_MAX];
        size_t queued;
        bool any; /* one was built at least once */
};

/* All VMs of config (kept by reference, as host is); those that can be started are queued. */
void vms_init(struct vms *vms, const struct config *config, const struct vm_host *host);

/*
 * Run the current VM, or the next queued one, until it is paused or has ended, which is logged.
 * Returns false when there is nothing to run.
 */
bool vms_run(struct vms *vms);

/* The VM of that name, or NULL. */
struct vms_entry *vms_find(struct vms *vms, const char *name);

/* Queue a VM. -EBUSY: it is running or queued; -EINVAL: its configuration has mistakes. */
must_check int vms_start(struct vms *vms, struct vms_entry *entry);

/* End the current VM, or take a queued one from the queue. -EINVAL: it is neither. */
must_check int vms_stop(struct vms *vms, struct vms_entry *entry);

/* End the current VM and build it again from its modules. -EINVAL: it is not the current one. */
must_check int vms_reset(struct vms *vms, struct vms_entry *entry);

/* The state in words; of one that has ended, how. */
const char *vms_state_text(const struct vms_entry *entry);
