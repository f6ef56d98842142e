/* fuzz_spec.c: a job description from a client, by the real engines; then its inputs. */
#include "common/spec.h"
#include "worker/engines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    struct spec *s = NULL;
    struct error e = {0};
    int rc = spec_parse(text, engines_table, engines_count, true, &s, &e);
    assert(rc == ERR_OK || (e.code == (enum err)rc && e.detail[0]));
    if (rc)
        return 0;
    assert(s->n_stages >= 1 && s->n_sinks >= 1 && s->attempts >= 1 && s->task_items >= 1);
    struct buf items;
    buf_init(&items, 0);
    for (size_t i = 0; i < json_array_size(s->input); i++) {
        const json_t *v = json_array_get(s->input, i);
        struct span item = {json_string_value(v), json_string_length(v)};
        uint64_t key;
        struct hash128 unique;
        (void)!spec_item(s, item, 0, &items, &key, &unique, NULL);
    }
    buf_done(&items);
    spec_free(s);
    return 0;
}
