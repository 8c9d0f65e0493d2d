/*
 * A virtual machine: its memory, its one vCPU, its devices, and its life from module files to the
 * end. Built anew for every start, so that a guest's reboot begins from the files as well.
 */
#pragma once

#include "drivers/nfit.h"
#include "guest/acpi_pm.h"
#include "guest/bus.h"
#include "guest/config.h"
#include "guest/cpuid.h"
#include "guest/gmem.h"
#include "guest/ioapic.h"
#include "guest/kvmclock.h"
#include "guest/lapic.h"
#include "guest/layout.h"
#include "guest/mca.h"
#include "guest/pci_host.h"
#include "guest/uart16550.h"
#include "hv/virt.h"
#include "mm/dram.h"
#include "mm/paging.h"
#include "mm/pool.h"

#define VM_BLOCKS_MAX 64

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
        bool direct_interrupts;      /* every VM has a CPU of its own: lend it the local APIC */
};

struct vm_block {
        hpa_t hpa;
        unsigned order;
};

/* An attachment. */
struct vm_region {
        struct pool_ref ref;
        enum pool_access access;
};

struct vm {
        struct vcpu vcpu; /* first: the run loop's hottest */
        struct lapic lapic;
        enum vm_end end;
        uint64_t exits[VM_EXIT_KINDS];
        uint64_t interrupts; /* injected */
        struct cpuid_policy cpuid;
        const struct vm_host *host;
        const struct vm_config *config;
        struct vm_layout layout;
        struct gmem mem;
        struct paging second_level;
        struct bus bus;
        struct uart16550 uart;
        struct ioapic ioapic;
        struct pci_host pci;
        struct acpi_pm acpi_pm;
        struct kvmclock clock;
        struct mca mca;
        uint64_t start_tsc;
        struct vm_block block[VM_BLOCKS_MAX];
        size_t blocks;
        struct vm_region region[CONFIG_REGIONS_MAX];
        size_t regions; /* attached */
        bool has_vcpu, has_tables;
        bool direct; /* has the CPU's local APIC: interrupts without exits */
};

/*
 * Build the VM that config describes and load its kernel. Regions that do not exist yet are
 * created. On failure the reason has been logged with the VM's name and everything was given back;
 * the pool is as before.
 */
must_check int vm_create(struct vm *vm, const struct vm_config *config, const struct vm_host *host);

/* Give back all memory (guests' pages are cleared before their next use) and detach the regions. */
void vm_destroy(struct vm *vm);
