/* The benchmark's first program in the guest: says at which TSC user space begins, idles, and
 * powers off. Linked statically, so that it stands for nothing but the kernel's own work. */
#include <stdint.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>
#include <x86intrin.h>

#define IDLE_SECONDS 1

int main(void)
{
        uint64_t start = __rdtsc();

        printf("PF-BENCH: init-tsc %llu\n", (unsigned long long)start);
        fflush(stdout);
        sleep(IDLE_SECONDS);
        reboot(RB_POWER_OFF);
        return 1; /* the kernel panics when its first program ends: seen by the driver */
}
