/* Accesses of a guest to addresses where no memory is mapped: devices, or nothing. */
#pragma once

#include "guest/vm/vm.h"

/*
 * Decode and carry out the instruction that made access, and step over it. Where no device is,
 * reads give all ones and writes are dropped, as on an empty bus. Negative: the instruction could
 * not be fetched or is not a move that is known (mmio_decode); nothing has changed.
 */
must_check int mmio_access(struct vm_vcpu *v, const struct vm_exit_memory *access);
