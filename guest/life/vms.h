/*
 * The machine's VMs: which are waiting, which run, how the others ended. All run side by side; one
 * with after= waits for another's end. A guest's reboot or vms_reset builds it again; guests that
 * do nothing but reboot have a quarter of CPU 0 at most for that, all together.
 *
 * Everything here is CPU 0's, out of any guest.
 */
#pragma once

#include "guest/config/config.h"
#include "guest/vm/vm.h"
#include "hv/trap/mce_decode.h"

enum vms_state {
        VMS_CONFIGURED, /* not asked for, or not startable: its module lines have mistakes */
        VMS_QUEUED,     /* to be started: with the next vms_service, or behind after= */
        VMS_RUNNING,    /* possibly paused */
        VMS_ENDED
};

struct vms_entry {
        const struct vm_config *config;
        enum vms_state state;
        enum vm_end end; /* VMS_ENDED: how */
        unsigned starts; /* how often it was built */
        struct vm *vm;   /* VMS_RUNNING */
        uint64_t turn;   /* VMS_QUEUED: the smallest starts first */
        uint64_t spent;  /* ticks of its taking apart, if its guest has asked to be built again */
};

/* Fields are read by anyone and changed by the calls below. */
struct vms {
        const struct vm_machine *machine;
        void (*turn)(void); /* have CPU 0 run guests, or rest, once */
        struct vms_entry entry[CONFIG_VMS_MAX];
        size_t count;
        uint64_t turns;
        uint64_t rebuild_at; /* TSC: no guest is built again before */
        uint64_t due_at;     /* TSC at which vms_service is wanted for that; SCHED_NEVER */
        bool any;            /* one was built at least once */
};

/* All VMs of config (kept by reference, as machine is); those that can be started are queued. */
void vms_init(struct vms *vms, const struct config *config, const struct vm_machine *machine,
              void (*turn)(void));

/* Give the vCPUs of all VMs what they wait to execute (vm_code.h); vms_service does it, too. */
void vms_serve_code(const struct vms *vms);

/* Take apart what has ended, which is logged, and start what is queued. */
void vms_service(struct vms *vms);

/* Whether vms_service is wanted because time has passed. */
bool vms_due(const struct vms *vms);

/* What was typed for the VM in focus goes to it. */
void vms_take_input(struct vms *vms);

/* NVRAM has gone bad: the VMs that have it mapped are told. */
void vms_tell_damage(struct vms *vms, const struct mce_place *place);

/* Whether one runs or will. */
bool vms_alive(const struct vms *vms);

/* The VM of that name, or NULL. */
struct vms_entry *vms_find(struct vms *vms, const char *name);

/* Queue a VM. -EBUSY: it is running or queued; -EINVAL: its configuration has mistakes. */
must_check int vms_start(struct vms *vms, struct vms_entry *entry);

/*
 * The VM whose end a queued one has to await, or NULL: the one that its after= names, if that is
 * queued or runs; and one whose after= names it, if that runs.
 */
const struct vms_entry *vms_waits_for(const struct vms *vms, const struct vms_entry *entry);

/* End a running VM, or take one from the queue. -EINVAL: it is neither. */
must_check int vms_stop(struct vms *vms, struct vms_entry *entry);

/* End a running VM and queue it again. -EINVAL: it does not run. */
must_check int vms_reset(struct vms *vms, struct vms_entry *entry);

/* Stop its vCPUs where they are, or let them go on. -EINVAL: it does not run, or is not paused. */
must_check int vms_pause(struct vms *vms, struct vms_entry *entry);
must_check int vms_resume(struct vms *vms, struct vms_entry *entry);

/* The state in words; of one that has ended, how. */
const char *vms_state_text(const struct vms_entry *entry);
