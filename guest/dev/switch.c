/* Switches between VMs; contract in switch.h. */
#include "guest/dev/switch.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define GROUP         1u /* in the first byte of an address: to several, or all */
#define ADDRESS_SHIFT 16

static struct net_switch switches[SWITCHES_MAX];

struct net_switch *switch_get(const char *name)
{
        for (size_t i = 0; i < SWITCHES_MAX; i++) {
                struct net_switch *sw = &switches[i];

                if (!sw->name[0])
                        memcpy(sw->name, name, strlen(name) + 1);
                if (strcmp(sw->name, name) == 0)
                        return sw;
        }
        return NULL;
}

int switch_attach(struct net_switch *sw, switch_deliver deliver, void *ctx)
{
        unsigned n = 0;

        while (n < sw->ports && sw->port[n].deliver)
                n++;
        if (n == SWITCH_PORTS_MAX)
                return -ENOSPC;
        spin_lock(&sw->port[n].lock);
        sw->port[n].deliver = deliver;
        sw->port[n].ctx = ctx;
        spin_unlock(&sw->port[n].lock);
        if (n == sw->ports)
                __atomic_store_n(&sw->ports, n + 1, __ATOMIC_RELEASE);
        return (int)n;
}

void switch_detach(struct net_switch *sw, unsigned port)
{
        spin_lock(&sw->port[port].lock);
        sw->port[port].deliver = NULL;
        spin_unlock(&sw->port[port].lock);
        for (size_t i = 0; i < SWITCH_ADDRESSES; i++)
                if ((sw->address[i] & 0xffff) == port + 1)
                        __atomic_store_n(&sw->address[i], 0, __ATOMIC_RELAXED);
}

static uint64_t mac_value(const uint8_t *address)
{
        uint64_t word = 0;

        memcpy(&word, address, ETH_ALEN);
        return word << ADDRESS_SHIFT;
}

static uint64_t *slot_of(struct net_switch *sw, uint64_t word)
{
        /* the last byte, which tells the ports of one owner apart, and those before it */
        uint64_t sum = word ^ word >> 24;

        return &sw->address[(sum >> ADDRESS_SHIFT ^ sum >> 32 ^ sum >> 40) % SWITCH_ADDRESSES];
}

/* Whether there is such a port. */
static unsigned deliver(struct net_switch *sw, unsigned to, const void *frame)
{
        struct switch_port *port = &sw->port[to];
        unsigned is_there;

        spin_lock(&port->lock);
        is_there = port->deliver != NULL;
        if (is_there)
                port->deliver(port->ctx, frame);
        spin_unlock(&port->lock);
        return is_there;
}

unsigned switch_send(struct net_switch *sw, unsigned from, const uint8_t addresses[2 * ETH_ALEN],
                     const void *frame)
{
        uint64_t to = mac_value(addresses), source = mac_value(addresses + ETH_ALEN) | (from + 1);
        unsigned ports = __atomic_load_n(&sw->ports, __ATOMIC_ACQUIRE);
        uint64_t known = __atomic_load_n(slot_of(sw, to), __ATOMIC_RELAXED);
        uint64_t *own = slot_of(sw, source & ~0xffffull);
        unsigned receivers = 0;

        if (!(addresses[ETH_ALEN] & GROUP) && __atomic_load_n(own, __ATOMIC_RELAXED) != source)
                __atomic_store_n(own, source, __ATOMIC_RELAXED);
        if (!(addresses[0] & GROUP) && (known & ~0xffffull) == to && known & 0xffff) {
                if ((known & 0xffff) == from + 1)
                        return 0;
                return deliver(sw, (unsigned)(known & 0xffff) - 1, frame);
        }
        for (unsigned n = 0; n < ports; n++)
                if (n != from)
                        receivers += deliver(sw, n, frame);
        return receivers;
}
