/*
 * A virtual machine: its memory, its vCPUs (vcpu.h), its devices, and its life from module files to
 * the end. Built anew for every start, so that a guest's reboot begins from the files as well.
 */
#pragma once

#include "drivers/nfit.h"
#include "guest/config/config.h"
#include "guest/console/console.h"
#include "guest/dev/acpi_pm.h"
#include "guest/dev/bus.h"
#include "guest/dev/cpuid.h"
#include "guest/dev/kvmclock.h"
#include "guest/dev/mca.h"
#include "guest/dev/pci_host.h"
#include "guest/dev/uart16550.h"
#include "guest/dev/vioapic.h"
#include "guest/load/layout.h"
#include "guest/mem/gmem.h"
#include "hv/lib/spinlock.h"
#include "hv/random.h"
#include "mm/paging/paging.h"
#include "mm/pool/pool.h"
#include "mm/pool/pool_disk.h"

struct dram;
struct sched;
struct virtio_console;
struct virtio_net;
struct vm_control;
struct vm_vcpu;

/* How a VM's run ended. */
enum vm_end {
        VM_RUNNING,
        VM_POWERED_OFF,
        VM_REBOOTED,
        VM_HALTED, /* HLT with interrupts off: nothing can wake it */
        VM_CRASHED,
        VM_STOPPED, /* by the user */
        VM_REFUSED  /* it could not be built */
};

/* What the machine gives to VMs; the caller's, unchanged while any VM exists. */
struct vm_machine {
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
        bool created;     /* for this run of the VM */
        bool is_volatile; /* it does not keep its contents */
        bool disk;        /* not mapped: behind those that are */
};

/* The virtio devices: blocks of DRAM, each with a model and its transport. */
struct vm_virtio {
        struct {
                hpa_t memory;
                unsigned order;
        } device[PCI_DEVICES_MAX];
        unsigned count;
};

/*
 * Who may touch a field is told above it. While the VM is built and taken apart none of its vCPUs
 * runs, and all of it is CPU 0's.
 */
struct vm {
        /* Constant from vm_create to vm_destroy: read on every CPU. */
        const struct vm_machine *machine;
        const struct vm_config *config;
        uint64_t serial;   /* no other VM ever has the same */
        bool virtual_apic; /* the CPU virtualizes its vCPUs' local APICs */
        struct cpuid_policy cpuid;
        struct vm_layout layout;
        struct gmem mem; /* where its bytes are; these are the guest's own */
        struct kvmclock clock;
        struct vm_region region[CONFIG_REGIONS_MAX + CONFIG_DISKS_MAX];
        size_t regions;                           /* attached */
        struct pool_disk *disk[CONFIG_DISKS_MAX]; /* in the device of config->disk[i] */
        struct virtio_net *net[CONFIG_NETS_MAX];
        size_t nets;                /* at their switches */
        struct virtio_console *hvc; /* NULL: it has neither hvc0 nor a control port */
        struct vm_control *control; /* NULL: it may not administer anything */
        struct vm_vcpu *vcpu[CONFIG_VCPUS_MAX];
        unsigned vcpus; /* that exist */

        /* CPU 0's alone. */
        unsigned protection; /* of its memory in second_level; vm_code.h opens it later */
        bool has_tables;
        struct vm_blocks *blocks; /* those of its memory, the latest first */
        uint64_t build_ticks;     /* of the TSC, for its start up to start_tsc but for the log */
        uint64_t own_bytes;       /* of DRAM, beside its memory */
        uint64_t start_tsc;

        /* Changed by CPU 0 alone, an entry at a time; walked on every CPU meanwhile. */
        struct paging second_level;

        /* Looked at and changed atomically. */
        enum vm_end end; /* by any CPU, once: vm_finish */
        bool paused;     /* by CPU 0 */
        bool reads_hvc;  /* by any CPU: it gets what is typed by hvc0, where it wrote last */
        uint64_t sent;   /* by any CPU: what its vCPUs and devices have sent to vCPUs */

        /* Under the lock devices, on any CPU. */
        struct spinlock devices;
        struct bus bus;
        struct uart16550 uart;
        struct vioapic ioapic;
        struct pci_host pci;
        struct vm_virtio virtio;
        struct acpi_pm acpi_pm;
        struct mca mca;

        /* It has a lock of its own. */
        struct guest_console console;
};

_Static_assert(sizeof(struct vm) <= 4 * PAGE_4K, "more would take twice as much");

/*
 * Build the VM that config describes and load its kernel. Regions that do not exist yet are
 * created. On failure the reason has been logged with the VM's name and everything was given back;
 * the pool is as before.
 */
must_check int vm_create(struct vm *vm, const struct vm_config *config,
                         const struct vm_machine *machine);

/*
 * Give back all memory (guests' pages are cleared before their next use) and detach the regions. No
 * CPU holds one of its vCPUs any more.
 */
void vm_destroy(struct vm *vm);

/* The VM ends; its vCPUs leave their CPUs soon. Only the first call counts. From any CPU. */
void vm_finish(struct vm *vm, enum vm_end end);

/* How it ended; VM_RUNNING: it has not. From any CPU. */
static inline enum vm_end vm_how_ended(const struct vm *vm)
{
        return __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE);
}

/* Its vCPUs must not run: it has ended or is paused. From any CPU. */
static inline bool vm_stands(const struct vm *vm)
{
        return vm_how_ended(vm) != VM_RUNNING || __atomic_load_n(&vm->paused, __ATOMIC_ACQUIRE);
}

/* Bytes typed for this VM go, as many as fit, to that of its serial port and hvc0 which it wrote to
 * last. Under vm->devices. */
void vm_feed_input(struct vm *vm);
