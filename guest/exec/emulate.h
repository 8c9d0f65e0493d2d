/*
 * Instructions that are carried out in software: moves to and from addresses where no memory is
 * mapped, and INS and OUTS (SDM vol. 2), port accesses whose other end is memory.
 */
#pragma once

#include "guest/vm/vcpu.h"

#define STRING_IO_BOUND 128 /* elements an exit, so that interrupts come in between */

/*
 * Decode and carry out the instruction that made access, and step over it. Where no device is,
 * reads give all ones and writes are dropped, as on an empty bus. Negative: the instruction could
 * not be fetched or is not a move that is known (mmio_decode); nothing has changed.
 */
must_check int mmio_access(struct vm_vcpu *v, const struct vm_exit_memory *access);

/*
 * Carry out the string instruction that made this exit, in part or to its end, and step over it
 * when it is done; what is left comes as the next exit. Faults of segments and pages are the
 * guest's, with the registers of the elements that were done. Memory that the VM does not have
 * reads as all ones and drops writes, where no device answers. Alignment is not checked.
 */
void string_io(struct vm_vcpu *v, const struct vm_exit_io *io);
