/* The VGA text screen, 80 x 25 characters at B8000h: a log output on BIOS machines. */
#pragma once

#include <stddef.h>

/* Clear the screen and start at its top. Only for a machine that is in VGA text mode. */
void vga_init(void);

/* A log_sink_fn: text to the screen. */
void vga_log_sink(const char *text, size_t n);
