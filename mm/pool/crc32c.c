/*
 * CRC-32C by the CPU's own instruction (SSE4.2, SDM vol. 2 CRC32), or half a byte at a time where
 * it has none. The table holds the remainders of all half bytes for the reflected polynomial
 * 0x82f63b78; it is constant so that checksums work before any initialisation.
 */
#include "mm/pool/crc32c.h"

#include "hv/cpu.h"

#define CPUID_1_ECX_SSE42 (1u << 20)

static const uint32_t remainders[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                crc ^= p[i];
                crc = crc >> 4 ^ remainders[crc & 15];
                crc = crc >> 4 ^ remainders[crc & 15];
        }
        return crc;
}

static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
        uint64_t sum = crc;

        for (; len >= 8; p += 8, len -= 8) {
                uint64_t word;

                __builtin_memcpy(&word, p, sizeof word);
                __asm__("crc32q %1, %0" : "+r"(sum) : "rm"(word));
        }
        crc = (uint32_t)sum;
        for (; len; p++, len--)
                __asm__("crc32b %1, %0" : "+r"(crc) : "rm"(*p));
        return crc;
}

static uint32_t find_method(uint32_t crc, const uint8_t *p, size_t len);

static uint32_t (*method)(uint32_t crc, const uint8_t *p, size_t len) = find_method;

static uint32_t find_method(uint32_t crc, const uint8_t *p, size_t len)
{
        method = cpu_cpuid(1, 0).ecx & CPUID_1_ECX_SSE42 ? by_instruction : by_table;
        return method(crc, p, len);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
        return ~method(~crc, data, len);
}
