/*
 * The machine the hypervisor runs on, as found at boot: its log outputs, tables, memory, NVRAM pool
 * and clocks. Each step below is one line of boot_main and logs what it found.
 */
#pragma once

#include "boot/boot_info.h"
#include "drivers/acpi.h"
#include "drivers/nfit.h"
#include "drivers/uart.h"
#include "guest/config/config.h"
#include "mm/dram/dram.h"
#include "mm/memmap.h"
#include "mm/pool/pool.h"

struct machine {
        struct uart uart;
        struct acpi_tables tables;
        struct acpi_fadt fadt;
        struct acpi_madt madt;
        struct acpi_register hpet; /* its registers; address 0: none */
        bool has_madt;
        bool vga_text;         /* the VGA text screen shows the log */
        struct framebuffer fb; /* base 0: none */
        bool late_screen;      /* fb lies where the entry code has mapped nothing */
        struct memmap map;
        struct nfit nfit;
        hpa_t hint[NFIT_NVDIMMS_MAX]; /* flush hints, one of each NVDIMM that has any */
        size_t hint_count;
        hpa_t tables_start; /* of stacks and page tables, in RAM */
        uint64_t tables_size;
        uint64_t smp_page; /* where other CPUs start; 0: nowhere */
        struct dram dram;
        struct pool pool;
        uint32_t tsc_khz;
        uint64_t wall_tsc, wall_sec;
};

/*
 * Serial port and screen: every line logged before is shown now. A framebuffer above 4 GiB is left
 * to machine_start_late_screen, behind hv_map_init.
 */
void machine_start_log(struct machine *m, const struct boot_info *info,
                       const struct hv_options *options);

void machine_start_late_screen(struct machine *m);

/* ACPI tables; begins the TSC's calibration. A machine without tables can still be used. */
void machine_find_tables(struct machine *m, const struct boot_info *info);

/* The memory map of all sources, and the NVDIMMs. */
void machine_find_memory(struct machine *m, const struct boot_info *info,
                         const struct hv_options *options);

/* The DRAM allocator, with a fault for tests (dram_fail_after); behind hv_map_init. Negative
 * errno: no usable memory; logged. */
must_check int machine_start_dram(struct machine *m, uint64_t mem_fail);

/* Interrupt controllers and console input. Negative errno: never on a machine with a local APIC. */
must_check int machine_start_devices(struct machine *m);

/*
 * Mount the pool on all NVRAM. A pool that is damaged or foreign is left alone and reported, and
 * the machine goes on without it: only running out of memory is an error here.
 */
must_check int machine_mount_pool(struct machine *m, const struct hv_options *options);

/* TSC frequency and wall clock. -EIO: nothing tells the TSC's; logged. */
must_check int machine_read_clocks(struct machine *m);

/* The defined end: power-off, reset or halt. */
_Noreturn void machine_end(enum config_exit how);
