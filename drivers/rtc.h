/* The PC's real-time clock (MC146818 in CMOS): wall-clock time at boot. */
#pragma once

#include "hv/lib/types.h"

/* The clock's registers as they are read, in the clock's own format. */
struct rtc_registers {
        uint8_t second, minute, hour, day, month, year;
        uint8_t century;  /* 0: the machine does not have one */
        uint8_t status_b; /* bit 1: 24 hours, bit 2: binary */
};

/*
 * Seconds since 1970-01-01 of the registers' time, read as UTC. Without a century, years 70 to 99
 * are 19xx. Returns 0, or -EINVAL for a time that does not exist.
 */
must_check int rtc_decode(const struct rtc_registers *r, int64_t *seconds);

/*
 * Read the clock; century_index is the FADT's rtc_century. Returns 0, -ENODEV when there is
 * no clock, -EIO when it never comes to rest, -EINVAL as rtc_decode.
 */
must_check int rtc_read(uint8_t century_index, int64_t *seconds);
