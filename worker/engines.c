#include "engines.h"

#include <stdio.h>

#include "common/pack.h"
#include "common/slice.h"
#include "common/unpack.h"
#include "common/wire.h"
#include "worker/engine_score.h"
#include "worker/engine_transform.h"
#include "worker/scrape/scrape.h"

enum { NOOP_KEYS = 64 }; /* shards that the noop engine spreads its items over */

/* ---- scrape ---- */

static int scrape_compile(const json_t *stage, const struct batch *input, void **ret,
                          struct error *e)
{
    (void)input;
    struct scrape_spec *s = NULL;
    int rc = scrape_spec_compile(stage, &s, e);
    if (rc == ERR_OK)
        *ret = s;
    return rc;
}

static void scrape_free(void *compiled)
{
    scrape_spec_free(compiled);
}

/* Packed [url, depth]; the key is the host that limits hold for: "scheme://host[:port]". */
static int scrape_item(const void *compiled, struct span text, uint32_t depth, struct buf *out,
                       uint64_t *ret_key, struct hash128 *ret_unique, struct error *e)
{
    struct buf url;
    size_t key_len = 0;
    (void)compiled;
    buf_init(&url, SPEC_ITEM_MAX);
    int rc = scrape_url_canonical(text, &url, &key_len, e);
    if (rc == ERR_OK && !buf_ok(&url))
        rc = error_set(e, ERR_LIMIT, "a URL of more than %d bytes", SPEC_ITEM_MAX);
    if (rc == ERR_OK) {
        pack_array(out, 2);
        pack_str(out, buf_span(&url));
        pack_u64(out, depth);
        *ret_key = hash_64(url.data, key_len, 0);
        *ret_unique = hash_128(url.data, url.len, 0);
    }
    buf_done(&url);
    return rc;
}

static struct batch *scrape_columns(const void *compiled)
{
    return scrape_spec_batch(compiled);
}

static bool scrape_unique(const void *compiled)
{
    return scrape_spec_follows(compiled);
}

static uint32_t scrape_key_limit(const void *compiled)
{
    return scrape_spec_key_limit(compiled);
}

static uint32_t scrape_key_delay_ms(const void *compiled)
{
    return scrape_spec_key_delay_ms(compiled);
}

static uint64_t scrape_items_max(const void *compiled)
{
    return scrape_spec_pages_max(compiled);
}

static uint32_t scrape_key_use_ms(const void *compiled)
{
    return scrape_spec_key_use_ms(compiled);
}

/* ---- noop ---- */

static int noop_compile(const json_t *stage, const struct batch *input, void **ret, struct error *e)
{
    (void)input;
    static const char *const keys[] = {"kind", "rows", "blob"};
    const json_t *rows = json_object_get(stage, "rows"), *blob = json_object_get(stage, "blob");
    struct engines_noop noop = {.rows = json_is_true(rows) || blob};
    int rc = spec_check_keys(stage, "", keys, ARRAY_LEN(keys), e);
    if (rc)
        return rc;
    if (rows && !json_is_boolean(rows))
        return error_set(e, ERR_INVALID_SPEC, "rows: true or false is wanted here");
    if (json_is_string(blob) && strcmp(json_string_value(blob), "item") == 0) {
        noop.of = ENGINES_NOOP_ITEM;
    } else if (blob) {
        noop.of = ENGINES_NOOP_STAGE;
        rc = spec_read_blob(blob, "blob", &noop.blob, e);
    }
    struct engines_noop *n = rc ? NULL : malloc(sizeof *n);
    if (!n)
        return rc ? rc : error_set(e, ERR_NOMEM, "noop");
    *n = noop;
    *ret = n;
    return ERR_OK;
}

static struct batch *noop_columns(const void *compiled)
{
    const struct engines_noop *n = compiled;
    struct batch *b = batch_new();
    int rc = b ? ERR_OK : ERR_NOMEM;
    if (rc == ERR_OK && n->rows)
        rc = batch_add_column(b, "item", COL_TEXT);
    if (rc == ERR_OK && n->of != ENGINES_NOOP_NONE)
        rc = batch_add_column(b, "bytes", COL_INT64);
    if (rc == ERR_OK && n->of != ENGINES_NOOP_NONE)
        rc = batch_add_column(b, "sha256", COL_TEXT);
    if (rc == ERR_OK)
        return b;
    batch_free(b);
    return NULL;
}

static int pack_slice(const struct slice *slice, struct buf *out, struct error *e)
{
    struct buf text;
    buf_init(&text, 0);
    slice_write(slice, &text);
    bool good = buf_ok(&text);
    pack_str(out, buf_span(&text));
    buf_done(&text);
    return good ? ERR_OK : error_set(e, ERR_NOMEM, "noop");
}

static int noop_item(const void *compiled, struct span text, uint32_t depth, struct buf *out,
                     uint64_t *ret_key, struct hash128 *ret_unique, struct error *e)
{
    const struct engines_noop *n = compiled;
    struct slice slice;
    (void)depth;
    *ret_unique = hash_128(text.p, text.len, 0);
    *ret_key = ret_unique->lo % NOOP_KEYS;
    if (n->of != ENGINES_NOOP_ITEM) {
        pack_str(out, text);
        return ERR_OK;
    }
    int rc = slice_parse(text, &slice, e);
    if (rc == ERR_OK)
        rc = pack_slice(&slice, out, e);
    return rc;
}

static int noop_blobs(const void *compiled, struct span item, spec_blob_fn *fn, void *user)
{
    const struct engines_noop *n = compiled;
    struct unpack u;
    struct slice slice;
    if (!item.p)
        return n->of == ENGINES_NOOP_STAGE ? fn(user, &n->blob) : ERR_OK;
    if (n->of != ENGINES_NOOP_ITEM)
        return ERR_OK;
    unpack_init(&u, item.p, item.len);
    if (slice_parse(unpack_str(&u), &slice, NULL))
        return ERR_MALFORMED;
    return fn(user, &slice.blob);
}

/* ---- the table ---- */

const struct spec_engine engines_table[] = {
    {.name = "scrape",
     .kind = WIRE_KIND_SCRAPE,
     .source = true,
     .compile = scrape_compile,
     .free = scrape_free,
     .columns = scrape_columns,
     .item = scrape_item,
     .unique = scrape_unique,
     .key_limit = scrape_key_limit,
     .key_delay_ms = scrape_key_delay_ms,
     .key_use_ms = scrape_key_use_ms,
     .items_max = scrape_items_max},
    {.name = "noop",
     .kind = WIRE_KIND_NOOP,
     .source = true,
     .compile = noop_compile,
     .free = free,
     .columns = noop_columns,
     .item = noop_item,
     .blobs = noop_blobs},
    {.name = "transform",
     .kind = WIRE_KIND_TRANSFORM,
     .source = true,
     .follows = true,
     .compile = engine_transform_compile,
     .free = engine_transform_free,
     .columns = engine_transform_columns,
     .item = engine_transform_item,
     .gathers = engine_transform_gathers,
     .rejects_max = engine_transform_rejects_max,
     .blobs = engine_transform_blobs,
     .explain = engine_transform_explain},
    {.name = "score",
     .kind = WIRE_KIND_SCORE,
     .follows = true,
     .complete = engine_score_complete,
     .wants = engine_score_wants,
     .compile = engine_score_compile,
     .free = engine_score_free,
     .columns = engine_score_columns,
     .blobs = engine_score_blobs},
};
const size_t engines_count = ARRAY_LEN(engines_table);

uint32_t engines_kinds(void)
{
    uint32_t kinds = 0;
    for (size_t i = 0; i < engines_count; i++)
        kinds |= engines_table[i].kind;
    return kinds;
}
