/*
 * Why did VMRUN refuse a guest's state? The consistency checks of APM vol. 2 15.5.1 once more in
 * software, each failed one told in words. Reads, never writes.
 */
#pragma once

#include "hv/svm/svm_caps.h"
#include "hv/svm/vmcb.h"

/* Go through all checks; report gets a line for each that fails. Returns how many fail. */
unsigned svm_check_entry(const struct vmcb *vmcb, report_fn report, void *ctx);
