#include "jsonpath.h"

#include <ctype.h>

enum { PLACE_DIGITS_MAX = 9 };

struct jsonpath *jsonpath_new(void)
{
    return calloc(1, sizeof(struct jsonpath));
}

void jsonpath_free(struct jsonpath *root)
{
    while (root) {
        struct jsonpath *next = root->next;
        jsonpath_free(root->children);
        free(root->key);
        free(root->columns);
        free(root);
        root = next;
    }
}

/* The child for a key (key.p not NULL) or a place, which is made when it is not there. */
static struct jsonpath *child(struct jsonpath *of, struct span key, uint64_t place)
{
    struct jsonpath **at = &of->children;
    for (; *at; at = &(*at)->next) {
        const struct jsonpath *c = *at;
        if (key.p ? c->key && span_eq((struct span){c->key, c->key_len}, key)
                  : !c->key && c->place == place)
            return *at;
    }
    struct jsonpath *new = jsonpath_new();
    if (!new)
        return NULL;
    if (key.p) {
        new->key = malloc(key.len + 1);
        if (!new->key) {
            free(new);
            return NULL;
        }
        memcpy(new->key, key.p, key.len);
        new->key[key.len] = '\0';
        new->key_len = key.len;
    }
    new->place = place;
    *at = new;
    return new;
}

static int add_column(struct jsonpath *to, uint32_t column, struct error *e)
{
    uint32_t *more = to ? realloc(to->columns, (to->n_columns + 1) * sizeof *more) : NULL;
    if (!more)
        return error_set(e, ERR_NOMEM, "the columns of the input");
    to->columns = more;
    more[to->n_columns++] = column;
    return ERR_OK;
}

int jsonpath_add_key(struct jsonpath *root, struct span key, uint32_t column, struct error *e)
{
    return add_column(child(root, key, 0), column, e);
}

struct reader {
    const char *at, *end;
};

/* .key */
static bool read_dotted(struct reader *r, struct span *ret)
{
    const char *from = ++r->at;
    while (r->at < r->end && *r->at != '.' && *r->at != '[')
        r->at++;
    *ret = (struct span){from, (size_t)(r->at - from)};
    return ret->len > 0;
}

/* ["key"] or [0] */
static bool read_bracket(struct reader *r, struct span *ret_key, uint64_t *ret_place)
{
    const char *from = ++r->at;
    if (r->at < r->end && *r->at == '"') {
        from++;
        const char *quote = memchr(from, '"', (size_t)(r->end - from));
        if (!quote || quote + 1 == r->end || quote[1] != ']')
            return false;
        *ret_key = (struct span){from, (size_t)(quote - from)};
        r->at = quote + 2;
        return true;
    }
    *ret_key = (struct span){NULL, 0};
    *ret_place = 0;
    while (r->at < r->end && isdigit((unsigned char)*r->at) && r->at - from < PLACE_DIGITS_MAX)
        *ret_place = *ret_place * 10 + (uint64_t)(*r->at++ - '0');
    return r->at > from && r->at < r->end && *r->at++ == ']';
}

int jsonpath_add(struct jsonpath *root, struct span path, uint32_t column, struct error *e)
{
    struct reader r = {path.p + 1, path.p + path.len};
    if (path.len < 2 || path.p[0] != '$')
        return error_set(e, ERR_INVALID_SPEC, "a path such as $.offer.price is wanted here");
    for (size_t depth = 0; r.at < r.end; depth++) {
        struct span key;
        uint64_t place = 0;
        const char *step = r.at;
        bool ok = depth < JSONPATH_DEPTH_MAX && (*r.at == '.'   ? read_dotted(&r, &key)
                                                 : *r.at == '[' ? read_bracket(&r, &key, &place)
                                                                : false);
        if (!ok)
            return error_set(e, ERR_INVALID_SPEC,
                             "character %zu of the path: .key, [\"key\"] or [0] is wanted here, "
                             "%d times at most",
                             (size_t)(step - path.p) + 1, JSONPATH_DEPTH_MAX);
        root = child(root, key, place);
        if (!root)
            return error_set(e, ERR_NOMEM, "the columns of the input");
    }
    return add_column(root, column, e);
}
