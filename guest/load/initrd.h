/* Whether an initrd is whole, as far as its outside shows: boot loaders that unpack files cut them.
 */
#pragma once

#include "hv/lib/types.h"

/*
 * Why the size bytes at initrd look cut, in words; NULL: they do not. Looked at are the entries of
 * a cpio archive (newc) up to its trailer, and the least that gzip needs; other formats are
 * believed.
 */
const char *initrd_looks_cut(const void *initrd, uint64_t size);
