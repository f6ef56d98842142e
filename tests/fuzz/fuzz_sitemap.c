/* fuzz_sitemap.c: a sitemap of any bytes; the first byte says whether it is called plain text. */
#include "worker/scrape/sitemap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool found(struct span loc, void *user)
{
    size_t *bytes = user;
    assert(loc.len > 0 && loc.len <= SITEMAP_LOC_BYTES_MAX);
    *bytes += loc.len;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = 0;
    if (size == 0)
        return 0;
    struct span text = {(const char *)data + 1, size - 1};
    sitemap_each(text, sitemap_detect(text, data[0] & 1), found, &bytes);
    assert(bytes <= 2 * size); /* nothing is expanded beyond what was written */
    return 0;
}
