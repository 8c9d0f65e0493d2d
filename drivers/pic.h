/* The two 8259 interrupt controllers: put out of the way. */
#pragma once

#include <stdint.h>

/*
 * Mask all 16 lines, and move them to vectors vector to vector + 15 (a multiple of 8) so that a
 * spurious interrupt cannot be mistaken for an exception.
 */
void pic_disable(uint8_t vector);
