/*
 * A virtual machine: its memory, its vCPUs, its devices, and its life from module files to the end.
 * Built anew for every start, so that a guest's reboot begins from the files as well.
 *
 * Each vCPU is the scheduler's; the CPU that runs it is the only one to touch its struct vm_vcpu,
 * but for posted and sched. Devices are shared: whoever calls one holds the lock devices.
 */
#pragma once

#include "drivers/nfit.h"
#include "guest/config/config.h"
#include "guest/console/vm_console.h"
#include "guest/dev/acpi_pm.h"
#include "guest/dev/bus.h"
#include "guest/dev/cpuid.h"
#include "guest/dev/kvmclock.h"
#include "guest/dev/mca.h"
#include "guest/dev/mtrr.h"
#include "guest/dev/pci_host.h"
#include "guest/dev/posted.h"
#include "guest/dev/pv.h"
#include "guest/dev/uart16550.h"
#include "guest/dev/vioapic.h"
#include "guest/dev/vlapic.h"
#include "guest/load/layout.h"
#include "guest/mem/gmem.h"
#include "guest/vm/sched.h"
#include "hv/lib/limits.h"
#include "hv/random.h"
#include "hv/virt.h"
#include "mm/dram/dram.h"
#include "mm/paging/paging.h"
#include "mm/pool/pool.h"
#include "mm/pool/pool_disk.h"

/* How a VM's run ended. */
enum vm_end {
        VM_RUNNING,
        VM_POWERED_OFF,
        VM_REBOOTED,
        VM_HALTED, /* HLT with interrupts off: nothing can wake it */
        VM_CRASHED,
        VM_PAUSED,  /* not an end: somebody wants the monitor, vm_run goes on */
        VM_STOPPED, /* by the user */
        VM_REFUSED  /* it could not be built */
};

/* What the machine gives to VMs; the caller's, unchanged while any VM exists. */
struct vm_host {
        struct dram *dram;
        struct pool *pool; /* NULL: no NVRAM */
        uint32_t tsc_khz;
        uint64_t wall_tsc, wall_sec; /* the wall clock showed wall_sec (since 1970) at this TSC */
        uint64_t entry_tsc;          /* when the loader entered the hypervisor */
        unsigned address_bits;       /* physical address width of the CPU */
        enum nfit_domain domain;     /* what the platform promises for NVRAM */
        bool small_code;             /* guests may execute from pages of 4 KiB only */
        random_fn random;            /* NULL: the CPU has no random numbers */
        struct sched *sched;
        void (*kick)(unsigned cpu); /* have a CPU leave the guest or the rest it is in */
        /* CPU 0, out of a guest: look after the machine; whether the guest must wait for more */
        bool (*service)(void);
        bool *attention; /* set when a VM has ended, or needs CPU 0 */
};

/* What a vCPU does while no interrupt comes. */
enum vcpu_activity {
        VCPU_RUNS,
        VCPU_HALTED, /* HLT */
        VCPU_WAITS   /* for a start-up IPI */
};

/* Blocks of DRAM that a VM's memory is made of: a frame full of them, and where the next one is. */
struct vm_blocks {
        struct vm_blocks *next;
        uint64_t count;
        uint64_t block[510]; /* an address, with the order in its low bits */
};

_Static_assert(sizeof(struct vm_blocks) == PAGE_4K, "fills a frame");

/* An attachment. */
struct vm_region {
        struct pool_ref ref;
        enum pool_access access;
        bool created; /* for this run of the VM */
        bool disk;    /* not mapped: behind those that are */
};

/* The virtio devices: blocks of DRAM, each with a model and its transport. */
struct vm_virtio {
        struct {
                hpa_t memory;
                unsigned order;
        } device[PCI_DEVICES_MAX];
        unsigned count;
};

struct vm;
struct virtio_net;

struct vm_vcpu {
        struct vcpu vcpu; /* first: the backend's handlers get it */
        struct vm *vm;
        struct vlapic lapic;
        struct kvmclock_vcpu clock;
        struct pv_vcpu pv;
        struct mtrr mtrr;
        unsigned id; /* and its APIC ID */
        enum vcpu_activity activity;
        bool nmi;        /* to be injected */
        uint8_t offered; /* to the CPU, which holds it until it is taken; 0: none */
        bool deaf;       /* rests with interrupts off: only another vCPU can wake it */
        bool hung;       /* told: its interrupts have been off for too long */
        uint64_t
            off_since;    /* TSC of the first look that found them off; 0: the last found them on */
        bool look;        /* ask the scheduler before the next entry */
        uint64_t code;    /* what it waits to execute, vm_code.h; 0: nothing */
        bool unhalt;      /* kicked: its HLT ends, or the next one */
        uint64_t stolen;  /* of sched.waited, told to the guest */
        uint64_t look_at; /* TSC at which the scheduler wants to be asked */
        uint64_t exits[VM_EXIT_KINDS];
        uint64_t refused;    /* the last of exits[VM_EXIT_MEMORY] whose instruction is not known */
        unsigned refusals;   /* so many of them in a row */
        uint64_t interrupts; /* injected */
        struct posted posted;
        struct sched_entity sched;
};

struct vm {
        enum vm_end end; /* set once, by vm_finish */
        bool paused;
        uint64_t serial;   /* no other VM ever has the same */
        bool virtual_apic; /* the CPU virtualizes its vCPUs' local APICs */
        struct spinlock devices;
        struct vm_vcpu *vcpu[CONFIG_VCPUS_MAX];
        unsigned vcpus; /* that exist */
        uint64_t sent;  /* what its vCPUs and devices have sent to vCPUs */
        struct cpuid_policy cpuid;
        const struct vm_host *host;
        const struct vm_config *config;
        struct vm_layout layout;
        struct gmem mem;
        struct paging second_level;
        unsigned protection; /* of its memory there; what it executes is opened later, vm_code.h */
        struct bus bus;
        struct uart16550 uart;
        struct vm_console console;
        struct vioapic ioapic;
        struct pci_host pci;
        struct vm_virtio virtio;
        struct acpi_pm acpi_pm;
        struct kvmclock clock;
        struct mca mca;
        uint64_t build_ticks; /* of the TSC, for its start up to start_tsc but for the log */
        uint64_t own_bytes;   /* of DRAM, beside its memory */
        uint64_t start_tsc;
        struct vm_blocks *blocks; /* those of its memory, the latest first */
        struct vm_region region[CONFIG_REGIONS_MAX + CONFIG_DISKS_MAX];
        size_t regions; /* attached */
        struct virtio_net *net[CONFIG_NETS_MAX];
        size_t nets;                              /* at their switches */
        struct pool_disk *disk[CONFIG_DISKS_MAX]; /* in the device of config->disk[i] */
        bool has_tables;
};

/*
 * Build the VM that config describes and load its kernel. Regions that do not exist yet are
 * created. On failure the reason has been logged with the VM's
 * name and everything was given back; the pool is as before.
 */
must_check int vm_create(struct vm *vm, const struct vm_config *config, const struct vm_host *host);

/*
 * Give back all memory (guests' pages are cleared before their next use) and detach the regions. No
 * CPU holds one of its vCPUs any more.
 */
void vm_destroy(struct vm *vm);

/* The VM ends; its vCPUs leave their CPUs soon. Only the first call counts. From any CPU. */
void vm_finish(struct vm *vm, enum vm_end end);

/* Its vCPUs must not run: it has ended or is paused. */
static inline bool vm_stands(const struct vm *vm)
{
        return __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE) != VM_RUNNING ||
               __atomic_load_n(&vm->paused, __ATOMIC_ACQUIRE);
}

/* Whether it has to look at something that another CPU did. */
static inline bool vm_has_news(const struct vm_vcpu *v)
{
        return posted_pending(&v->posted) || vm_stands(v->vm) ||
               __atomic_load_n(&v->unhalt, __ATOMIC_SEQ_CST);
}

/* Something has been posted to the vCPU or its VM has changed: have it look. From any CPU. */
void vm_notify(struct vm_vcpu *v);

/* Bytes typed for this VM go to its serial port, as many as fit. */
void vm_feed_input(struct vm *vm);

/* An interrupt for those of its vCPUs that the message names; sender may be NULL. */
void vm_post(struct vm *vm, const struct vm_vcpu *sender, const struct apic_message *message);
