/*
 * Configuration: the hypervisor's command line and the module lines that describe VMs.
 *
 *     console=com1 exit=poweroff run="nv list; map"       (the hypervisor's own)
 *     vm=db mem=256M nvram=db-data:64M -- console=ttyS0   (module: the kernel of a new VM)
 *     initrd                                              (module: belongs to the VM before it)
 *     disk=tools                                          (module: the same, a read-only disk)
 *
 * Words are separated by blanks; what follows `--` is the guest kernel's command line. In the
 * hypervisor's own, "double quotes" keep blanks in a word and a backslash in them takes the next
 * character as it is: GRUB 2 hands run="nv list" over as "run=nv list". A mistake
 * is recorded in words that name the module and the key; it keeps its VM from being started and
 * leaves the others alone. Nothing here is logged before config_report.
 */
#pragma once

#include "guest/text/command.h"
#include "guest/text/words.h"
#include "hv/lib/cpu_set.h"
#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define CONFIG_CMDLINE_SIZE 2048
#define CONFIG_TEXT_SIZE    200
#define CONFIG_WORD_SIZE    (CONFIG_RUN_MAX * COMMAND_LINE_SIZE) /* of an option */

#define CONFIG_WATCHDOG_MAX 3600u
#define CONFIG_MEM_MIN      (2 * MiB)
#define CONFIG_WEIGHT       100u /* of each vCPU of a VM whose line does not say */
#define CONFIG_WEIGHT_MAX   10000u

/* What to do when the last VM has ended. */
enum config_exit {
        CONFIG_EXIT_HALT,
        CONFIG_EXIT_POWEROFF,
        CONFIG_EXIT_REBOOT,
        CONFIG_EXIT_MONITOR /* stay at the monitor's prompt */
};

struct config_range {
        uint64_t start;
        uint64_t size;
};

/* HPAs, as they were told; each may lie anywhere in what it names. */
struct config_addresses {
        uint64_t at[CONFIG_BAD_MAX];
        size_t count;
};

struct hv_options {
        uint16_t console_port; /* console=: I/O port of the log's UART; 0: none */
        enum config_exit exit; /* exit=poweroff|reboot|halt|monitor */
        int log_level;         /* loglevel=error|warn|notice|info|debug: enum log_level */
        uint64_t mem_fail;     /* mem-fail=N, for tests: see dram_fail_after */
        int mitigations_off;   /* mitigations=auto|off (0, 1): against weaknesses of the CPU */
        bool nvram_force;      /* nvram-format=force: give up what all NVRAM in use holds */
        bool nvram_mistake;    /* a nvram-...= was not understood: nothing is to be formatted */
        struct config_range nvram[CONFIG_NVRAM_MAX]; /* nvram=SIZE@ADDR: RAM that plays NVRAM */
        size_t nvram_count;
        struct config_addresses nvram_bad;    /* nvram-bad=ADDR[,ADDR...]: not to be used or read */
        struct config_addresses nvram_use;    /* nvram-use=: the ranges to use; empty: all */
        struct config_addresses nvram_skip;   /* nvram-skip=: ranges to leave alone */
        struct config_addresses nvram_format; /* nvram-format=: ranges to give up the contents of */
        char run[CONFIG_RUN_MAX][COMMAND_LINE_SIZE]; /* run=LINE[;LINE...], in order */
        size_t run_count;
};

/*
 * NAME:SIZE[:ro] of nvram= or disk=. Several VMs may name a region, but only one of them without
 * :ro, and each only once.
 */
struct config_region {
        char name[WORD_NAME_SIZE];
        uint64_t size; /* bytes, multiple of 2 MiB */
        bool read_only;
};

struct config_file {
        hpa_t start;
        uint64_t size;
};

/* A region, or a module's file, which is read-only; a VM has no two of the same name. */
struct config_disk {
        struct config_region region; /* of a file the name, and its size as it is */
        struct config_file file;     /* size 0: it is a region */
};

/* A port of a switch. */
struct config_net {
        char sw[WORD_NAME_SIZE];
        uint8_t mac[6];
};

/* What a VM's control port may do. */
enum config_control { CONFIG_CONTROL_NONE, CONFIG_CONTROL_LOOK, CONFIG_CONTROL_ALL };

struct vm_config {
        char name[WORD_NAME_SIZE];
        unsigned module; /* number of its module line, counted from 1 */
        bool startable;  /* valid after config_finish: no mistake concerns this VM */
        bool has_initrd;
        struct config_file kernel;
        struct config_file initrd;
        uint64_t mem; /* bytes, multiple of 2 MiB */
        unsigned vcpus;
        struct cpu_set cpus;        /* cpus=: its vCPUs may run on; empty: on all */
        uint32_t weight;            /* weight=: of each vCPU; 0: nothing said */
        uint32_t watchdog;          /* watchdog=: seconds; 0: none */
        char after[WORD_NAME_SIZE]; /* after=: starts when that VM has ended; "": at once */
        struct config_region region[CONFIG_REGIONS_MAX];
        size_t region_count;
        struct config_disk disk[CONFIG_DISKS_MAX]; /* in the order of /dev/vda, vdb ... */
        size_t disk_count;
        struct config_net net[CONFIG_NETS_MAX]; /* in the order of eth0, eth1 ... */
        size_t net_count;
        uint64_t net_rate;                 /* bytes a second that each may send; 0: no limit */
        enum config_control control;       /* control, control=ro */
        uint64_t nvram_max;                /* bytes its regions may hold together; 0: no limit */
        char cmdline[CONFIG_CMDLINE_SIZE]; /* of the guest's kernel */
        unsigned mistakes;                 /* recorded ones that concern this VM */
};

/* A mistake in words. */
struct config_error {
        int vm; /* index of the VM it concerns, -1: none */
        char text[CONFIG_TEXT_SIZE];
};

struct config {
        struct hv_options options;
        struct vm_config vm[CONFIG_VMS_MAX];
        size_t vm_count;
        struct config_error error[CONFIG_ERRORS_MAX];
        size_t error_count;   /* may be above CONFIG_ERRORS_MAX: the rest was only counted */
        unsigned modules;     /* private: module lines seen */
        bool current_dropped; /* private: the latest vm= found no room, its modules follow it */
        char word[CONFIG_WORD_SIZE]; /* private: the option that is read, without its quotes */
};

/* Start with the defaults: console=com1 exit=halt loglevel=notice, no VM. */
void config_init(struct config *config);

/*
 * Read the hypervisor's command line into config->options. A wrong or unknown option is recorded
 * and leaves its default. Returns 0, or -EINVAL when a mistake was recorded.
 */
must_check int config_parse_options(struct config *config, const char *cmdline);

/*
 * Add the next module: size bytes at start, with the string of its line. The string is copied.
 * Returns 0, or -EINVAL when a mistake was recorded.
 */
must_check int config_add_module(struct config *config, hpa_t start, uint64_t size,
                                 const char *string);

/* After the last module: check what spans lines and decide which VMs can be started. */
void config_finish(struct config *config);

/* Log every mistake, and for each VM that it will not be started. */
void config_report(const struct config *config);
