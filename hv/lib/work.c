/* The yield point of long work; contract in work.h. */
#include "hv/lib/work.h"

void (*work_hook)(void);
