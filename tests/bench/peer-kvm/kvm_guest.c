/* The benchmark's smallest user of KVM: one VM of one vCPU that runs a bench kernel as Permafrost
 * does.
 *
 *     kvm_guest BZIMAGE MIB [ROUNDS]
 *
 * MIB: of its memory, which is there before anything is counted. ROUNDS: the VM is made, run and
 * taken apart so often, beside another one so that KVM itself stays on. Each round is told:
 * "PF-PEER: round CREATE START END", the ticks of the TSC that this process ran, in user space and
 * in the kernel, from nothing to the first KVM_RUN, the guest's own TSC at that moment, and the
 * ticks from the guest's end to nothing. What it waited, and what the kernel's threads did for it,
 * is not in them. Then "PF-PEER: beside BYTES": what a VM takes of the host beside its memory.
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
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define TABLES           0x1000UL /* PML4, PDPT, and one page directory a GiB */
#define BOOT_PARAMS      0x10000UL
#define PREF_ADDRESS_AT  0x258
#define ENTRY_64         0x200
#define TSS_ADDRESS      0xfffbd000UL /* three pages that the guest does not use (KVM_SET_TSS_ADDR) */
#define SETUP_SECTORS_AT 0x1f1
#define SECTOR           512
#define MSR_TSC          0x10
#define RATE_TICKS       20000000
#define VMS_AT_ONCE      32
#define PAGE             4096UL
#define GIBS             4
#define PRESENT_WRITABLE 3
#define LARGE            0x80
#define CPUID_ENTRIES    256
#define COM1             0x3f8
#define SLEEP_CONTROL    0x600 /* guest/dev/platform.h */
#define CODE_SELECTOR    0x10
#define DATA_SELECTOR    0x18

struct machine {
        int kvm;
        int vm;
        int vcpu;
        uint8_t *memory;
        size_t memory_bytes;
        uint64_t load; /* guest-physical address of the kernel */
        struct kvm_run *run;
        size_t run_bytes;
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

static void map_memory(struct machine *m, size_t bytes)
{
        m->memory_bytes = bytes;
        m->memory = mmap(NULL, m->memory_bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (m->memory == MAP_FAILED) {
                err(1, "memory");
        }
}

static void machine_create(struct machine *m)
{
        m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (m->kvm < 0) {
                err(1, "/dev/kvm");
        }
        m->vm = CALL(m->kvm, KVM_CREATE_VM, 0);
        CALL(m->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
        CALL(m->vm, KVM_CREATE_IRQCHIP, 0);
        struct kvm_userspace_memory_region region = {
            .memory_size = m->memory_bytes,
            .userspace_addr = (uint64_t)m->memory,
        };
        CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
        m->vcpu = CALL(m->vm, KVM_CREATE_VCPU, 0);
        m->run_bytes = (size_t)CALL(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
        m->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
        if (m->run == MAP_FAILED) {
                err(1, "vCPU");
        }
}

static void machine_destroy(const struct machine *m)
{
        if (munmap(m->run, m->run_bytes) || close(m->vcpu) || close(m->vm) || close(m->kvm)) {
                err(1, "the VM's end");
        }
}

/* The part of the bzImage behind its setup sectors, where it prefers to be. */
static void load(struct machine *m, const char *path)
{
        uint8_t head[2 * SECTOR];
        FILE *file = fopen(path, "rb");

        if (!file || fread(head, sizeof head, 1, file) != 1) {
                err(1, "%s", path);
        }
        memcpy(&m->load, head + PREF_ADDRESS_AT, sizeof m->load);
        if (m->load >= m->memory_bytes ||
            fseek(file, (head[SETUP_SECTORS_AT] + 1L) * SECTOR, SEEK_SET)) {
                err(1, "%s", path);
        }
        if (fread(m->memory + m->load, 1, m->memory_bytes - m->load, file) <= ENTRY_64) {
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
        struct kvm_regs regs = {.rip = m->load + ENTRY_64, .rsi = BOOT_PARAMS, .rflags = 2};
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

static uint64_t guest_tsc(const struct machine *m)
{
        struct {
                struct kvm_msrs head;
                struct kvm_msr_entry entry;
        } msrs = {.head.nmsrs = 1, .entry.index = MSR_TSC};

        CALL(m->vcpu, KVM_GET_MSRS, &msrs);
        return msrs.entry.data;
}

static void make(struct machine *m, const char *kernel)
{
        machine_create(m);
        load(m, kernel);
        map_4_gib(m);
        set_cpuid(m);
        set_registers(m);
}

static void run(struct machine *m)
{
        do {
                CALL(m->vcpu, KVM_RUN, 0);
                if (m->run->exit_reason != KVM_EXIT_IO) {
                        errx(1, "the vCPU left for reason %u", m->run->exit_reason);
                }
        } while (answer_port(m->run));
}

static double cpu_ns(void)
{
        struct timespec time;

        if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)) {
                err(1, "clock_gettime");
        }
        return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Ticks of the TSC in a nanosecond of this process's time. */
static double measure_rate(void)
{
        uint64_t begun = __rdtsc();
        double ns = cpu_ns();

        while (__rdtsc() - begun < RATE_TICKS) {
        }
        return (double)(__rdtsc() - begun) / (cpu_ns() - ns);
}

static void round_of(struct machine *m, const char *kernel, double rate)
{
        double begun = cpu_ns(), create, end;
        uint64_t start;

        make(m, kernel);
        create = cpu_ns() - begun;
        start = guest_tsc(m);
        run(m);
        begun = cpu_ns();
        machine_destroy(m);
        end = cpu_ns() - begun;
        printf("PF-PEER: round %.0f %llu %.0f\n", create * rate, (unsigned long long)start,
               end * rate);
        fflush(stdout);
}

static uint64_t free_bytes(void)
{
        FILE *file = fopen("/proc/meminfo", "r");
        unsigned long kib = 0;
        char line[80];

        while (file && !kib && fgets(line, sizeof line, file)) {
                if (strncmp(line, "MemFree:", 8) == 0) {
                        kib = strtoul(line + 8, NULL, 10);
                }
        }
        if (!kib) {
                errx(1, "/proc/meminfo: no MemFree");
        }
        fclose(file);
        return (uint64_t)kib << 10;
}

/* Of many VMs that have run and stay, the mean. */
static void tell_memory(const char *kernel, size_t memory_bytes)
{
        static struct machine m[VMS_AT_ONCE];
        uint64_t before = free_bytes(), used;

        for (unsigned i = 0; i < VMS_AT_ONCE; i++) {
                map_memory(&m[i], memory_bytes);
                make(&m[i], kernel);
                run(&m[i]);
        }
        used = (before - free_bytes()) / VMS_AT_ONCE;
        printf("PF-PEER: beside %llu\n", (unsigned long long)(used - memory_bytes));
}

int main(int argc, char **argv)
{
        long rounds = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
        struct machine m = {0}, other;

        if (argc != 3 && rounds <= 0) {
                errx(2, "usage: kvm_guest BZIMAGE MIB [ROUNDS]");
        }
        map_memory(&m, strtoul(argv[2], NULL, 10) << 20);
        other = m;
        if (!rounds) {
                make(&m, argv[1]);
                run(&m);
                return 0;
        }
        machine_create(&other);
        for (double rate = measure_rate(); rounds > 0; rounds--) {
                round_of(&m, argv[1], rate);
        }
        tell_memory(argv[1], m.memory_bytes);
        return 0;
}
