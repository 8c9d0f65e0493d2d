/* Module lines that describe VMs, and the whole configuration; the syntax is in config.h. */
#include "guest/config/config.h"

#include "drivers/uart.h"
#include "guest/config/config_line.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

static struct vm_config *line_vm(const struct config_line *line)
{
        return &line->config->vm[line->vm];
}

static void vm_name(struct config_line *line, const struct config_key *key, struct word value)
{
        struct vm_config *vm = line_vm(line);

        (void)key;
        if (!config_read_name(line, value, vm->name))
                return;
        for (int i = 0; i < line->vm; i++)
                if (strcmp(line->config->vm[i].name, vm->name) == 0)
                        config_complain(line, "the VM of module %u has this name already",
                                        line->config->vm[i].module);
}

/* "3" or "3-5". */
static bool read_cpus(struct word item, uint64_t *from, uint64_t *to)
{
        struct word first, last;
        bool is_range = word_split(item, '-', &first, &last);

        return !word_number(first, from) && !word_number(is_range ? last : first, to);
}

/* N[,N...] or N-M, of CPUs by their number. */
static void vm_cpus(struct config_line *line, const struct config_key *key, struct word value)
{
        uint64_t from, to;

        (void)key;
        for (struct word item, rest = value; word_next_item(&rest, ',', &item);) {
                if (!read_cpus(item, &from, &to)) {
                        config_complain(line, "numbers of CPUs are expected: N, N-M, N,M");
                        return;
                }
                if (from > to || to >= CPUS_MAX) {
                        config_complain(line, "CPUs are numbered from 0 to %u", CPUS_MAX - 1);
                        return;
                }
                for (; from <= to; from++)
                        cpu_set_add(&line_vm(line)->cpus, (unsigned)from);
        }
}

/* Of a VM before it, so that none waits for itself. */
static void vm_after(struct config_line *line, const struct config_key *key, struct word value)
{
        (void)key;
        for (int i = 0; i < line->vm; i++)
                if (word_is(value, line->config->vm[i].name)) {
                        memcpy(line_vm(line)->after, line->config->vm[i].name, WORD_NAME_SIZE);
                        return;
                }
        config_complain(line, "no VM of that name in a module before it");
}

/* The i-th region that a VM names, as memory or as a disk; NULL behind the last. */
static const struct config_region *named_region(const struct vm_config *vm, size_t i)
{
        if (i < vm->region_count)
                return &vm->region[i];
        i -= vm->region_count;
        return i < vm->disk_count ? &vm->disk[i].region : NULL;
}

static bool is_file(const struct vm_config *vm, size_t i)
{
        return i >= vm->region_count && vm->disk[i - vm->region_count].file.size;
}

/*
 * The VM, up to the line's own, that names this region in a way that excludes the line's: itself,
 * or another one that also wants to write. NULL: none does. A disk's file is the VM's own.
 */
static const struct vm_config *region_rival(const struct config_line *line,
                                            const struct config_region *region)
{
        for (int v = 0; v <= line->vm; v++) {
                const struct vm_config *vm = &line->config->vm[v];
                const struct config_region *named;

                for (size_t i = 0; (named = named_region(vm, i)); i++)
                        if (strcmp(named->name, region->name) == 0 &&
                            (v == line->vm ||
                             !(is_file(vm, i) || named->read_only || region->read_only)))
                                return vm;
        }
        return NULL;
}

static bool read_region(struct config_line *line, struct word item, struct config_region *region)
{
        struct word name, size, access;
        const struct vm_config *rival;

        if (!word_split(item, ':', &name, &size)) {
                config_complain(line, "NAME:SIZE[:ro][,NAME:SIZE...] is expected");
                return false;
        }
        region->read_only = word_split(size, ':', &size, &access);
        if (region->read_only && !word_is(access, "ro")) {
                config_complain(line, "only ro is known behind NAME:SIZE:");
                return false;
        }
        if (!config_read_name(line, name, region->name) ||
            !config_read_mapped_size(line, size, PAGE_2M, &region->size))
                return false;
        rival = region_rival(line, region);
        if (rival)
                config_complain(line, "region %s is named in module %u already", region->name,
                                rival->module);
        return !rival;
}

static void vm_nvram(struct config_line *line, const struct config_key *key, struct word value)
{
        struct vm_config *vm = line_vm(line);

        (void)key;
        for (struct word item, rest = value; word_next_item(&rest, ',', &item);) {
                struct config_region region = {.size = 0};

                if (!read_region(line, item, &region))
                        continue;
                if (vm->region_count == CONFIG_REGIONS_MAX)
                        config_complain(line, "more than %d regions", CONFIG_REGIONS_MAX);
                else
                        vm->region[vm->region_count++] = region;
        }
}

static void add_disk(struct config_line *line, const struct config_disk *disk)
{
        struct vm_config *vm = line_vm(line);

        if (vm->disk_count == CONFIG_DISKS_MAX)
                config_complain(line, "more than %d disks", CONFIG_DISKS_MAX);
        else
                vm->disk[vm->disk_count++] = *disk;
}

static void vm_disk(struct config_line *line, const struct config_key *key, struct word value)
{
        (void)key;
        for (struct word item, rest = value; word_next_item(&rest, ',', &item);) {
                struct config_disk disk = {.file.size = 0};

                if (read_region(line, item, &disk.region))
                        add_disk(line, &disk);
        }
}

/* Six pairs of hexadecimal digits between colons; false: it is none, or not one that a port can
 * have: of a group, or all zero. */
static bool read_mac(struct word value, uint8_t mac[6])
{
        unsigned any = 0;

        if (value.len != 17)
                return false;
        for (size_t i = 0; i < 6; i++) {
                const char *at = value.text + 3 * i;
                unsigned high = word_digit(at[0]), low = word_digit(at[1]);

                if (high > 15 || low > 15 || (i < 5 && at[2] != ':'))
                        return false;
                mac[i] = (uint8_t)(high << 4 | low);
                any |= mac[i];
        }
        return any && !(mac[0] & 1);
}

/* The same at each start: of the VM's name, and which of its ports it is. */
static void make_mac(const struct vm_config *vm, uint8_t mac[6])
{
        uint32_t sum = 2166136261u; /* FNV-1a */

        for (const char *c = vm->name; *c; c++)
                sum = (sum ^ (uint8_t)*c) * 16777619u;
        mac[0] = 0x02; /* locally administered */
        for (size_t i = 0; i < 4; i++)
                mac[1 + i] = (uint8_t)(sum >> 8 * i);
        mac[5] = (uint8_t)vm->net_count;
}

/* The VM that has a port with this address at the switch already; NULL: none. */
static const struct vm_config *mac_rival(const struct config_line *line,
                                         const struct config_net *net)
{
        for (int v = 0; v <= line->vm; v++) {
                const struct vm_config *vm = &line->config->vm[v];

                for (size_t i = 0; i < vm->net_count; i++)
                        if (strcmp(vm->net[i].sw, net->sw) == 0 &&
                            memcmp(vm->net[i].mac, net->mac, sizeof net->mac) == 0)
                                return vm;
        }
        return NULL;
}

static void add_net(struct config_line *line, struct word item)
{
        struct vm_config *vm = line_vm(line);
        struct config_net net;
        struct word name, mac;
        bool has_mac = word_split(item, ':', &name, &mac);
        const struct vm_config *rival;

        if (!config_read_name(line, name, net.sw))
                return;
        make_mac(vm, net.mac);
        if (has_mac && !read_mac(mac, net.mac)) {
                config_complain(line, "SWITCH[:MAC] is expected, MAC as 02:00:00:00:00:01");
                return;
        }
        rival = mac_rival(line, &net);
        if (rival)
                config_complain(line, "module %u has a port with this address at switch %s",
                                rival->module, net.sw);
        else if (vm->net_count == CONFIG_NETS_MAX)
                config_complain(line, "more than %d ports", CONFIG_NETS_MAX);
        else
                vm->net[vm->net_count++] = net;
}

static void vm_net(struct config_line *line, const struct config_key *key, struct word value)
{
        (void)key;
        for (struct word item, rest = value; word_next_item(&rest, ',', &item);)
                add_net(line, item);
}

static void vm_net_rate(struct config_line *line, const struct config_key *key, struct word value)
{
        uint64_t *rate = &line_vm(line)->net_rate;

        (void)key;
        if (config_read_size(line, value, rate) && (*rate < 64 * KiB || *rate > CONFIG_SIZE_MAX))
                config_complain(line, "from 64K to 1T bytes a second are possible");
}

static void vm_control(struct config_line *line, const struct config_key *key, struct word value)
{
        enum config_control *control = &line_vm(line)->control;

        (void)key;
        *control = value.text ? CONFIG_CONTROL_LOOK : CONFIG_CONTROL_ALL;
        if (value.text && !word_is(value, "ro"))
                config_complain(line, "control or control=ro is expected");
}

#define VM(field) offsetof(struct vm_config, field)

static const struct config_key vm_keys[] = {
    {"vm", .parse = vm_name},
    {"mem", config_key_mapped, VM(mem), .limit = CONFIG_MEM_MIN},
    {"vcpus", config_key_number, VM(vcpus), .limit = CONFIG_VCPUS_MAX},
    {"nvram", .parse = vm_nvram},
    {"disk", .parse = vm_disk},
    {"net", .parse = vm_net},
    {"net-rate", .parse = vm_net_rate},
    {"nvram-max", config_key_mapped, VM(nvram_max), .limit = PAGE_2M},
    {"cpus", .parse = vm_cpus},
    {"weight", config_key_number, VM(weight), .limit = CONFIG_WEIGHT_MAX},
    {"after", .parse = vm_after},
    {"watchdog", config_key_number, VM(watchdog), .limit = CONFIG_WATCHDOG_MAX},
    {"control", .parse = vm_control, .alone = true},
};

static void copy_cmdline(struct config_line *line)
{
        struct word text = word_trim(word_of(line->rest));

        if (text.len < CONFIG_CMDLINE_SIZE)
                memcpy(line_vm(line)->cmdline, text.text, text.len); /* the rest of it is zero */
        else
                config_complain(line, "the kernel's command line is longer than %d characters",
                                CONFIG_CMDLINE_SIZE - 1);
}

static void open_vm(struct config_line *line, const struct config_file *file)
{
        struct config *config = line->config;

        config->current_dropped = config->vm_count == CONFIG_VMS_MAX;
        if (config->current_dropped) {
                line->vm = CONFIG_NO_VM;
                config_complain(line, "more than %d VMs", CONFIG_VMS_MAX);
                return;
        }
        line->vm = (int)config->vm_count++;
        line->fields = line_vm(line);
        *line_vm(line) = (struct vm_config){.module = line->module, .kernel = *file, .vcpus = 1};
        if (file->size == 0)
                config_complain(line, "the module is empty");
        do {
                if (word_is(line->word, "--")) {
                        copy_cmdline(line);
                        break;
                }
                config_parse_word(line, vm_keys, ARRAY_LEN(vm_keys));
        } while (word_next(&line->rest, false, &line->word));
}

static void add_initrd(struct config_line *line, const struct config_file *file)
{
        struct vm_config *vm;

        if (line->vm == CONFIG_NO_VM) {
                config_complain(line, "no vm= in a module before it: whose initrd is it?");
                return;
        }
        vm = line_vm(line);
        if (vm->has_initrd)
                config_complain(line, "VM %s has an initrd already", vm->name);
        else if (file->size == 0)
                config_complain(line, "the module is empty");
        vm->initrd = *file;
        vm->has_initrd = true;
        while (word_next(&line->rest, false, &line->word))
                config_complain(line, "unknown key");
}

/* disk=NAME: the module's file is a read-only disk of the VM before it. */
static void add_disk_file(struct config_line *line, struct word name,
                          const struct config_file *file)
{
        struct config_disk disk = {.region = {.size = file->size, .read_only = true},
                                   .file = *file};

        if (line->vm == CONFIG_NO_VM)
                config_complain(line, "no vm= in a module before it: whose disk is it?");
        else if (file->size == 0)
                config_complain(line, "the module is empty");
        else if (!is_aligned(file->size, 512))
                config_complain(line, "the size of the file is not a multiple of 512 bytes");
        else if (config_read_name(line, name, disk.region.name)) {
                if (region_rival(line, &disk.region))
                        config_complain(line, "VM %s has a region or disk of this name already",
                                        line_vm(line)->name);
                else
                        add_disk(line, &disk);
        }
        while (word_next(&line->rest, false, &line->word))
                config_complain(line, "unknown key");
}

static bool names_root(const char *cmdline)
{
        struct word word, key, value;

        while (word_next(&cmdline, false, &word))
                if (word_split(word, '=', &key, &value) && value.len && word_is(key, "root"))
                        return true;
        return false;
}

void config_init(struct config *config)
{
        memset(config, 0, sizeof *config);
        config->options.console_port = uart_com_ports[0];
        config->options.exit = CONFIG_EXIT_HALT;
        config->options.log_level = LOG_NOTICE;
}

int config_add_module(struct config *config, hpa_t start, uint64_t size, const char *string)
{
        struct config_file file = {start, size};
        struct config_line line = {
            .config = config,
            .module = ++config->modules,
            .vm = (int)config->vm_count - 1, /* CONFIG_NO_VM before the first */
            .rest = string,
        };
        struct word name, value;
        bool has_value;

        if (config->current_dropped)
                line.vm = CONFIG_NO_VM;
        (void)word_next(&line.rest, false, &line.word);
        has_value = word_split(line.word, '=', &name, &value);
        if (has_value && word_is(name, "vm"))
                open_vm(&line, &file);
        else if (config->current_dropped)
                return -EINVAL; /* said when its VM was dropped */
        else if (word_is(line.word, "initrd"))
                add_initrd(&line, &file);
        else if (has_value && word_is(name, "disk"))
                add_disk_file(&line, value, &file);
        else
                config_complain(&line, "a module starts with vm=NAME, initrd or disk=NAME");
        return line.mistakes ? -EINVAL : 0;
}

void config_finish(struct config *config)
{
        for (size_t i = 0; i < config->vm_count; i++) {
                struct vm_config *vm = &config->vm[i];
                struct config_line line = {.config = config, .module = vm->module, .vm = (int)i};

                line.word = word_of(vm->name);
                if (vm->mem == 0 && vm->mistakes == 0)
                        config_complain(&line, "mem= is missing");
                /* GRUB passes over a file that it cannot read: without this check its absence
                   would only show as a guest that finds no root file system */
                if (!vm->has_initrd && vm->mistakes == 0 && !names_root(vm->cmdline))
                        config_complain(&line, "no initrd module, and no root= for the kernel");
                vm->startable = vm->mistakes == 0;
        }
}

void config_report(const struct config *config)
{
        for (size_t i = 0; i < config->error_count && i < CONFIG_ERRORS_MAX; i++)
                printk(LOG_ERROR, "%s", config->error[i].text);
        if (config->error_count > CONFIG_ERRORS_MAX)
                printk(LOG_ERROR, "and %zu more mistakes in the configuration",
                       config->error_count - CONFIG_ERRORS_MAX);
        for (size_t i = 0; i < config->vm_count; i++)
                if (!config->vm[i].startable)
                        printk(LOG_ERROR, "VM %s (module %u) is not started: see above",
                               config->vm[i].name, config->vm[i].module);
}
