/* Preloaded into QEMU on the benchmark's peer: says when its VM starts and how often it left the
 * guest.
 *
 * At the first KVM_RUN of the process: "PF-PEER: start-tsc N", the guest's own TSC at that moment,
 * so that the guest's later readings of it count from there. When the process ends, while its VM is
 * still there: "PF-PEER: stat NAME N" for each of KVM's counters (debugfs) that is not zero. Both
 * go to standard error. */
#include <dirent.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNTERS "/sys/kernel/debug/kvm"
#define MSR_TSC  0x10

static atomic_bool started;

static void tell_start(int vcpu)
{
        struct {
                struct kvm_msrs head;
                struct kvm_msr_entry entry;
        } msrs = {.head.nmsrs = 1, .entry.index = MSR_TSC};

        if (syscall(SYS_ioctl, vcpu, KVM_GET_MSRS, &msrs) == 1) {
                fprintf(stderr, "PF-PEER: start-tsc %llu\n", (unsigned long long)msrs.entry.data);
        }
}

int ioctl(int fd, unsigned long request, ...)
{
        va_list list;

        va_start(list, request);
        void *argument = va_arg(list, void *);
        va_end(list);
        if (request == KVM_RUN && !atomic_load_explicit(&started, memory_order_relaxed)) {
                atomic_store(&started, 1);
                tell_start(fd);
        }
        return (int)syscall(SYS_ioctl, fd, request, argument);
}

static void tell_counter(const char *name)
{
        char path[sizeof COUNTERS + sizeof((struct dirent *)0)->d_name + 1];
        long long value = 0;

        snprintf(path, sizeof path, COUNTERS "/%s", name);
        FILE *file = fopen(path, "r");
        if (!file) {
                return;
        }
        if (fscanf(file, "%lld", &value) == 1 && value) {
                fprintf(stderr, "PF-PEER: stat %s %lld\n", name, value);
        }
        fclose(file);
}

__attribute__((destructor)) static void tell_counters(void)
{
        DIR *folder = atomic_load(&started) ? opendir(COUNTERS) : NULL;
        const struct dirent *entry;

        if (!folder) {
                return;
        }
        while ((entry = readdir(folder))) {
                if (entry->d_type == DT_REG) {
                        tell_counter(entry->d_name);
                }
        }
        closedir(folder);
}
