/*
 * Learning switches between VMs (IEEE 802.1Q, 8.8 in small): a frame goes to the port where its
 * destination was last seen, or to all others. A switch has a name and exists once a port of it was
 * attached; it carries frames that it knows nothing of but their two addresses.
 *
 * Any CPU may send at any time, without a lock of the switch: the table of addresses is words. A
 * port has a lock, under which it is delivered to, so that it is gone for good when switch_detach
 * returns. Below it stands only what the receiver takes; nobody sends under it.
 */
#pragma once

#include "guest/config/config.h"
#include "hv/lib/spinlock.h"

#define SWITCH_ADDRESSES 256u /* those of which the hash is the same push each other out */
#define ETH_ALEN         6u

/* Take a frame; it is the sender's, and valid until this returns. Counts what it drops itself. */
typedef void (*switch_deliver)(void *ctx, const void *frame);

struct switch_port {
        struct spinlock lock;
        switch_deliver deliver; /* NULL: the port is free */
        void *ctx;
};

struct net_switch {
        char name[WORD_NAME_SIZE]; /* "": none */
        unsigned ports;            /* all that were ever attached have lower numbers */
        struct switch_port port[SWITCH_PORTS_MAX];
        uint64_t
            address[SWITCH_ADDRESSES]; /* with the port's number, plus one, below it; 0: none */
};

/* The switch of that name, a new one if there is none. NULL: there are SWITCHES_MAX others. By CPU
 * 0 alone, as the next two. */
struct net_switch *switch_get(const char *name);

/* Attach a port: its number, or -ENOSPC. */
must_check int switch_attach(struct net_switch *sw, switch_deliver deliver, void *ctx);

/* When it returns nobody delivers to the port, and nobody will. */
void switch_detach(struct net_switch *sw, unsigned port);

/* Send a frame from a port, by its destination and source address; not to the port itself. Returns
 * to how many. */
unsigned switch_send(struct net_switch *sw, unsigned from, const uint8_t addresses[2 * ETH_ALEN],
                     const void *frame);
