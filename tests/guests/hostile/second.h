/* Operations with a second vCPU. */
#pragma once

void op_second(void);
