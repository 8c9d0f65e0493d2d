/* NVRAM of VMs: who gets a region and how, what is refused, read-only regions, idle scrubbing. */
#include "guest/vm/vm_nvram.h"

#include <errno.h>

#include "guest/abi.h"
#include "guest/dev/platform.h"
#include "guest/exec/damage.h"
#include "guest/exec/hypercall.h"
#include "guest/exec/run.h"
#include "guest/life/idle.h"
#include "hv/cpu.h"
#include "mm/pool/pool_space.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/pool_world.h"

static struct vm first, vm; /* the first only makes the machine */
static struct vm_machine machine;
static struct vm_config config;
static struct world world;
static struct mounted mounted;

static void begin(void)
{
        fake_vm_create(&first);
        world = world_make(1, (const uint64_t[]){32 * MiB}, 0, 0);
        world_mount(&world, world.memory, false, &mounted);
        CHECK_EQ(mounted.err, 0);
        machine = *fake_vm_machine();
        machine.pool = &mounted.pool;
        config = *fake_vm_config();
        config.region_count = config.disk_count = 0;
}

static void end(void)
{
        fake_vm_destroy(&first);
        world_unmount(&mounted);
        free(world.memory);
}

static void want(const char *name, uint64_t size, bool read_only)
{
        struct config_region *r = &config.region[config.region_count++];

        memset(r, 0, sizeof *r);
        strcpy(r->name, name);
        r->size = size;
        r->read_only = read_only;
}

static void want_disk(const char *name, uint64_t size, bool read_only)
{
        struct config_disk *disk = &config.disk[config.disk_count++];

        memset(disk, 0, sizeof *disk);
        strcpy(disk->region.name, name);
        disk->region.size = size;
        disk->region.read_only = read_only;
}

static struct pool_region *make(const char *name, const char *owner, uint64_t size)
{
        struct pool_region *region = NULL;

        CHECK_EQ(pool_create(&mounted.pool, name, owner, size, 5, &region), 0);
        return region;
}

static void expect_refused(int err)
{
        size_t regions = pool_usage(&mounted.pool).regions;

        CHECK_EQ(vm_create(&vm, &config, &machine), err);
        CHECK_EQ(pool_usage(&mounted.pool).regions, regions);
        config.region_count = config.disk_count = 0;
}

static void test_create_and_attach(void)
{
        begin();
        want("one", 2 * MiB, false);
        want("two", 4 * MiB, false);
        for (int i = 0; i < 2; i++) {
                bool writer;

                CHECK_EQ(vm_create(&vm, &config, &machine), 0);
                CHECK_EQ(vm.regions, 2);
                CHECK_EQ(pool_region_readers(pool_find(&mounted.pool, "two"), &writer), 0);
                CHECK(writer);
                CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "one")), -EBUSY);
                vm_destroy(&vm);
        }
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "one")), 0);
        end();
}

/* The places that the VM is to be told of after memory at hpa, 2^order bytes, went bad. */
static unsigned damage(uint64_t hpa, unsigned order)
{
        struct mce_place place = {HPA(align_down(hpa, 1ull << order)), order};

        vm.mca.waiting = 0;
        damage_tell(&vm, &place);
        return vm.mca.waiting;
}

static void test_damage_is_told(void)
{
        struct pool_extent one, two;

        begin();
        want("one", 2 * MiB, false);
        want("two", 4 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        one = pool_region_extent(&mounted.pool, vm.region[0].ref.region, 0);
        two = pool_region_extent(&mounted.pool, vm.region[1].ref.region, 0);
        CHECK_EQ(two.size, 4 * MiB);
        CHECK_EQ(damage(two.hpa.v + 2 * MiB + 0x1240, 6), 1);
        CHECK_EQ(vm.mca.place[0].v, vm.layout.region[1].gpa.v + 2 * MiB + 0x1240);
        CHECK_EQ(damage(one.hpa.v + 2 * MiB - 64, 6), 1);
        CHECK_EQ(vm.mca.place[0].v, vm.layout.region[0].gpa.v + 2 * MiB - 64);
        /* the pool's metadata is nobody's */
        CHECK_EQ(damage(mounted.pool.member[0].hpa.v, 6), 0);
        /* an area that holds both: where each begins in it */
        CHECK_EQ(damage(one.hpa.v, MCE_PLACE_ORDER_MAX), 2);
        CHECK_EQ(vm.mca.place[0].v, vm.layout.region[0].gpa.v);
        CHECK_EQ(vm.mca.place[1].v, vm.layout.region[1].gpa.v);
        vm_destroy(&vm);
        end();
}

/* Two single granules are what is left for the region: the guest sees them side by side. */
static void test_damage_in_pieces(void)
{
        struct pool_extent second;
        uint64_t free_granules;

        begin();
        CHECK_EQ(pool_scrub(&mounted.pool, 16), 0);
        free_granules = pool_usage(&mounted.pool).free;
        make("a", "web", 2 * MiB);
        make("b", "web", 2 * MiB);
        make("c", "web", (free_granules - 3) * 2 * MiB);
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "a")), 0);
        CHECK_EQ(pool_scrub(&mounted.pool, 16), 0);
        want("two", 4 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        CHECK_EQ(pool_region_extents(vm.region[0].ref.region), 2);
        second = pool_region_extent(&mounted.pool, vm.region[0].ref.region, 1);
        CHECK_EQ(damage(second.hpa.v + 0x40, 6), 1);
        CHECK_EQ(vm.mca.place[0].v, vm.layout.region[0].gpa.v + 2 * MiB + 0x40);
        /* the granule before it is another's */
        CHECK_EQ(damage(second.hpa.v - 64, 6), 0);
        vm_destroy(&vm);
        end();
}

static void test_damage_is_raised(void)
{
        begin();
        want("one", 2 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        mca_add(&vm.mca, GPA(GiB));
        fake.state.cr4 = CR4_MCE;
        fake.irqs_blocked = true;
        fake.exceptions = 0;
        /* CR4 is not enough, as SVM sets it for itself */
        CHECK_EQ(damage_offer(vm.vcpu[0]), -ENOTSUP);
        CHECK_EQ(mca_msr_write(&vm.mca, MSR_MC_CTL(0), 1), 0);
        CHECK_EQ(damage_offer(vm.vcpu[0]), 0);
        CHECK_EQ(fake.exceptions, 0);
        CHECK(fake.window);
        fake.irqs_blocked = false;
        CHECK_EQ(damage_offer(vm.vcpu[0]), 0);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_MC);
        CHECK_EQ(vm.mca.addr, GiB);
        /* the next not before the guest is done with this one */
        mca_add(&vm.mca, GPA(2 * GiB));
        CHECK_EQ(damage_offer(vm.vcpu[0]), 0);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(mca_msr_write(&vm.mca, MSR_MCG_STATUS, 0), 0);
        CHECK_EQ(mca_msr_write(&vm.mca, MSR_MC_STATUS(0), 0), 0);
        /* it ends a rest */
        vm.vcpu[0]->activity = VCPU_HALTED;
        CHECK_EQ(fake_play(&vm, NULL, 0), VM_POWERED_OFF);
        CHECK_EQ(fake.halts, 0);
        CHECK_EQ(fake.exception, VECTOR_MC);
        mca_add(&vm.mca, GPA(2 * GiB));
        CHECK_EQ(mca_msr_write(&vm.mca, MSR_MCG_STATUS, 0), 0);
        CHECK_EQ(mca_msr_write(&vm.mca, MSR_MC_STATUS(0), 0), 0);
        /* who takes none is ended, by the run loop */
        fake.state.cr4 = 0;
        CHECK_EQ(damage_offer(vm.vcpu[0]), -ENOTSUP);
        CHECK_EQ(fake_play(&vm, NULL, 0), VM_CRASHED);
        vm_destroy(&vm);
        end();
}

static void test_refused(void)
{
        struct pool_region *other;

        begin();
        other = make("other", "web", 2 * MiB);
        make("mine", "test", 2 * MiB);
        want("fresh", 2 * MiB, false);
        want("other", 2 * MiB, false);
        expect_refused(-EINVAL);
        want("mine", 4 * MiB, false);
        expect_refused(-EINVAL);
        want("nowhere", 2 * MiB, true);
        expect_refused(-EINVAL);
        want("huge", 64 * MiB, false);
        expect_refused(-ENOSPC);
        CHECK_EQ(pool_grant(&mounted.pool, other, "test", POOL_READ_ONLY), 0);
        want("other", 2 * MiB, false);
        expect_refused(-EINVAL);
        machine.pool = NULL;
        want("mine", 2 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), -ENODEV);
        end();
}

static void test_quota(void)
{
        begin();
        make("mine", "test", 4 * MiB);
        config.nvram_max = 8 * MiB;
        want("more", 6 * MiB, false);
        expect_refused(-ENOSPC);
        want("more", 4 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        vm_destroy(&vm);
        /* What exists already is no further claim. */
        config.nvram_max = 2 * MiB;
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        vm_destroy(&vm);
        end();
}

/* A disk is attached as memory is, but stands nowhere in the guest's. */
static void test_disks(void)
{
        static uint8_t file[1024];
        struct pool_extent one;
        bool writer;
        uint64_t room;

        begin();
        want("memory", 2 * MiB, false);
        want_disk("one", 4 * MiB, false);
        config.disk[config.disk_count++] =
            (struct config_disk){{"tools", sizeof file, true}, {HPA((uint64_t)file), sizeof file}};
        make("two", "test", 2 * MiB);
        want_disk("two", 2 * MiB, true);
        unit_log_clear();
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        CHECK(unit_log_has("vm test: created region one, 4 MiB"));
        CHECK(vm.regions == 3 && vm.layout.region_count == 1);
        one = pool_region_extent(&mounted.pool, pool_find(&mounted.pool, "one"), 0);
        CHECK(pool_disk_at(vm.disk[0], 512, &room) == (uint8_t *)one.base + 512);
        CHECK_EQ(room, 4 * MiB - 512);
        CHECK(pool_disk_at(vm.disk[1], 512, &room) == file + 512 && room == 512);
        CHECK_EQ(pool_disk_size(vm.disk[2]), 2 * MiB);
        CHECK_EQ(pool_region_readers(pool_find(&mounted.pool, "one"), &writer), 0);
        CHECK(writer);
        CHECK_EQ(pool_region_readers(pool_find(&mounted.pool, "two"), &writer), 1);
        CHECK(!writer);
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "one")), -EBUSY);
        /* the guest has no such memory, and is told of none that is damaged */
        CHECK_EQ(damage(one.hpa.v, 6), 0);
        vm_destroy(&vm);
        CHECK_EQ(pool_delete(&mounted.pool, pool_find(&mounted.pool, "one")), 0);
        end();
}

static void test_disks_refused(void)
{
        begin();
        make("other", "web", 2 * MiB);
        make("mine", "test", 2 * MiB);
        unit_log_clear();
        want_disk("other", 2 * MiB, false);
        expect_refused(-EINVAL);
        CHECK(unit_log_has("disk=other: the region belongs to another VM, which has not granted"));
        want("fresh", 2 * MiB, false);
        want_disk("mine", 4 * MiB, false);
        expect_refused(-EINVAL);
        CHECK(unit_log_has("disk=mine: the region exists with another size"));
        want_disk("nowhere", 2 * MiB, true);
        expect_refused(-EINVAL);
        CHECK(unit_log_has("disk=nowhere: the region does not exist, and :ro does not create it"));
        config.nvram_max = 4 * MiB;
        want_disk("more", 4 * MiB, false);
        expect_refused(-ENOSPC);
        config.nvram_max = 0;
        machine.pool = NULL;
        want_disk("mine", 2 * MiB, false);
        CHECK_EQ(vm_create(&vm, &config, &machine), -ENODEV);
        CHECK(unit_log_has("disk=: this machine has no usable NVRAM pool"));
        end();
}

static struct fake_step store_at(gpa_t gpa)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_MEMORY, .memory = {.gpa = gpa, .write = true}}};
}

/* A store to it is the guest's fault, and the hypervisor does not write there for it either. */
static void test_read_only(void)
{
        struct paging_leaf leaf;
        struct fake_step step;
        struct pool_region *r;
        uint64_t word;
        bool writer;
        gpa_t gpa;

        begin();
        r = make("shared", "web", 2 * MiB);
        CHECK_EQ(pool_grant(&mounted.pool, r, "test", POOL_READ_ONLY), 0);
        want("shared", 2 * MiB, true);
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        CHECK_EQ(pool_region_readers(r, &writer), 1);
        CHECK(!writer);
        gpa = vm.layout.region[0].gpa;
        CHECK_EQ(paging_walk(&vm.second_level, gpa.v, &leaf), 0);
        CHECK_EQ(leaf.prot, PAGING_RX);
        CHECK(gmem_ptr(&vm.mem, gpa, 8) == NULL);
        CHECK_EQ(gmem_read(&vm.mem, gpa, &word, sizeof word), 0);
        step = store_at(GPA(gpa.v + 2 * MiB - 8));
        CHECK_EQ(fake_play(&vm, &step, 1), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_GP);
        CHECK(!vm_nvram_is_read_only(&vm, GPA(gpa.v + 2 * MiB)));
        CHECK(!vm_nvram_is_read_only(&vm, GPA(gpa.v - 1)));
        vm_destroy(&vm);
        CHECK_EQ(pool_region_readers(r, &writer), 0);
        machine.small_code = true;
        CHECK_EQ(vm_create(&vm, &config, &machine), 0);
        CHECK_EQ(paging_walk(&vm.second_level, gpa.v, &leaf), 0);
        CHECK_EQ(leaf.prot, PAGING_R);
        vm_destroy(&vm);
        end();
}

/* Granules scrubbed, of `before` that were to be, with those that no record tells yet. */
static uint64_t scrubbed_of(uint64_t before)
{
        return mounted.pool.scrubbing + before - pool_usage(&mounted.pool).dying;
}

/* A CPU at rest scrubs, a granule a call; not when it has something else to do already or soon. */
static void test_idle_scrubs(void)
{
        const uint32_t tsc_khz = 1000000;
        uint64_t before;

        begin();
        CHECK(!idle_scrub(NULL, tsc_khz, UINT64_MAX));
        CHECK_EQ(pool_delete(&mounted.pool, make("gone", "web", 8 * MiB)), 0);
        before = pool_usage(&mounted.pool).dying;
        CHECK_EQ(before, 4);
        for (int i = 0; i < 2; i++)
                CHECK(idle_scrub(&mounted.pool, tsc_khz, UINT64_MAX));
        CHECK_EQ(scrubbed_of(before), 2);
        CHECK(!idle_scrub(&mounted.pool, tsc_khz, 0));
        CHECK(!idle_scrub(&mounted.pool, tsc_khz, cpu_rdtsc() + 100000));
        CHECK_EQ(scrubbed_of(before), 2);
        CHECK(idle_scrub(&mounted.pool, tsc_khz, UINT64_MAX));
        CHECK_EQ(scrubbed_of(before), 3);
        end();
}

/* What the guest is told of its regions' memory: by hypercall and by the kernel argument. */
static void test_volatile_is_told(void)
{
        uint64_t at = 1 * MiB;
        struct permafrost_region told;

        for (int unarmed = 0; unarmed < 2; unarmed++) {
                begin();
                machine.domain = NFIT_DOMAIN_EADR;
                mounted.pool.member[0].unarmed = unarmed;
                want("one", 2 * MiB, false);
                CHECK_EQ(vm_create(&vm, &config, &machine), 0);
                vm.vcpu[0]->vcpu.regs[REG_RAX] = PERMAFROST_HC_REGION;
                vm.vcpu[0]->vcpu.regs[REG_RDI] = 0;
                vm.vcpu[0]->vcpu.regs[REG_RSI] = at;
                mounted.pool.member[0].unarmed = !unarmed; /* it is not asked: it is CPU 0's */
                CHECK(hypercall_serve(vm.vcpu[0], 0));
                mounted.pool.member[0].unarmed = unarmed;
                CHECK_EQ(vm.vcpu[0]->vcpu.regs[REG_RAX], 0);
                CHECK_EQ(gmem_read(&vm.mem, GPA(at), &told, sizeof told), 0);
                CHECK_EQ(told.flags, unarmed ? PERMAFROST_REGION_VOLATILE : 0);
                vm.vcpu[0]->vcpu.regs[REG_RAX] = PERMAFROST_HC_DOMAIN;
                CHECK(hypercall_serve(vm.vcpu[0], 0));
                CHECK_EQ(vm.vcpu[0]->vcpu.regs[REG_RAX], PERMAFROST_DOMAIN_EADR);
                CHECK(!strcmp(vm_nvram_domain(&vm), unarmed ? "volatile" : "eadr"));
                CHECK(strstr(gmem_ptr(&vm.mem, GPA(PLATFORM_CMDLINE), 512),
                             unarmed ? " permafrost.domain=volatile" : " permafrost.domain=eadr"));
                vm_destroy(&vm);
                end();
        }
}

int main(void)
{
        RUN(test_create_and_attach);
        RUN(test_damage_is_told);
        RUN(test_damage_in_pieces);
        RUN(test_damage_is_raised);
        RUN(test_refused);
        RUN(test_quota);
        RUN(test_disks);
        RUN(test_disks_refused);
        RUN(test_read_only);
        RUN(test_idle_scrubs);
        RUN(test_volatile_is_told);
        return unit_done();
}
