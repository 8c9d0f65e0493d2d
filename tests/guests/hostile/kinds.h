/* The operations' own functions: each draws what it does at random. */
#pragma once

void op_msr(void);
void op_cpuid(void);
void op_control(void);
void op_debug(void);
void op_hypercall(void);
void op_interrupt(void);
void op_storm(void);
void op_timer(void);
void op_port(void);
void op_string_io(void);
void op_memory(void);
void op_odd(void);
void op_tables(void);
void op_code(void);
void op_system(void);
void op_segments(void);
void op_legacy(void);
void op_task(void);
void op_second(void);
void op_virtio(void);

/* Append a random instruction that accesses memory. */
void memory_instruction(void);
