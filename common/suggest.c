#include "suggest.h"

#include <limits.h>
#include <stdio.h>

unsigned suggest_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned rows[3][SUGGEST_WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    if (la > SUGGEST_WORD_MAX || lb > SUGGEST_WORD_MAX)
        return UINT_MAX;
    for (size_t j = 0; j <= lb; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned edit = MIN(last[j] + 1, now[j - 1] + 1);
            unsigned replace = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = MIN(edit, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = MIN(now[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[lb];
}

/* In lower case, without the blanks around it. Longer words are cut, and so stay too long. */
static const char *fold(const char *word, char ret[SUGGEST_WORD_MAX + 2])
{
    size_t n = 0;
    while (*word == ' ')
        word++;
    for (; word[n] && n <= SUGGEST_WORD_MAX; n++)
        ret[n] = word[n] >= 'A' && word[n] <= 'Z' ? (char)(word[n] - 'A' + 'a') : word[n];
    while (n > 0 && ret[n - 1] == ' ')
        n--;
    ret[n] = '\0';
    return ret;
}

const char *suggest_nearest(const char *word, const char *const *candidates, size_t n)
{
    char folded[SUGGEST_WORD_MAX + 2], other[SUGGEST_WORD_MAX + 2];
    const char *best = NULL;
    unsigned best_distance = UINT_MAX;
    unsigned limit = MAX(1u, (unsigned)(strlen(fold(word, folded)) / 3));
    for (size_t i = 0; i < n; i++) {
        /* what differs in nothing else comes after the same word, and before all others */
        unsigned d = strcmp(word, candidates[i]) == 0
                         ? 0
                         : suggest_distance(folded, fold(candidates[i], other)) + 1;
        /* a word as far away as it is long has nothing in common */
        if (d <= limit + 1 && d < best_distance && d <= strlen(candidates[i])) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}

const char *suggest_text(const char *word, const char *const *candidates, size_t n,
                         char ret[SUGGEST_TEXT_LEN])
{
    const char *nearest = suggest_nearest(word, candidates, n);
    ret[0] = '\0';
    if (nearest)
        snprintf(ret, SUGGEST_TEXT_LEN, " (did you mean \"%s\"?)", nearest);
    return ret;
}
