/* Does another process have a file mapped to write it? */
#pragma once

#include <stdbool.h>

/*
 * True, with the process told on standard error as path's user. Emulators map their machine's
 * memory without a lock; they are found by their mappings, as far as /proc shows them to us.
 */
bool in_use(int fd, const char *path);
