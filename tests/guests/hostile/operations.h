/* The table of what the hostile guest does. */
#pragma once

#include <stdint.h>

/*
 * One kind of operation. A weight says how often it is drawn beside the others. A costly one leaves
 * the machine bent, and machine_restore follows.
 */
struct operation {
        const char *name;
        unsigned weight;
        int bends;
        void (*run)(void);
};

extern const struct operation operations[];
extern const unsigned operation_count;

/* What ends the VM, each on purpose; should one return, the VM ends by a triple fault. */
struct deadly {
        const char *name;
        void (*run)(void);
};

extern const struct deadly deadly[];
extern const unsigned deadly_count;
