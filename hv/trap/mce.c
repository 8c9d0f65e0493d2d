/* Machine checks on this CPU; contract in mce.h. */
#include "hv/trap/mce.h"

#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"

#define CPUID_1_EDX_MCE   (1u << 7)
#define CPUID_1_EDX_MCA   (1u << 14)
#define CPUID_X7_EBX_SMCA (1u << 3)

#define QUEUE_SIZE  32u
#define QUEUE_ORDER 63ull /* the low bits of an entry; 0 is an empty one */

uint32_t mce_news, mce_damage;

static const struct memmap *memory;
static uint64_t queue[QUEUE_SIZE];
static uint32_t lost, corrected, latent, nmis;
static bool nmi_told;

static uint64_t interval; /* TSC ticks between two looks of a CPU; 0: none */
static uint64_t next_look[CPUS_MAX];

static bool is_nvram(const struct mce_place *place)
{
        for (size_t i = 0; memory && i < memory->count; i++) {
                const struct mem_range *r = &memory->range[i];

                if (memmap_is_nvram(r->kind) && place->hpa.v - r->start < r->size)
                        return true;
        }
        return false;
}

static void count(uint32_t *counter, unsigned n)
{
        if (!n)
                return;
        __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
        __atomic_store_n(&mce_news, 1, __ATOMIC_RELEASE);
}

static void note(const struct mce_result *result)
{
        count(&corrected, result->corrected);
        count(&latent, result->latent);
}

/* Any CPU may be in here, interrupted anywhere: an entry is taken by one exchange. */
static void enqueue(const struct mce_place *place)
{
        uint64_t entry = place->hpa.v | place->order;

        for (unsigned i = 0; i < QUEUE_SIZE; i++) {
                uint64_t found = 0;

                if (__atomic_compare_exchange_n(&queue[i], &found, entry, false, __ATOMIC_RELEASE,
                                                __ATOMIC_RELAXED) ||
                    found == entry) {
                        __atomic_store_n(&mce_damage, 1, __ATOMIC_RELEASE);
                        __atomic_store_n(&mce_news, 1, __ATOMIC_RELEASE);
                        return;
                }
        }
        count(&lost, 1);
}

static const struct mce_ops ops = {cpu_rdmsr, cpu_wrmsr, is_nvram, enqueue};

static struct mce_machine this_machine(void)
{
        bool amd = cpu_is_amd();
        uint64_t cap = cpu_rdmsr(MSR_MCG_CAP);

        return (struct mce_machine){
            .banks = (unsigned)cap & MCG_CAP_BANKS,
            .recover = !amd && cap & MCG_CAP_RECOVER,
            .address_modes = !amd,
            .scalable = amd && cpu_leaf(0x80000007).ebx & CPUID_X7_EBX_SMCA,
            .defers = amd,
        };
}

static bool has_banks(void)
{
        uint32_t both = CPUID_1_EDX_MCE | CPUID_1_EDX_MCA;

        return (cpu_cpuid(1, 0).edx & both) == both;
}

void mce_set_memory(const struct memmap *map)
{
        memory = map;
}

/* The firmware's leavings are from before this start. */
static void empty_bank(unsigned i)
{
        uint64_t status = cpu_rdmsr(MSR_MC_STATUS(i));

        if (status & MC_VAL)
                printk(LOG_WARN, "mce: bank %u told of an error before the start: status 0x%lx", i,
                       status);
        cpu_wrmsr(MSR_MC_CTL(i), UINT64_MAX);
        cpu_wrmsr(MSR_MC_STATUS(i), 0);
}

void mce_init_cpu(void)
{
        static bool told;
        unsigned banks = 0;

        if (has_banks()) {
                banks = this_machine().banks;
                if (cpu_rdmsr(MSR_MCG_CAP) & MCG_CAP_CTL)
                        cpu_wrmsr(MSR_MCG_CTL, UINT64_MAX);
                for (unsigned i = 0; i < banks; i++)
                        empty_bank(i);
                cpu_wrmsr(MSR_MCG_STATUS, 0);
                cpu_write_cr4(cpu_read_cr4() | CR4_MCE);
        }
        if (__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
                return;
        if (banks)
                printk(LOG_NOTICE, "mce: machine checks are watched for in %u banks", banks);
        else
                printk(LOG_WARN, "mce: this CPU tells of no memory errors");
}

void mce_handle(bool in_guest)
{
        struct mce_machine machine;
        struct mce_result result;

        if (!has_banks())
                panic("machine check, and the CPU has no banks that tell why");
        machine = this_machine();
        mce_scan(&machine, &ops, in_guest, &result);
        if (result.fatal)
                panic("machine check: %s (MCG_STATUS 0x%lx, bank %u: status 0x%lx address 0x%lx "
                      "misc 0x%lx)",
                      result.fatal, result.mcg_status, result.bank.number, result.bank.status,
                      result.bank.addr, result.bank.misc);
        note(&result);
}

void mce_poll_every(uint64_t ticks)
{
        interval = has_banks() ? ticks : 0;
}

uint64_t mce_poll(uint64_t now)
{
        struct mce_machine machine;
        struct mce_result result;
        uint64_t *next;

        if (!interval)
                return UINT64_MAX;
        next = &next_look[this_cpu()->index];
        if (now >= *next) {
                machine = this_machine();
                mce_poll_banks(&machine, &ops, &result);
                note(&result);
                *next = now + interval;
        }
        return *next;
}

void mce_count_nmi(void)
{
        count(&nmis, 1);
}

uint32_t mce_nmis(void)
{
        return __atomic_load_n(&nmis, __ATOMIC_RELAXED);
}

static void tell(uint32_t *counter, const char *what)
{
        uint32_t n = __atomic_exchange_n(counter, 0, __ATOMIC_RELAXED);

        if (n)
                printk(LOG_WARN, "mce: %s: %u", what, n);
}

bool mce_take(struct mce_place *place)
{
        __atomic_store_n(&mce_news, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&mce_damage, 0, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < QUEUE_SIZE; i++) {
                uint64_t entry = __atomic_exchange_n(&queue[i], 0, __ATOMIC_ACQUIRE);

                if (!entry)
                        continue;
                *place = (struct mce_place){HPA(entry & ~QUEUE_ORDER), entry & QUEUE_ORDER};
                __atomic_store_n(&mce_news, 1, __ATOMIC_RELEASE); /* there may be more */
                __atomic_store_n(&mce_damage, 1, __ATOMIC_RELEASE);
                if (is_nvram(place))
                        return true;
                printk(LOG_ERROR, "mce: memory at 0x%lx is damaged, which is not NVRAM",
                       place->hpa.v);
        }
        tell(&corrected, "errors that were corrected");
        tell(&latent, "bad data that nobody has used yet, at no known address");
        if (mce_nmis() && !nmi_told) {
                nmi_told = true;
                printk(LOG_WARN, "mce: an NMI that nobody expects; more are only counted");
        }
        tell(&lost, "bad memory that came faster than it was noted, and is not on the bad list");
        return false;
}
