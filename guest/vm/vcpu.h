/*
 * A vCPU of a VM: the backend's struct vcpu, the models that belong to one CPU, and what the policy
 * keeps of it.
 *
 * The CPU that holds a vCPU is the one whose it is by the scheduler, from sched_pick to sched_put;
 * before sched_add, and when its state is SCHED_OFF, CPU 0 holds it. Its lock hands the vCPU over,
 * so that the next holder sees all that the last one has stored.
 */
#pragma once

#include "guest/dev/kvmclock.h"
#include "guest/dev/mtrr.h"
#include "guest/dev/posted.h"
#include "guest/dev/pv.h"
#include "guest/dev/vlapic.h"
#include "guest/vm/sched.h"
#include "hv/virt.h"

struct vm;

/* What a vCPU does while no interrupt comes. */
enum vcpu_activity {
        VCPU_RUNS,
        VCPU_HALTED, /* HLT */
        VCPU_DEAF,   /* HLT with interrupts off */
        VCPU_WAITS   /* for a start-up IPI */
};

/* Who may touch a field is told above it. */
struct vm_vcpu {
        /* The holder's alone. What is bound to one CPU may stay loaded there (cpus.c), and is then
         * brought back into memory by that CPU. */
        struct vcpu vcpu; /* first: the backend's handlers get it */
        struct vlapic lapic;
        struct kvmclock_vcpu clock;
        struct pv_vcpu pv;
        struct mtrr mtrr;
        enum vcpu_activity activity;
        bool nmi;           /* to be injected */
        uint8_t offered;    /* to the CPU, which holds it until it is taken; 0: none */
        bool look;          /* ask the scheduler before the next entry */
        uint64_t look_at;   /* TSC at which the scheduler wants to be asked */
        uint64_t stolen;    /* of sched.measured.waited, told to the guest */
        uint64_t off_since; /* TSC of the first look that found its interrupts off; 0: on */
        uint64_t refused;   /* the last of exits[VM_EXIT_MEMORY] whose instruction is not known */
        unsigned refusals;  /* so many of them in a row */

        /* Constant from vcpu_create to vcpu_destroy. */
        struct vm *vm;
        unsigned id; /* and its APIC ID */

        /* Changed by the holder alone; others look at them atomically. */
        bool deaf; /* rests, and has found nothing since: only another vCPU can wake it */
        bool hung; /* told: its interrupts have been off for too long */
        uint64_t exits[VM_EXIT_KINDS]; /* for statistics, like the next: what is read may be old */
        uint64_t interrupts;           /* injected */

        /* Any CPU's, atomically. */
        struct posted posted;
        bool unhalt; /* kicked: its HLT ends, or the next one. Set by anyone, taken by the holder */
        uint64_t code; /* what it waits to execute; 0: nothing. Set by the holder, CPU 0 ends it */

        /* The scheduler's, by the rules of sched.h. */
        struct sched_entity sched;
};

_Static_assert(sizeof(struct vm_vcpu) <= PAGE_4K, "it has a frame");

/* Give the VM its vCPU number id, as a CPU is after reset, and loaded. -ENOMEM. */
must_check int vcpu_create(struct vm *vm, unsigned id);

/* Free it. It is loaded on this CPU or on none. */
void vcpu_destroy(struct vm_vcpu *v);

/* Whether it has to look at something that another CPU did. From any CPU. */
bool vcpu_has_news(const struct vm_vcpu *v);

/* Something has been posted to the vCPU or its VM has changed: have it look. From any CPU. */
void vcpu_notify(struct vm_vcpu *v);

/* An interrupt for those of the VM's vCPUs that the message names; sender may be NULL. From any
 * CPU. */
void vcpu_post(struct vm *vm, const struct vm_vcpu *sender, const struct apic_message *message);
