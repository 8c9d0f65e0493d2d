/* Hypercalls. Permafrost's own: the interface that guests see is guest/abi.h. */
#pragma once

#include "guest/vm/vcpu.h"

/*
 * Serve the hypercall in the vCPU's registers; the answer goes to RAX. Cannot fail. False: it is
 * one of KVM's (guest/dev/pv.h), which may concern other vCPUs and is hypercall_serve_pv's.
 */
must_check bool hypercall_serve(struct vm_vcpu *v, unsigned cpl);
void hypercall_serve_pv(struct vm_vcpu *v, unsigned cpl);
