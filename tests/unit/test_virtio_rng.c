/* Tests of the entropy device with numbers that are known, and of the choice of their source. */
#include <string.h>

#include "guest/dev/virtio/rng.h"
#include "hv/cpu.h"
#include "hv/random.h"
#include "tests/unit/unit.h"
#include "tests/unit/virtio_driver.h"

#define RAM  0x10000u
#define DATA 0x8000u

static uint8_t *ram;
static struct gmem mem;
static struct virtio_rng rng;
static struct driver_ring ring;
static uint64_t given, left; /* numbers */

static bool count(uint64_t *out)
{
        if (!left)
                return false;
        left--;
        *out = 0x0101010101010101ull * ++given;
        return true;
}

static void interrupt(struct virtio_device *d, int n)
{
        (void)d;
        (void)n;
}

static void begin(void)
{
        struct virtio_queue *q = &rng.device.queue[0];

        free(ram);
        ram = malloc(RAM);
        memset(ram, 0xee, RAM);
        gmem_init(&mem, NULL);
        CHECK_EQ(gmem_add(&mem, GPA(0), RAM, ram), 0);
        virtio_rng_init(&rng, count, &mem, "test");
        rng.device.interrupt = interrupt;
        rng.device.live = true;
        driver_ring_init(&ring, ram, 0, 32);
        q->size = 32;
        q->desc = GPA(ring.gpa);
        q->avail = GPA(driver_ring_avail(&ring));
        q->used = GPA(driver_ring_used(&ring));
        CHECK_EQ(virtio_queue_enable(q), 0);
        given = 0;
        left = UINT64_MAX;
}

static void add(uint64_t gpa, uint32_t size, bool write)
{
        const struct driver_buffer buffer = {gpa, size, write};

        driver_add(&ring, &buffer, 1);
}

/* Returns the bytes that the device says it has written; -1: none was used. */
static long serve(void)
{
        uint32_t head, size;

        CHECK(rng.device.model->notify(&rng.device, 0));
        virtio_device_signal(&rng.device, 0);
        return driver_take_used(&ring, &head, &size) ? (long)size : -1;
}

static void test_buffers(void)
{
        begin();
        CHECK_EQ(serve(), -1);
        add(DATA, 24, true);
        CHECK_EQ(serve(), 24);
        CHECK(ram[DATA] == 1 && ram[DATA + 8] == 2 && ram[DATA + 23] == 3 &&
              ram[DATA + 24] == 0xee);
        add(DATA, 11, true);
        CHECK_EQ(serve(), 11);
        CHECK(ram[DATA + 10] == 5 && ram[DATA + 11] == 2);
        add(DATA + 0x100, 4096, true); /* a part of it: the driver asks again */
        CHECK_EQ(serve(), 64);
        CHECK(ram[DATA + 0x100 + 63] != 0xee && ram[DATA + 0x100 + 64] == 0xee);
        add(DATA + 0x200, 100, false); /* not to be written */
        CHECK_EQ(serve(), 0);
        CHECK_EQ(ram[DATA + 0x200], 0xee);
}

/* Nothing takes the place of numbers that are not there. */
static void test_dry(void)
{
        begin();
        left = 2;
        add(DATA, 64, true);
        CHECK_EQ(serve(), 16);
        CHECK_EQ(ram[DATA + 16], 0xee);
        add(DATA + 0x100, 64, true);
        CHECK_EQ(serve(), 0);
        CHECK_EQ(ram[DATA + 0x100], 0xee);
}

static void test_bound(void)
{
        begin();
        for (unsigned i = 0; i < 32; i++)
                add(DATA, 8, true);
        CHECK(!rng.device.model->notify(&rng.device, 0));
        CHECK_EQ(given, 16);
        CHECK(!rng.device.model->notify(&rng.device, 0));
        CHECK(rng.device.model->notify(&rng.device, 0));
        CHECK_EQ(given, 32);
}

static uint32_t leaf1_ecx, leaf7_ebx, leaf_max;

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
        (void)subleaf;
        if (leaf == 0)
                return (struct cpuid_regs){.eax = leaf_max};
        return (struct cpuid_regs){.ebx = leaf == 7 ? leaf7_ebx : 0,
                                   .ecx = leaf == 1 ? leaf1_ecx : 0};
}

static random_fn source(bool rdrand, bool rdseed, uint32_t max)
{
        leaf1_ecx = ~(1u << 30) | (uint32_t)rdrand << 30;
        leaf7_ebx = ~(1u << 18) | (uint32_t)rdseed << 18;
        leaf_max = max;
        return random_source(fake_cpuid);
}

static void test_source(void)
{
        CHECK(!source(false, false, 7));
        CHECK(!source(false, true, 6)); /* a leaf that is not there */
        CHECK(source(true, false, 7) == random_generated);
        CHECK(source(true, true, 6) == random_generated);
        CHECK(source(false, true, 7) != NULL);
        CHECK(source(true, true, 7) != source(false, true, 7));
        CHECK(source(true, true, 7) != random_generated);
}

/* On the CPU that runs the test. */
static void test_native(void)
{
        random_fn native = random_source(cpu_cpuid);
        uint64_t number[16] = {0};

        for (unsigned i = 0; native && i < 16; i++) {
                CHECK(native(&number[i]));
                for (unsigned k = 0; k < i; k++)
                        CHECK(number[k] != number[i]);
        }
}

int main(void)
{
        RUN(test_buffers);
        RUN(test_dry);
        RUN(test_bound);
        RUN(test_source);
        RUN(test_native);
        free(ram);
        return unit_done();
}
