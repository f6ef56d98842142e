#include "text_lower.h"

/* From UnicodeData.txt: the capitals from first to last, each step-th, have their small letter
 * delta further on. */
static const struct {
    uint16_t first, last, step, delta;
} ranges[] = {
    {0x00C0, 0x00D6, 1, 32}, {0x00D8, 0x00DE, 1, 32}, {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},  {0x0139, 0x0147, 2, 1},  {0x014A, 0x0176, 2, 1},
    {0x0179, 0x017D, 2, 1},  {0x0386, 0x0386, 1, 38}, {0x0388, 0x038A, 1, 37},
    {0x038C, 0x038C, 1, 64}, {0x038E, 0x038F, 1, 63}, {0x0391, 0x03A1, 1, 32},
    {0x03A3, 0x03AB, 1, 32}, {0x0400, 0x040F, 1, 80}, {0x0410, 0x042F, 1, 32},
    {0x0460, 0x0480, 2, 1},  {0x048A, 0x04BE, 2, 1},  {0x04C1, 0x04CD, 2, 1},
    {0x04D0, 0x052E, 2, 1},  {0x0531, 0x0556, 1, 48},
};

static uint32_t lower(uint32_t c)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return (c - ranges[i].first) % ranges[i].step == 0 ? c + ranges[i].delta : c;
    return c == 0x0178 ? 0x00FF : c;
}

void text_lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 'A' && c <= 'Z') {
            p[i] = (char)(c + 32);
        } else if (c >= 0xC3 && c <= 0xD5 && i + 1 < n) { /* two bytes: U+00C0 to U+057F */
            uint32_t small = lower((uint32_t)(c & 0x1F) << 6 | ((unsigned char)p[i + 1] & 0x3F));
            p[i] = (char)(0xC0 | small >> 6);
            p[++i] = (char)(0x80 | (small & 0x3F));
        }
    }
}
