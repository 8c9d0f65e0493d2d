/* The virtio devices of a VM, driven by exits: the notification by OUT and OUTS, one that is not
 * done with, the interrupt; and a machine without random numbers. */
#include <stdio.h>

#include "guest/dev/platform.h"
#include "guest/dev/virtio/console.h"
#include "guest/exec/emulate.h"
#include "guest/vm/vm_virtio.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/dram/dram.h"
#include "tests/unit/run_steps.h"
#include "tests/unit/virtio_driver.h"

#define RINGS   0x200000u
#define DATA    0x210000u
#define CODE    0x1000u
#define VECTOR  0x55u
#define ENTRIES 32u

static struct vm plain_vm; /* what fake_virt makes: without devices */
static struct vm_machine machine;
static struct driver_pci driver;
static struct driver_ring ring;

static bool numbers(uint64_t *out)
{
        *out = 0x1111111111111111;
        return true;
}

static struct vm_config with_args; /* of fake_virt's VM, and arguments */

static void begin_with(const char *args)
{
        fake_vm_create(&plain_vm);
        machine = *fake_vm_machine();
        machine.random = numbers;
        with_args = *fake_vm_config();
        snprintf(with_args.cmdline, sizeof with_args.cmdline, "%s", args);
        CHECK_EQ(vm_create(&vm, &with_args, &machine), 0);
        CHECK(driver_pci_probe(&driver, &vm.bus, 1));
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_enable_msix(&driver, true, false);
        driver_set_vector(&driver, 0, VECTOR, 0, false);
        driver_ring_init(&ring, gmem_ptr(&vm.mem, GPA(RINGS), DRIVER_RING_BYTES), RINGS, ENTRIES);
        driver_enable_queue(&driver, 0, &ring, 0);
        driver_ready(&driver);
        CHECK_EQ(vlapic_msr_write(&vm.vcpu[0]->lapic, MSR_X2APIC_FIRST + 0xf, 0x1ff, 0), 0);
        fake.irqs_blocked = true; /* what is requested stays so */
}

static void begin(void)
{
        begin_with("quiet");
}

static void end(void)
{
        vm_destroy(&vm);
        fake_vm_destroy(&plain_vm);
}

static void add(unsigned chains)
{
        const struct driver_buffer buffer = {DATA, 64, true};

        for (unsigned i = 0; i < chains; i++)
                driver_add(&ring, &buffer, 1);
}

static const uint8_t *data(void)
{
        return gmem_ptr(&vm.mem, GPA(DATA), 64);
}

static void test_notification(void)
{
        const struct fake_step out = {
            .exit = {.kind = VM_EXIT_IO, .io = {.port = PLATFORM_PCI_IO_BASE, .size = 2}},
            .rax = 0};
        uint32_t head, size;

        begin();
        add(1);
        expect_skip(out);
        CHECK(driver_take_used(&ring, &head, &size));
        CHECK_EQ(size, 64);
        CHECK_EQ(data()[63], 0x11);
        CHECK_EQ(vlapic_next_irq(&vm.vcpu[0]->lapic), VECTOR);
        end();
}

/* The guest stays at its instruction until all is done; others have their turn between. */
static void test_not_done(void)
{
        const struct fake_step out = {
            .exit = {.kind = VM_EXIT_IO, .io = {.port = PLATFORM_PCI_IO_BASE, .size = 2}},
            .rax = 0};
        const struct fake_step twice[] = {out, out};

        begin();
        add(20);
        CHECK_EQ(play_one(out), VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(*driver_used_index(&ring), 16);
        CHECK_EQ(play_one(out), VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 1);
        CHECK_EQ(*driver_used_index(&ring), 20);
        add(20);
        CHECK_EQ(play(twice, 2), VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 1);
        CHECK_EQ(*driver_used_index(&ring), 40);
        end();
}

static void test_string(void)
{
        static const uint8_t outsw[] = {0x66, 0x6f, 0, 0}; /* and what it sends */
        const struct vm_exit_io io = {.port = PLATFORM_PCI_IO_BASE, .size = 2, .string = true};
        uint64_t *rsi;

        begin();
        rsi = &vm.vcpu[0]->vcpu.regs[REG_RSI];
        memcpy(gmem_ptr(&vm.mem, GPA(CODE), sizeof outsw), outsw, sizeof outsw);
        memset(&fake.state, 0, sizeof fake.state);
        for (unsigned i = 0; i < SEG_COUNT; i++)
                fake.state.seg[i] = (struct vcpu_segment){.limit = UINT32_MAX, .access = 0xc093};
        fake.state.seg[SEG_CS].access = 0xc09b;
        fake.state.cr0 = CR0_PE;
        fake.state.rip = CODE;
        fake_load(NULL, 0);
        vm.end = VM_RUNNING;
        *rsi = CODE + 2;
        add(20);
        string_io(vm.vcpu[0], &io);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(*rsi, CODE + 2);
        string_io(vm.vcpu[0], &io);
        CHECK_EQ(fake.skips, 1);
        CHECK_EQ(*rsi, CODE + 4);
        CHECK_EQ(*driver_used_index(&ring), 20);
        end();
}

static void type(const char *text)
{
        for (; *text; text++)
                console_type((uint8_t)*text);
        vm_feed_input(&vm);
}

/* What is typed goes to that of hvc0 and the serial port which the guest wrote to last. */
static void test_hvc(void)
{
        const struct driver_buffer in = {DATA, 64, true}, out = {DATA + 64, 5, false};
        struct driver_ring written;
        uint32_t head, size;
        char kept[16];
        size_t at = 0;

        begin();
        CHECK(!vm.hvc && !driver_pci_probe(&driver, &vm.bus, 2)); /* nobody has chosen it */
        end();
        begin_with("console=ttyS0 console=hvc0");
        CHECK(driver_pci_probe(&driver, &vm.bus, 2));
        CHECK(!vm.control && vm.hvc->config.max_nr_ports == 1); /* nobody has given it more */
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_ring_init(&written, gmem_ptr(&vm.mem, GPA(RINGS + 0x4000), DRIVER_RING_BYTES),
                         RINGS + 0x4000, ENTRIES);
        driver_enable_queue(&driver, 0, &ring, 0);
        driver_enable_queue(&driver, 1, &written, 1);
        driver_ready(&driver);
        console_set_focus(&vm.console);
        driver_add(&ring, &in, 1);
        type("a");
        CHECK_EQ(uart16550_read(&vm.uart, 0), 'a');
        memcpy(gmem_ptr(&vm.mem, GPA(DATA + 64), 5), "hello", 5);
        driver_add(&written, &out, 1);
        CHECK(driver_notify(&driver, 1));
        CHECK_EQ(console_read(&vm.console, &at, kept, sizeof kept), 5);
        CHECK(memcmp(kept, "hello", 5) == 0);
        type("bc");
        CHECK(driver_take_used(&ring, &head, &size));
        CHECK_EQ(size, 2);
        CHECK(memcmp(data(), "bc", 2) == 0);
        type("d"); /* waits for a buffer */
        driver_add(&ring, &in, 1);
        CHECK(driver_notify(&driver, 0));
        CHECK(driver_take_used(&ring, &head, &size));
        CHECK_EQ(data()[0], 'd');
        bus_port_write(&vm.bus, PLATFORM_COM1_PORT, 1, '!');
        type("e");
        CHECK_EQ(uart16550_read(&vm.uart, 0), 'e');
        end();
}

/* It is told, and all is given back. */
static void test_no_source(void)
{
        uint64_t free;

        begin();
        vm_destroy(&vm);
        free = dram_free_bytes(machine.dram);
        machine.random = NULL;
        unit_log_clear();
        CHECK_EQ(vm_create(&vm, fake_vm_config(), &machine), 0);
        CHECK(unit_log_has("has no virtio-rng: the CPU has neither RDSEED nor RDRAND"));
        CHECK(!driver_pci_probe(&driver, &vm.bus, 1));
        vm_destroy(&vm);
        CHECK_EQ(dram_free_bytes(machine.dram), free);
        fake_vm_destroy(&plain_vm);
}

int main(void)
{
        RUN(test_notification);
        RUN(test_not_done);
        RUN(test_string);
        RUN(test_hvc);
        RUN(test_no_source);
        return unit_done();
}
