/* The real-time clock's registers to Unix seconds, and the TSC frequency's arithmetic. */
#include "drivers/rtc.h"
#include "drivers/timer.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <time.h>

#define BINARY_24 0x06

static uint8_t bcd(int v)
{
        return (uint8_t)(v / 10 << 4 | v % 10);
}

static void test_bcd_12_hours(void)
{
        /* 2000-02-29 12:34:56 pm and am */
        struct rtc_registers r = {0x56, 0x34, 0x92, 0x29, 0x02, 0x00, 0x20, 0};
        int64_t t;

        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 951827696);
        r.hour = 0x12;
        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 951827696 - 12 * 3600);
        r.hour = 0x00;
        CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
        r.hour = 0x13;
        CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
}

static void test_century(void)
{
        struct rtc_registers r = {0, 0, 0, 1, 1, 99, 0, BINARY_24};
        int64_t t;

        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 915148800); /* 1999 */
        r.year = 26;
        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 1767225600); /* 2026 */
        r.century = 21;
        r.year = 0;
        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 4102444800); /* 2100 */
        r.century = 255;         /* not a century: ignored */
        CHECK_EQ(rtc_decode(&r, &t), 0);
        CHECK_EQ(t, 946684800);
}

static void test_impossible_times(void)
{
        const struct rtc_registers good = {59, 59, 23, 28, 2, 26, 20, BINARY_24};
        struct rtc_registers r;
        int64_t t;

        CHECK_EQ(rtc_decode(&good, &t), 0);
        for (unsigned i = 0; i < 6; i++) {
                r = good;
                ((uint8_t *)&r)[i] = i < 3 ? 60 : 100;
                CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
        }
        r = good;
        r.day = 29; /* 2026 is no leap year */
        CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
        r.day = 0;
        CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
        r = good;
        r.month = 0;
        CHECK_EQ(rtc_decode(&r, &t), -EINVAL);
}

/* Random times in all four formats, against the C library's calendar. */
static void test_random_times(void)
{
        uint64_t state = unit_seed();

        for (int i = 0; i < 20000; i++) {
                int64_t want = (int64_t)(unit_random(&state) % 4102444800u), got = -1;
                time_t as_time = (time_t)want;
                struct tm tm;
                uint8_t format = (uint8_t)(unit_random(&state) % 4 << 1), pm = 0;
                struct rtc_registers r;
                int hour;

                gmtime_r(&as_time, &tm);
                hour = tm.tm_hour;
                if (!(format & 2)) {
                        pm = hour >= 12 ? 0x80 : 0;
                        hour = hour % 12 == 0 ? 12 : hour % 12;
                }
                r = (struct rtc_registers){(uint8_t)tm.tm_sec,
                                           (uint8_t)tm.tm_min,
                                           (uint8_t)hour,
                                           (uint8_t)tm.tm_mday,
                                           (uint8_t)(tm.tm_mon + 1),
                                           (uint8_t)(tm.tm_year % 100),
                                           (uint8_t)(19 + tm.tm_year / 100),
                                           format};
                if (!(format & 4))
                        for (unsigned k = 0; k < 7; k++)
                                ((uint8_t *)&r)[k] = bcd(((uint8_t *)&r)[k]);
                r.hour |= pm;
                CHECK_EQ(rtc_decode(&r, &got), 0);
                CHECK_EQ(got, want);
        }
}

static void test_khz(void)
{
        CHECK_EQ(timer_khz(1000000, 35795, TIMER_PM_HZ), 100001);
        CHECK_EQ(timer_khz(35000000, 11931, TIMER_PIT_HZ), 3500240);
        /* 864 s on a 5 GHz machine do not overflow, a nonsense number does not wrap */
        CHECK_EQ(timer_khz(4320000000000ull, 3092726880ull, TIMER_PM_HZ), 5000000);
        CHECK_EQ(timer_khz(UINT64_MAX, 1, TIMER_PM_HZ), 0);
        CHECK_EQ(timer_khz(UINT64_MAX / TIMER_PM_HZ + 2, 1, TIMER_PM_HZ), 0);
        CHECK_EQ(timer_khz(1ull << 40, 1, TIMER_PM_HZ), 0);
        CHECK_EQ(timer_khz(1000, 0, TIMER_PM_HZ), 0);
}

static void test_clocks_that_tell(void)
{
        CHECK_EQ(timer_hpet_hz(0x0429b17f8086a201ull), 14318179); /* 69841279 fs */
        CHECK_EQ(timer_hpet_hz(10000000ull << 32), 100000000);
        CHECK_EQ(timer_hpet_hz(100000000ull << 32), 10000000);
        CHECK_EQ(timer_hpet_hz(100000001ull << 32), 0); /* slower than an HPET may be */
        CHECK_EQ(timer_hpet_hz(UINT64_MAX), 0);         /* nothing answers */
        CHECK_EQ(timer_hpet_hz(0xffffffff), 0);
        CHECK_EQ(timer_hpet_hz(1ull << 32), 0); /* does not fit */

        CHECK_EQ(timer_cpuid_khz(2, 216, 24000000), 2592000);
        CHECK_EQ(timer_cpuid_khz(2, 216, 0), 0);
        CHECK_EQ(timer_cpuid_khz(0, 216, 24000000), 0);
        CHECK_EQ(timer_cpuid_khz(1, UINT32_MAX, UINT32_MAX), 0);
}

int main(void)
{
        RUN(test_bcd_12_hours);
        RUN(test_century);
        RUN(test_impossible_times);
        RUN(test_random_times);
        RUN(test_khz);
        RUN(test_clocks_that_tell);
        return unit_done();
}
