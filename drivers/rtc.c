/* The PC's real-time clock. Registers: Motorola MC146818A data sheet. */
#include "drivers/rtc.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

#define REG_SECOND   0x00
#define REG_MINUTE   0x02
#define REG_HOUR     0x04
#define REG_DAY      0x07
#define REG_MONTH    0x08
#define REG_YEAR     0x09
#define REG_STATUS_A 0x0a
#define REG_STATUS_B 0x0b

#define STATUS_A_UPDATING 0x80
#define STATUS_A_NO_CLOCK 0xff /* nothing answers: a divider that no running clock has */
#define STATUS_B_24_HOURS 0x02
#define STATUS_B_BINARY   0x04
#define HOUR_PM           0x80

/* An update takes 2 ms at most, a read about a microsecond. */
#define UPDATE_READS 100000
#define READ_TRIES   10

static unsigned number(const struct rtc_registers *r, uint8_t v)
{
        return r->status_b & STATUS_B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static unsigned hour_of(const struct rtc_registers *r)
{
        unsigned hour;

        if (r->status_b & STATUS_B_24_HOURS)
                return number(r, r->hour);
        hour = number(r, r->hour & (uint8_t)~HOUR_PM);
        if (hour < 1 || hour > 12)
                return 24;
        return hour % 12 + (r->hour & HOUR_PM ? 12 : 0);
}

static unsigned year_of(const struct rtc_registers *r)
{
        unsigned year = number(r, r->year);
        unsigned century = number(r, r->century);

        /* an index that holds something else is no century */
        if (century >= 19 && century <= 22)
                return century * 100 + year;
        return year + (year >= 70 ? 1900 : 2000);
}

static bool is_leap(unsigned year)
{
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int rtc_decode(const struct rtc_registers *r, int64_t *seconds)
{
        static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        unsigned second = number(r, r->second), minute = number(r, r->minute), hour = hour_of(r);
        unsigned day = number(r, r->day), month = number(r, r->month), year = year_of(r);
        int64_t days;

        if (second > 59 || minute > 59 || hour > 23 || month < 1 || month > 12 || day < 1 ||
            number(r, r->year) > 99 ||
            day > month_days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u))
                return -EINVAL;
        days = (int64_t)day - 1;
        for (unsigned y = 1970; y < year; y++)
                days += is_leap(y) ? 366 : 365;
        for (unsigned m = 1; m < month; m++)
                days += month_days[m - 1] + (m == 2 && is_leap(year) ? 1 : 0);
        *seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        return 0;
}

static uint8_t cmos_read(uint8_t index)
{
        cpu_outb(CMOS_INDEX, index);
        return cpu_inb(CMOS_DATA);
}

static void read_registers(uint8_t century_index, struct rtc_registers *r)
{
        for (unsigned i = 0; i < UPDATE_READS; i++)
                if (!(cmos_read(REG_STATUS_A) & STATUS_A_UPDATING))
                        break;
        *r = (struct rtc_registers){
            .second = cmos_read(REG_SECOND),
            .minute = cmos_read(REG_MINUTE),
            .hour = cmos_read(REG_HOUR),
            .day = cmos_read(REG_DAY),
            .month = cmos_read(REG_MONTH),
            .year = cmos_read(REG_YEAR),
            .century = century_index == 0 ? 0 : cmos_read(century_index),
            .status_b = cmos_read(REG_STATUS_B),
        };
}

int rtc_read(uint8_t century_index, int64_t *seconds)
{
        struct rtc_registers now, before;

        if (cmos_read(REG_STATUS_A) == STATUS_A_NO_CLOCK)
                return -ENODEV;
        /* an update may begin between two registers: believe what reads the same twice */
        read_registers(century_index, &now);
        for (int i = 0; i < READ_TRIES; i++) {
                before = now;
                read_registers(century_index, &now);
                if (memcmp(&before, &now, sizeof(now)) == 0)
                        return rtc_decode(&now, seconds);
        }
        return -EIO;
}
