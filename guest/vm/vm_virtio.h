/* A VM's virtio devices: made with the VM, put on its PCI bus, and given back with it. For vm.c. */
#pragma once

#include "guest/vm/vm.h"

/* Make the devices that the VM has. A negative errno value: the reason has been logged. */
must_check int vm_virtio_add(struct vm *vm);

/* Take its devices from the switches: no other VM sends to them, or interrupts its vCPUs, then. */
void vm_virtio_leave(struct vm *vm);

/* Give back all; no CPU runs the VM, and nobody else knows of its devices any more. */
void vm_virtio_remove(struct vm *vm);
