/*
 * The console's escape: what is typed goes to the guest, but for these.
 *
 *     Ctrl-] c        switches between guest and monitor
 *     Ctrl-] 1 to 9   gives the line to the guest of that number
 *     Ctrl-] Ctrl-]   is one Ctrl-]
 *
 * Any other key behind Ctrl-] is passed on together with it.
 */
#pragma once

#include "hv/lib/types.h"

#define ESCAPE_KEY    0x1du /* Ctrl-] */
#define ESCAPE_SWITCH 'c'

struct escape {
        bool open; /* the last byte was an escape that nothing has followed yet */
};

#define ESCAPE_SWITCHES (-1)
#define ESCAPE_CHOOSES  (-2)

/*
 * Take a typed byte. Returns how many bytes, in pass, go to the reader; ESCAPE_SWITCHES, or
 * ESCAPE_CHOOSES with the number in pass[0].
 */
static inline int escape_byte(struct escape *escape, uint8_t byte, uint8_t pass[2])
{
        if (!escape->open && byte == ESCAPE_KEY) {
                escape->open = true;
                return 0;
        }
        if (!escape->open) {
                pass[0] = byte;
                return 1;
        }
        escape->open = false;
        if (byte == ESCAPE_SWITCH)
                return ESCAPE_SWITCHES;
        if (byte >= '1' && byte <= '9') {
                pass[0] = (uint8_t)(byte - '0');
                return ESCAPE_CHOOSES;
        }
        pass[0] = ESCAPE_KEY;
        pass[1] = byte;
        return byte == ESCAPE_KEY ? 1 : 2;
}
