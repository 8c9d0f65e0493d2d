/* Permafrost's own hypercalls; the interface that guests see is guest/abi.h. */
#pragma once

#include "guest/vm.h"

/* Serve the hypercall in the vCPU's registers; the answer goes to RAX. Cannot fail. */
void hypercall_serve(struct vm_vcpu *v, unsigned cpl);
