#include "utf8.h"

size_t utf8_sequence(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    size_t len = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n < len)
        return 0;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte: RFC 3629, section 4 */
    if (s[0] == 0xE0)
        low = 0xA0;
    else if (s[0] == 0xED)
        high = 0x9F;
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

size_t utf8_valid_prefix(struct span s)
{
    size_t i = 0;
    while (i < s.len) {
        uint64_t words[4];
        if (s.len - i >= sizeof words) {
            memcpy(words, s.p + i, sizeof words);
            if (((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof words;
                continue;
            }
        }
        if ((unsigned char)s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t n = utf8_sequence(s.p + i, s.len - i);
        if (n == 0)
            return i;
        i += n;
    }
    return i;
}
