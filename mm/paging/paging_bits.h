/* Bits of an entry of ordinary and nested page tables: SDM vol. 3 tables 4-15 to 4-20, APM vol.
 * 2 5.3. */
#pragma once

#define PT_P   (1ull << 0)
#define PT_RW  (1ull << 1)
#define PT_US  (1ull << 2)
#define PT_PWT (1ull << 3)
#define PT_PCD (1ull << 4)
#define PT_A   (1ull << 5)
#define PT_D   (1ull << 6)
#define PT_PS  (1ull << 7)
#define PT_NX  (1ull << 63)

#define ENTRY_ADDR 0x000ffffffffff000ull /* of EPT's entries, too */
