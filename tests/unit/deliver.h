/* A message brought to one local APIC as a VM does it: posted, then taken by its vCPU. */
#pragma once

#include "guest/dev/posted.h"

/* Returns whether the message is addressed to this APIC. */
static inline bool deliver_to(struct vlapic *l, const struct apic_message *message)
{
        struct posted posted = {0};

        if (!vlapic_matches(l->id, APIC_NO_SENDER, message))
                return false;
        posted_post(&posted, message);
        (void)posted_drain(&posted, l);
        return true;
}
