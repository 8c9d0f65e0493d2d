/*
 * The control port of a VM that has `control`: bytes between a program in the guest and CPU 0,
 * which reads requests line by line and answers them (guest/admin/control.h). Both directions are
 * bounded. What finds no room on its way here stays in the guest's buffer, and CPU 0 never waits
 * for the guest.
 *
 * Each time the program opens or closes the port all that is under way is forgotten: whoever opens
 * it next sees no answer of another's, and what comes of a request that is still running is dropped
 * by its generation.
 */
#pragma once

#include "guest/dev/virtio/console.h"
#include "hv/lib/spinlock.h"

#define VM_CONTROL_PORT "org.permafrost.control"
#define VM_CONTROL_LINE 512u /* of a request, terminated */
#define VM_CONTROL_IN   1024u
#define VM_CONTROL_OUT  (8 * KiB)
#define VM_CONTROL_LAST 256u /* of VM_CONTROL_OUT: kept for the end of an answer */

struct vm_control {
        struct virtio_console *device; /* whose port 1 it is */
        void (*wake)(void *ctx);       /* CPU 0, as there is something to read */
        void *ctx;
        struct spinlock lock; /* of the rest; below those of the port's queues */
        unsigned generation;
        bool too_long;                                 /* the rest of a line is being left out */
        uint64_t in_head, in_tail, out_head, out_tail; /* head - tail bytes are there */
        char in[VM_CONTROL_IN], out[VM_CONTROL_OUT];
};

/* The end of the port for virtio_console_init; wake may be called on any CPU, under locks. */
struct virtio_console_end vm_control_init(struct vm_control *c, struct virtio_console *device,
                                          void (*wake)(void *ctx), void *ctx);

/*
 * CPU 0 takes the next line, without its end, if the answers before it have mostly been read.
 * Returns its length; -EBUSY: there is none now; -E2BIG: one was too long, and is left out.
 */
must_check int vm_control_take(struct vm_control *c, char line[VM_CONTROL_LINE],
                               unsigned *generation);

/*
 * CPU 0 answers, without waiting: n bytes, at most 256. last: it may use the room that is kept for
 * that. False: there is no room for all of it, and none of it was taken. What answers an older
 * generation is dropped.
 */
must_check bool vm_control_say(struct vm_control *c, unsigned generation, const char *text,
                               size_t n, bool last);

/* Have the guest read what was said, and look for what it has written meanwhile. */
void vm_control_flush(struct vm_control *c);
