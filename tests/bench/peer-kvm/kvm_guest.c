/* The benchmark's smallest user of KVM: one VM of one vCPU that runs the bench kernel as Permafrost
 * does.
 *
 *     kvm_guest BZIMAGE
 *
 * The kernel (tests/guests/bzimage.inc) is entered at its 64-bit entry point, with the first 4 GiB
 * mapped to themselves in pages of 2 MiB (Documentation/arch/x86/boot.rst, 64-bit boot protocol).
 * What it says on COM1 goes to standard output; its writing to the sleep port ends the program. All
 * else is KVM's own, in the kernel: the local APIC, MSRs, CPUID with what KVM supports, hypercalls.
 * All memory is there before the start: no page fault is counted. The interface is Linux'
 * Documentation/virt/kvm/api.rst. */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MEMORY_BYTES     (64UL << 20)
#define TABLES           0x1000UL /* PML4, PDPT, and one page directory a GiB */
#define BOOT_PARAMS      0x10000UL
#define LOAD             0x1000000UL
#define ENTRY_64         0x200
#define TSS_ADDRESS      0xfffbd000UL /* three pages that the guest does not use (KVM_SET_TSS_ADDR) */
#define SETUP_SECTORS_AT 0x1f1
#define SECTOR           512
#define PAGE             4096UL
#define GIBS             4
#define PRESENT_WRITABLE 3
#define LARGE            0x80
#define CPUID_ENTRIES    256
#define COM1             0x3f8
#define SLEEP_CONTROL    0x600 /* guest/platform.h */
#define CODE_SELECTOR    0x10
#define DATA_SELECTOR    0x18

struct machine {
        int kvm;
        int vm;
        int vcpu;
        uint8_t *memory;
        struct kvm_run *run;
};

static int call(int fd, unsigned long request, unsigned long argument, const char *name)
{
        int result = ioctl(fd, request, argument);

        if (result < 0) {
                err(1, "%s", name);
        }
        return result;
}

#define CALL(fd, request, argument) call(fd, request, (unsigned long)(argument), #request)

static void machine_create(struct machine *m)
{
        m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (m->kvm < 0) {
                err(1, "/dev/kvm");
        }
        m->vm = CALL(m->kvm, KVM_CREATE_VM, 0);
        CALL(m->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
        CALL(m->vm, KVM_CREATE_IRQCHIP, 0);
        m->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (m->memory == MAP_FAILED) {
                err(1, "memory");
        }
        struct kvm_userspace_memory_region region = {
            .memory_size = MEMORY_BYTES,
            .userspace_addr = (uint64_t)m->memory,
        };
        CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
        m->vcpu = CALL(m->vm, KVM_CREATE_VCPU, 0);
        size_t bytes = (size_t)CALL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
        m->run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
        if (m->run == MAP_FAILED) {
                err(1, "vCPU");
        }
}

/* The part of the bzImage behind its setup sectors, at LOAD. */
static void load(struct machine *m, const char *path)
{
        FILE *file = fopen(path, "rb");

        if (!file || fseek(file, SETUP_SECTORS_AT, SEEK_SET)) {
                err(1, "%s", path);
        }
        int sectors = fgetc(file);
        if (sectors < 0 || fseek(file, (sectors + 1L) * SECTOR, SEEK_SET)) {
                err(1, "%s", path);
        }
        if (fread(m->memory + LOAD, 1, MEMORY_BYTES - LOAD, file) <= ENTRY_64) {
                errx(1, "%s: too short", path);
        }
        fclose(file);
}

static void map_4_gib(struct machine *m)
{
        uint64_t *pml4 = (uint64_t *)(m->memory + TABLES);
        uint64_t *pdpt = (uint64_t *)(m->memory + TABLES + PAGE);
        uint64_t *directories = (uint64_t *)(m->memory + TABLES + 2 * PAGE);

        pml4[0] = (TABLES + PAGE) | PRESENT_WRITABLE;
        for (uint64_t gib = 0; gib < GIBS; gib++) {
                pdpt[gib] = (TABLES + (2 + gib) * PAGE) | PRESENT_WRITABLE;
        }
        for (uint64_t page = 0; page < GIBS * 512; page++) {
                directories[page] = page << 21 | LARGE | PRESENT_WRITABLE;
        }
}

static void set_cpuid(struct machine *m)
{
        struct kvm_cpuid2 *cpuid =
            calloc(1, sizeof *cpuid + CPUID_ENTRIES * sizeof cpuid->entries[0]);

        if (!cpuid) {
                err(1, "CPUID");
        }
        cpuid->nent = CPUID_ENTRIES;
        CALL(m->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
        CALL(m->vcpu, KVM_SET_CPUID2, cpuid);
        free(cpuid);
}

static void set_registers(struct machine *m)
{
        struct kvm_segment data = {
            .limit = 0xffffffff,
            .selector = DATA_SELECTOR,
            .type = 3,
            .present = 1,
            .s = 1,
            .db = 1,
            .g = 1,
        };
        struct kvm_segment code = data;
        struct kvm_regs regs = {.rip = LOAD + ENTRY_64, .rsi = BOOT_PARAMS, .rflags = 2};
        struct kvm_sregs sregs;

        code.selector = CODE_SELECTOR;
        code.type = 11;
        code.l = 1;
        code.db = 0;
        CALL(m->vcpu, KVM_GET_SREGS, &sregs);
        sregs.cs = code;
        sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
        sregs.cr0 = 0x80000031; /* PG, NE, ET, PE */
        sregs.cr3 = TABLES;
        sregs.cr4 = 0x20;   /* PAE */
        sregs.efer = 0x500; /* LMA, LME */
        CALL(m->vcpu, KVM_SET_SREGS, &sregs);
        CALL(m->vcpu, KVM_SET_REGS, &regs);
}

/* Answers one access to a port; false when it was the last one. Reading gives zeros. */
static int answer_port(struct kvm_run *run)
{
        uint8_t *data = (uint8_t *)run + run->io.data_offset;

        if (run->io.direction == KVM_EXIT_IO_IN) {
                memset(data, 0, (size_t)run->io.size * run->io.count);
        } else if (run->io.port == COM1) {
                putchar(*data);
        }
        return run->io.direction == KVM_EXIT_IO_IN || run->io.port != SLEEP_CONTROL;
}

int main(int argc, char **argv)
{
        struct machine m;

        if (argc != 2) {
                errx(2, "usage: kvm_guest BZIMAGE");
        }
        machine_create(&m);
        load(&m, argv[1]);
        map_4_gib(&m);
        set_cpuid(&m);
        set_registers(&m);
        do {
                CALL(m.vcpu, KVM_RUN, 0);
                if (m.run->exit_reason != KVM_EXIT_IO) {
                        errx(1, "the vCPU left for reason %u", m.run->exit_reason);
                }
        } while (answer_port(m.run));
        return 0;
}
