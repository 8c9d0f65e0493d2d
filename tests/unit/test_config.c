/* Configuration: VMs' module lines, and every mistake with its message. */
#include "guest/config/config.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

/* Read module lines (up to a NULL), each a file of 4 KiB, and finish. */
static void load(const char *const *lines)
{
        config_init(&config);
        for (unsigned i = 0; lines[i]; i++) {
                size_t before = config.error_count;
                int err = config_add_module(&config, HPA(0x100000 * (i + 1)), 4096, lines[i]);

                CHECK_EQ(err, config.error_count == before ? 0 : -EINVAL);
        }
        config_finish(&config);
}

#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

/* The line alone must give one mistake, with both texts, and a VM that is not started. */
static void refused(const char *line, const char *key, const char *what)
{
        LOAD(line, "initrd");
        CHECK_EQ(config.error_count, 1);
        CHECK(said(key, what));
        CHECK(said("module 1", what));
        CHECK_EQ(config.vm_count, 1);
        CHECK(!config.vm[0].startable);
        if (config.error_count != 1 || !said(key, what))
                printf("# %s: \"%s\"\n", line, config.error[0].text);
}

static void test_scheduling(void)
{
        LOAD("vm=a mem=64M vcpus=4 cpus=0,2-3,31,63-65,255 weight=250 watchdog=9 -- root=x",
             "vm=b mem=64M after=a -- root=x");
        CHECK_EQ(config.error_count, 0);
        CHECK_EQ(config.vm[0].vcpus, 4);
        CHECK_EQ(config.vm[0].cpus.word[0], 0x800000008000000d);
        CHECK_EQ(config.vm[0].cpus.word[1], 3);
        CHECK_EQ(config.vm[0].cpus.word[3], 1ull << 63);
        CHECK_EQ(config.vm[0].weight, 250);
        CHECK_EQ(config.vm[0].watchdog, 9);
        CHECK(strcmp(config.vm[1].after, "a") == 0);
        CHECK(cpu_set_is_empty(&config.vm[1].cpus));
        CHECK_EQ(config.vm[1].weight + config.vm[1].watchdog, 0);
        refused("vm=a mem=64M cpus=", "cpus=", "numbers of CPUs");
        refused("vm=a mem=64M cpus=1-", "cpus=", "numbers of CPUs");
        refused("vm=a mem=64M cpus=1x", "cpus=", "numbers of CPUs");
        refused("vm=a mem=64M cpus=3-2", "cpus=", "from 0 to 255");
        refused("vm=a mem=64M cpus=256", "cpus=", "from 0 to 255");
        refused("vm=a mem=64M cpus=0-4294967296", "cpus=", "from 0 to 255");
        refused("vm=a mem=64M weight=0", "weight=", "from 1 to 10000");
        refused("vm=a mem=64M weight=10001", "weight=", "from 1 to 10000");
        refused("vm=a mem=64M watchdog=1h", "watchdog=", "from 1 to 3600");
        refused("vm=a mem=64M control=rw", "control=rw", "control or control=ro is expected");
        refused("vm=a mem=64M control=", "control=", "control or control=ro is expected");
        refused("vm=a mem=64M control control=ro", "control=ro", "given twice");
        refused("vm=a mem=64M weight", "weight", "a value is expected");
        refused("vm=a mem=64M after=a", "after=", "no VM of that name");
        refused("vm=a mem=64M after=b", "after=", "no VM of that name");
}

/* Readers may share a region, and one writer may be among its users. */
static void test_shared_regions(void)
{
        LOAD("vm=a mem=64M nvram=r:4M,own:2M:ro nvram-max=64M -- root=x",
             "vm=b mem=64M nvram=r:4M:ro -- root=x", "vm=c mem=64M nvram=r:4M:ro -- root=x");
        CHECK_EQ(config.error_count, 0);
        CHECK(!config.vm[0].region[0].read_only);
        CHECK(config.vm[0].region[1].read_only);
        CHECK(config.vm[1].region[0].read_only);
        CHECK_EQ(config.vm[1].region[0].size, 4 * MiB);
        CHECK_EQ(config.vm[0].nvram_max, 64 * MiB);
        CHECK_EQ(config.vm[1].nvram_max, 0);
        LOAD("vm=a mem=64M nvram=r:4M:ro -- root=x", "vm=b mem=64M nvram=r:4M -- root=x",
             "vm=c mem=64M nvram=r:4M -- root=x");
        CHECK_EQ(config.error_count, 1);
        CHECK(said("module 3", "region r is named in module 2 already"));
        CHECK(config.vm[1].startable && !config.vm[2].startable);
        refused("vm=a mem=64M nvram=r:4M:ro,r:4M:ro", "nvram=", "named in module 1 already");
        refused("vm=a mem=64M nvram=r:4M,r:4M:ro", "nvram=", "named in module 1 already");
        refused("vm=a mem=64M nvram=r:4M:rw", "nvram=", "only ro is known");
        refused("vm=a mem=64M nvram=r:4M:", "nvram=", "only ro is known");
        refused("vm=a mem=64M nvram=r:4M:ro:ro", "nvram=", "only ro is known");
        refused("vm=a mem=64M nvram-max=1M", "nvram-max=1M", "the size must be from 2 MiB");
        refused("vm=a mem=64M nvram-max=4M nvram-max=4M", "nvram-max=4M", "twice");
}

/* A region is memory of a VM or its disk; as to who may have it, either counts. */
static void test_disks(void)
{
        const struct config_disk *disk = config.vm[0].disk;

        LOAD("vm=a mem=64M nvram=r:4M disk=root:8M,data:2M:ro -- root=/dev/vda", "disk=tools",
             "vm=b mem=64M disk=r:4M:ro,data:2M -- root=/dev/vda", "disk=tools", "disk=root");
        CHECK_EQ(config.error_count, 0);
        CHECK_EQ(config.vm[0].disk_count, 3);
        CHECK(strcmp(disk[0].region.name, "root") == 0 && !disk[0].region.read_only);
        CHECK(disk[0].region.size == 8 * MiB && disk[0].file.size == 0);
        CHECK(strcmp(disk[1].region.name, "data") == 0 && disk[1].region.read_only);
        CHECK(strcmp(disk[2].region.name, "tools") == 0 && disk[2].region.read_only);
        CHECK(disk[2].file.start.v == 0x200000 && disk[2].file.size == 4096);
        CHECK_EQ(disk[2].region.size, 4096);
        CHECK_EQ(config.vm[1].disk_count, 4);
        LOAD("vm=a mem=64M disk=r:4M -- root=x", "vm=b mem=64M nvram=r:4M -- root=x",
             "vm=c mem=64M disk=r:4M -- root=x");
        CHECK_EQ(config.error_count, 2);
        CHECK(said("module 2: nvram=r:4M", "region r is named in module 1 already"));
        CHECK(said("module 3: disk=r:4M", "region r is named in module 1 already"));
        refused("vm=a mem=64M nvram=r:4M:ro disk=r:4M:ro", "disk=r", "named in module 1 already");
        refused("vm=a mem=64M disk=r:4M nvram=r:4M", "nvram=r", "named in module 1 already");
        refused("vm=a mem=64M disk=r:4M,r:4M", "disk=r", "named in module 1 already");
        refused("vm=a mem=64M disk=r", "disk=r", "NAME:SIZE[:ro][,NAME:SIZE...] is expected");
        refused("vm=a mem=64M disk=r:1M", "disk=r:1M", "the size must be from 2 MiB");
        refused("vm=a mem=64M disk=r:3M", "disk=r:3M", "a multiple of 2 MiB");
        refused("vm=a mem=64M disk=r:2M:rw", "disk=r", "only ro is known");
        refused("vm=a mem=64M disk=r:2M disk=s:2M", "disk=s", "twice");
        refused("vm=a mem=64M disk=a:2M,b:2M,c:2M,d:2M,e:2M,f:2M,g:2M,h:2M,i:2M", "disk=a",
                "more than 8 disks");
}

static void test_disk_files(void)
{
        LOAD("disk=tools", "vm=a mem=64M disk=r:4M -- root=x", "disk=r", "disk=t", "disk=t",
             "disk=a/b", "disk=", "disk=u ro");
        CHECK_EQ(config.error_count, 6);
        CHECK(said("module 1: disk=tools", "whose disk is it?"));
        CHECK(said("module 3: disk=r", "VM a has a region or disk of this name already"));
        CHECK(said("module 5: disk=t", "VM a has a region or disk of this name already"));
        CHECK(said("module 6: disk=a/b", "a name of 1 to 31 characters"));
        CHECK(said("module 7: disk=", "a name of 1 to 31 characters"));
        CHECK(said("module 8: ro", "unknown key"));
        CHECK(!config.vm[0].startable);
        config_init(&config);
        CHECK_EQ(config_add_module(&config, HPA(0x1000), 4096, "vm=a mem=64M -- root=x"), 0);
        CHECK_EQ(config_add_module(&config, HPA(0x2000), 513, "disk=t"), -EINVAL);
        CHECK_EQ(config_add_module(&config, HPA(0x3000), 0, "disk=u"), -EINVAL);
        CHECK(said("module 2: disk=t", "the size of the file is not a multiple of 512 bytes"));
        CHECK(said("module 3: disk=u", "the module is empty"));
        LOAD("vm=a mem=64M disk=1:2M,2:2M,3:2M,4:2M,5:2M,6:2M,7:2M -- root=x", "disk=8", "disk=9");
        CHECK_EQ(config.error_count, 1);
        CHECK(said("module 3: disk=9", "more than 8 disks"));
}

static void test_nets(void)
{
        const struct vm_config *a = &config.vm[0], *b = &config.vm[1];

        LOAD("vm=a mem=64M net=lan,dmz:02:00:00:00:00:fE net-rate=10M -- root=x",
             "vm=b mem=64M net=lan -- root=x");
        CHECK_EQ(config.error_count, 0);
        CHECK(a->net_count == 2 && b->net_count == 1);
        CHECK(strcmp(a->net[0].sw, "lan") == 0 && strcmp(a->net[1].sw, "dmz") == 0);
        CHECK(!memcmp(a->net[1].mac, "\x02\0\0\0\0\xfe", 6));
        CHECK(a->net[0].mac[0] == 2 && memcmp(a->net[0].mac, b->net[0].mac, 6) != 0);
        CHECK(a->net_rate == 10 * MiB && b->net_rate == 0);
        refused("vm=a mem=64M net=a/b", "net=a/b", "a name of 1 to 31 characters");
        refused("vm=a mem=64M net=", "net=", "a name of 1 to 31 characters");
        refused("vm=a mem=64M net=a:", "net=a:", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a:02:00:00:00:00", "net=a", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a:02:00:00:00:00:0g", "net=a", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a:02-00-00-00-00-01", "net=a", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a:03:00:00:00:00:01", "net=a", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a:00:00:00:00:00:00", "net=a", "SWITCH[:MAC] is expected");
        refused("vm=a mem=64M net=a,b,c,d,e,f,g,h,i", "net=a", "more than 8 ports");
        refused("vm=a mem=64M net-rate=1K", "net-rate=1K", "from 64K to 1T bytes a second");
        LOAD("vm=a mem=64M net=lan:02:00:00:00:00:01 -- root=x",
             "vm=b mem=64M net=lan:02:00:00:00:00:01 -- root=x");
        CHECK_EQ(config.error_count, 1);
        CHECK(said("module 2", "module 1 has a port with this address at switch lan"));
}

static void test_two_vms(void)
{
        const struct vm_config *vm = config.vm;

        LOAD("vm=db mem=256M vcpus=1 nvram=db-data:64M,db-log:16M --  console=ttyS0 -- x \t",
             "initrd", "vm=web mem=1g -- root=/dev/pmem0");
        CHECK_EQ(config.error_count, 0);
        CHECK_EQ(config.vm_count, 2);
        CHECK(strcmp(vm[0].name, "db") == 0);
        CHECK_EQ(vm[0].module, 1);
        CHECK_EQ(vm[0].mem, 256 * MiB);
        CHECK_EQ(vm[0].vcpus, 1);
        CHECK_EQ(vm[0].kernel.start.v, 0x100000);
        CHECK_EQ(vm[0].kernel.size, 4096);
        CHECK(vm[0].has_initrd);
        CHECK_EQ(vm[0].initrd.start.v, 0x200000);
        CHECK_EQ(vm[0].region_count, 2);
        CHECK(strcmp(vm[0].region[0].name, "db-data") == 0);
        CHECK_EQ(vm[0].region[0].size, 64 * MiB);
        CHECK(strcmp(vm[0].region[1].name, "db-log") == 0);
        CHECK_EQ(vm[0].region[1].size, 16 * MiB);
        CHECK(strcmp(vm[0].cmdline, "console=ttyS0 -- x") == 0);
        CHECK(vm[0].startable);
        CHECK(strcmp(vm[1].name, "web") == 0);
        CHECK_EQ(vm[1].mem, GiB);
        CHECK_EQ(vm[1].vcpus, 1);
        CHECK(!vm[1].has_initrd);
        CHECK_EQ(vm[1].kernel.start.v, 0x300000);
        CHECK(vm[1].startable);
}

static void test_names(void)
{
        refused("vm= mem=64M", "vm=", "name");
        refused("vm=a/b mem=64M", "vm=a/b", "name");
        refused("vm=abcdefghijklmnopqrstuvwxyz123456 mem=64M", "vm=abc", "name");
        LOAD("vm=Abcdefghijklmnopqrstuvwxyz._-09 mem=64M", "initrd");
        CHECK_EQ(config.error_count, 0);
        refused("vm=a mem=64M nvram=b@d:2M", "nvram=", "name");
        refused("vm=a mem=64M nvram=:2M", "nvram=", "name");
}

static void test_numbers(void)
{
        refused("vm=a mem=", "mem=", "number");
        refused("vm=a mem=M", "mem=M", "number");
        refused("vm=a mem=64Q", "mem=64Q", "number");
        refused("vm=a mem=64MB", "mem=64MB", "number");
        refused("vm=a mem=-64M", "mem=-64M", "number");
        refused("vm=a mem=0x", "mem=0x", "number");
        refused("vm=a mem=99999999999999999999", "mem=9", "64 bits");
        refused("vm=a mem=18014398509481984K", "mem=1", "64 bits");
        refused("vm=a mem=1M", "mem=1M", "from 2 MiB");
        refused("vm=a mem=17M", "mem=17M", "multiple of 2 MiB");
        refused("vm=a mem=2T", "mem=2T", "to 1048576 MiB");
        refused("vm=a mem=64M vcpus=17", "vcpus=17", "from 1 to 16");
        refused("vm=a mem=64M vcpus=0", "vcpus=0", "from 1");
        refused("vm=a mem=64M vcpus=1K", "vcpus=1K", "from 1");
        refused("vm=a mem=64M nvram=r:0", "nvram=r:0", "from 2 MiB");
        refused("vm=a mem=64M nvram=r:3M", "nvram=r:3M", "multiple of 2 MiB");
        refused("vm=a mem=64M nvram=r:x", "nvram=r:x", "number");
        LOAD("vm=a mem=0x4000000", "initrd");
        CHECK_EQ(config.vm[0].mem, 64 * MiB);
        CHECK(config.vm[0].startable);
        LOAD("vm=a mem=2M", "initrd");
        CHECK_EQ(config.vm[0].mem, 2 * MiB);
        CHECK(config.vm[0].startable);
}

static void test_keys(void)
{
        refused("vm=a mem=64M colour=blue", "colour=blue", "unknown key");
        refused("vm=a mem=64M mem=64M", "mem=64M", "twice");
        refused("vm=a vm=b mem=64M", "vm=b", "twice");
        refused("vm=a mem=64M vcpus", "vcpus", "value");
        refused("vm=a mem=64M stray -- quiet", "stray", "unknown key");
        refused("vm=a", "a", "mem= is missing");
        refused("vm=a mem=64M nvram=r", "nvram=r", "NAME:SIZE");
        refused("vm=a mem=64M nvram=r:2M,", "nvram=r:2M,", "NAME:SIZE");
        refused("vm=a mem=64M nvram=r:2M,r:2M", "nvram=r", "region r is named in module 1");
        refused("vm=a mem=64M nvram=a:2M,b:2M,c:2M,d:2M,e:2M,f:2M,g:2M,h:2M,i:2M", "nvram=a",
                "more than 8");
}

static void test_every_mistake_is_told(void)
{
        LOAD("vm=a mem=7 vcpus=99 bogus=1 nvram=x:1,y:2M");
        CHECK_EQ(config.error_count, 4);
        CHECK_EQ(config.vm[0].mistakes, 4);
        CHECK(said("mem=7", "2 MiB") && said("vcpus=99", "from 1 to 16") &&
              said("bogus=1", "unknown"));
        CHECK_EQ(config.vm[0].region_count, 1);
}

static void test_long_kernel_command_line(void)
{
        static char line[CONFIG_CMDLINE_SIZE + 100];
        int head = snprintf(line, sizeof line, "vm=a mem=64M -- ");

        memset(line + head, 'x', CONFIG_CMDLINE_SIZE - 1);
        LOAD(line, "initrd");
        CHECK_EQ(config.error_count, 0);
        CHECK_EQ(strlen(config.vm[0].cmdline), CONFIG_CMDLINE_SIZE - 1);
        line[head + CONFIG_CMDLINE_SIZE - 1] = 'x';
        refused(line, "--", "longer than 2047");
}

/* A mistake stops its own VM and no other. */
static void test_mistakes_stay_with_their_vm(void)
{
        LOAD("vm=a mem=64M nvram=r:2M", "initrd", "vm=a mem=64M", "initrd",
             "vm=c mem=64M nvram=r:2M", "initrd", "vm=d mem=64M", "initrd", "initrd",
             "vm=e mem=64M", "initrd quiet", "vm=f mem=64M", "unknown", "vm=g mem=64M",
             "vm=h mem=64M", "initrd");
        CHECK_EQ(config.vm_count, 8);
        CHECK(config.vm[0].startable);
        CHECK(!config.vm[1].startable && said("module 3", "module 1 has this name"));
        CHECK(!config.vm[2].startable && said("module 5", "region r is named in module 1"));
        CHECK(!config.vm[3].startable && said("module 9", "VM d has an initrd already"));
        CHECK(!config.vm[4].startable && said("module 11: quiet", "unknown key"));
        CHECK(!config.vm[5].startable &&
              said("module 13: unknown", "vm=NAME, initrd or disk=NAME"));
        CHECK(!config.vm[6].startable && said("module 14", "no initrd"));
        CHECK(config.vm[7].startable);
        CHECK_EQ(config.error_count, 6);
}

static void test_modules_without_vm(void)
{
        LOAD("initrd", "", "vm=a mem=64M -- root=/dev/vda");
        CHECK_EQ(config.error_count, 2);
        CHECK_EQ(config.error[0].vm, -1);
        CHECK(said("module 1: initrd", "whose initrd"));
        CHECK(said("module 2", "vm=NAME, initrd or disk=NAME"));
        CHECK_EQ(config.vm_count, 1);
        CHECK(config.vm[0].startable);
}

static void test_empty_files(void)
{
        config_init(&config);
        CHECK_EQ(config_add_module(&config, HPA(0), 0, "vm=a mem=64M"), -EINVAL);
        CHECK_EQ(config_add_module(&config, HPA(0), 1, "initrd"), 0);
        CHECK_EQ(config_add_module(&config, HPA(0), 1, "vm=b mem=64M"), 0);
        CHECK_EQ(config_add_module(&config, HPA(0), 0, "initrd"), -EINVAL);
        config_finish(&config);
        CHECK(!config.vm[0].startable && !config.vm[1].startable);
        CHECK(said("module 1: vm=a", "empty") && said("module 4: initrd", "empty"));
}

/* Neither VMs nor messages overflow their arrays; modules of a dropped VM hurt nobody. */
static void test_limits(void)
{
        char line[64];

        config_init(&config);
        for (unsigned i = 0; i < CONFIG_VMS_MAX; i++) {
                snprintf(line, sizeof line, "vm=v%u mem=64M -- root=x", i);
                CHECK_EQ(config_add_module(&config, HPA(0), 1, line), 0);
        }
        CHECK(CONFIG_VMS_MAX > 257);
        CHECK(strcmp(config.vm[256].name, "v256") == 0 && config.vm[256].module == 257);
        CHECK_EQ(config_add_module(&config, HPA(0), 1, "vm=more mem=64M"), -EINVAL);
        CHECK(said("module 321: vm=more", "more than 320 VMs"));
        CHECK_EQ(config_add_module(&config, HPA(0), 1, "initrd"), -EINVAL);
        CHECK_EQ(config.error_count, 1);
        for (unsigned i = 0; i < 2 * CONFIG_ERRORS_MAX; i++)
                CHECK_EQ(config_parse_options(&config, "no"), -EINVAL);
        config_finish(&config);
        config_report(&config);
        CHECK_EQ(config.vm_count, CONFIG_VMS_MAX);
        CHECK_EQ(config.error_count, 1 + 2 * CONFIG_ERRORS_MAX);
        for (unsigned i = 0; i < CONFIG_VMS_MAX; i++)
                CHECK(config.vm[i].startable && !config.vm[i].has_initrd);
}

/* Words are cut in messages, messages are cut at their buffer. */
static void test_long_words(void)
{
        char line[4096];

        memset(line, 'x', sizeof line);
        memcpy(line, "vm=", 3);
        line[sizeof line - 1] = '\0';
        LOAD(line);
        CHECK_EQ(config.error_count, 1);
        CHECK(strlen(config.error[0].text) < CONFIG_TEXT_SIZE);
        CHECK(said("vm=xxx", "a name of 1 to 31 characters"));
}

static const char *const line_pieces[] = {
    "vm=",  "a",  "b",     "mem=",   "64M", "16m", "nvram=",        ":",  "2M", ",", " ",    " ",
    " ",    "--", "=",     "initrd", "9",   "0x",  "vcpus",         "=1", "\t", "T", "\xff", "@",
    "root", "-",  "r1:2M", "K",      "G",   "~",   "vm=c mem=32M ",
};

/* Whatever the lines hold, nothing is overrun and what is startable satisfies the contract. */
static void test_random_lines(void)
{
        uint64_t seed = unit_seed();

        for (unsigned i = 0; i < 20000; i++) {
                config_init(&config);
                for (uint64_t n = unit_random(&seed) % 6; n > 0; n--) {
                        char line[400] = "";
                        char *copy;

                        for (uint64_t k = unit_random(&seed) % 24; k > 0; k--)
                                strcat(line,
                                       line_pieces[unit_random(&seed) % ARRAY_LEN(line_pieces)]);
                        copy = strdup(line); /* so that ASan guards its end */
                        if (unit_random(&seed) % 4)
                                (void)!config_add_module(&config, HPA(0), 1, copy);
                        else
                                (void)!config_parse_options(&config, copy);
                        free(copy);
                }
                config_finish(&config);
                for (size_t v = 0; v < config.vm_count; v++) {
                        const struct vm_config *vm = &config.vm[v];

                        if (!vm->startable)
                                continue;
                        CHECK(vm->mem >= CONFIG_MEM_MIN && vm->mem % PAGE_2M == 0);
                        CHECK(vm->vcpus == 1 && strlen(vm->name) > 0);
                        for (size_t r = 0; r < vm->region_count; r++)
                                CHECK(vm->region[r].size > 0 && strlen(vm->region[r].name) > 0);
                        for (size_t d = 0; d < vm->disk_count; d++)
                                CHECK(vm->disk[d].region.size > 0 &&
                                      strlen(vm->disk[d].region.name) > 0);
                }
        }
}

int main(void)
{
        RUN(test_scheduling);
        RUN(test_shared_regions);
        RUN(test_disks);
        RUN(test_disk_files);
        RUN(test_nets);
        RUN(test_two_vms);
        RUN(test_names);
        RUN(test_numbers);
        RUN(test_keys);
        RUN(test_every_mistake_is_told);
        RUN(test_long_kernel_command_line);
        RUN(test_mistakes_stay_with_their_vm);
        RUN(test_modules_without_vm);
        RUN(test_empty_files);
        RUN(test_limits);
        RUN(test_long_words);
        RUN(test_random_lines);
        return unit_done();
}
