/*
 * fuzz_robots.c: a robots.txt of any bytes, asked about paths that come from its own lines. The
 * input is the crawler's User-Agent up to a newline, then the file.
 */
#include <string.h>

#include "worker/scrape/robots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ASKED_MAX = 50, MEMORY_A_BYTE = 64, MEMORY_BASE = 64 * 1024 };

/* Paths of each line: what follows its colon, and the line itself behind a slash. */
static size_t ask(const struct robots *r, struct span text)
{
    char path[512] = "/";
    size_t allowed = 0;
    for (size_t i = 0; i < ASKED_MAX && text.len > 0; i++) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end ? (size_t)(end - text.p) : text.len;
        const char *colon = len ? memchr(text.p, ':', len) : NULL;
        size_t skip = colon ? (size_t)(colon - text.p) + 1 : 0;
        size_t n = MIN(len - skip, sizeof(path) - 1);
        memcpy(path + 1, text.p + skip, n);
        allowed += robots_allowed(r, (struct span){path, n + 1});
        allowed += robots_allowed(r, (struct span){path + 1, n});
        size_t used = len + (end ? 1 : 0);
        text = (struct span){text.p + used, text.len - used};
    }
    return allowed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    const char *end = size ? memchr(text.p, '\n', size) : NULL;
    struct span agent = {text.p, end ? (size_t)(end - text.p) : 0};
    if (end)
        text = (struct span){end + 1, size - agent.len - 1};
    struct span token = robots_token(agent);
    assert(token.len <= agent.len);
    struct robots *r = robots_parse(text, token);
    assert(r);
    assert(robots_delay_ms(r) <= ROBOTS_DELAY_MAX_MS);
    assert(robots_sitemaps(r) <= ROBOTS_SITEMAPS_MAX);
    for (size_t i = 0; i < robots_sitemaps(r); i++)
        assert(strlen(robots_sitemap(r, i)) <= size);
    assert(robots_bytes(r) <= MEMORY_BASE + MEMORY_A_BYTE * size);
    assert(robots_allowed(r, SPAN("/robots.txt")));
    (void)ask(r, text);
    robots_free(r);
    return 0;
}
