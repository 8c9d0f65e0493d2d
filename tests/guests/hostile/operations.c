/* What the hostile guest does, and how often. */
#include "tests/guests/hostile/operations.h"

#include "tests/guests/hostile/kinds.h"
#include "tests/guests/hostile/machine.h"

const struct operation operations[] = {
    {"msr", 10, 1, op_msr},
    {"port", 10, 0, op_port},
    {"string-io", 10, 0, op_string_io},
    {"cpuid", 6, 0, op_cpuid},
    {"memory", 14, 0, op_memory},
    {"odd", 10, 0, op_odd},
    {"tables", 14, 0, op_tables},
    {"control", 6, 1, op_control},
    {"debug", 4, 1, op_debug},
    {"hypercall", 8, 0, op_hypercall},
    {"interrupt", 6, 0, op_interrupt},
    {"code", 10, 0, op_code},
    {"system", 8, 0, op_system},
    {"segments", 8, 0, op_segments},
    {"legacy", 4, 0, op_legacy},
    {"task", 2, 0, op_task},
    {"storm", 1, 0, op_storm},
    {"timer", 2, 1, op_timer},
    {"second", 1, 0, op_second},
    {"virtio", 4, 0, op_virtio},
};
const unsigned operation_count = COUNT(operations);
