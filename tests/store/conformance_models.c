/* conformance_models.c: named models and their versions. */
#include "fixture.h"

#include "conformance.h"

static struct store_model model_of(const char *name, const char *bytes)
{
    struct store_model m = {.name = span_str(name),
                            .info = SPAN("info"),
                            .tolerance = 1e-5,
                            .created_ms = 77};
    assert_true(blob_hash_of(bytes, strlen(bytes), &m.blob));
    return m;
}

/* Adds and commits; the code. */
static int add(struct fx *x, const struct store_model *m, uint64_t *version, bool *existing)
{
    fx_begin(x);
    int rc = store_model_add(x->s, m, version, existing, &x->e);
    fx_commit(x);
    return rc;
}

static uint64_t add_new(struct fx *x, const struct store_model *m)
{
    uint64_t version = 0;
    bool existing = true;
    fx_ok(x, add(x, m, &version, &existing));
    assert_false(existing);
    return version;
}

static int take(struct fx *x, const char *name, uint64_t version)
{
    fx_begin(x);
    int rc = store_model_remove(x->s, span_str(name), version, &x->e);
    fx_commit(x);
    return rc;
}

static void versions_count_from_one(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("churn", "a"), b = model_of("churn", "b");
    struct store_model other = model_of("abc", "a");
    struct store_model *list;
    size_t n;
    assert_int_equal(add_new(x, &a), 1);
    assert_int_equal(add_new(x, &b), 2);
    assert_int_equal(add_new(x, &a), 3);
    assert_int_equal(add_new(x, &other), 1);
    a.version = 9;
    a.has_sample = true;
    a.sample = b.blob;
    assert_int_equal(add_new(x, &a), 9);
    b.version = 0;
    assert_int_equal(add_new(x, &b), 10);
    fx_reopen(x);
    fx_ok(x, store_model_list(x->s, &x->arena, &list, &n, &x->e));
    assert_int_equal(n, 6);
    static const uint64_t versions[] = {1, 1, 2, 3, 9, 10};
    for (size_t i = 0; i < n; i++) {
        assert_true(span_eq(list[i].name, i ? SPAN("churn") : SPAN("abc")));
        assert_int_equal(list[i].version, versions[i]);
        assert_true(span_eq(list[i].info, SPAN("info")));
        assert_int_equal(list[i].created_ms, 77);
    }
    assert_true(list[4].has_sample && blob_name_eq(&list[4].sample, &b.blob));
    assert_true(list[4].tolerance > 0.9e-5 && list[4].tolerance < 1.1e-5);
    assert_false(list[5].has_sample);
}

static void the_same_model_again_is_the_same_version(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("m", "a"), b = model_of("m", "b");
    uint64_t version = 0;
    bool existing = false;
    add_new(x, &a);
    fx_ok(x, add(x, &a, &version, &existing));
    assert_true(existing && version == 1);
    add_new(x, &b);
    a.version = 1;
    existing = false;
    fx_ok(x, add(x, &a, &version, &existing));
    assert_true(existing && version == 1);
    b.version = 1;
    assert_int_equal(add(x, &b, &version, &existing), ERR_WRONG_STATE);
    a.tolerance = 0.5; /* of no sample: it means nothing */
    fx_ok(x, add(x, &a, &version, &existing));
    a.info = SPAN("other columns");
    assert_int_equal(add(x, &a, &version, &existing), ERR_WRONG_STATE);
}

static void numbers_are_given_once(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("m", "a"), b = model_of("m", "b");
    struct store_model *list;
    uint64_t version;
    bool existing;
    size_t n;
    add_new(x, &a);
    add_new(x, &b);
    fx_ok(x, take(x, "m", 2));
    assert_int_equal(take(x, "m", 2), ERR_NOT_FOUND);
    assert_int_equal(take(x, "nobody", 0), ERR_NOT_FOUND);
    assert_int_equal(add_new(x, &b), 3);
    b.version = 2;
    assert_int_equal(add(x, &b, &version, &existing), ERR_WRONG_STATE);
    fx_ok(x, take(x, "m", 0));
    fx_ok(x, store_model_list(x->s, &x->arena, &list, &n, &x->e));
    assert_int_equal(n, 0);
    fx_reopen(x);
    assert_int_equal(add_new(x, &a), 4);
}

static void blobs_of_models_are_needed(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("m", "a");
    struct blob_name names[3] = {a.blob};
    bool needed[3];
    assert_true(blob_hash_of("sample", 6, &names[1]));
    assert_true(blob_hash_of("nobody's", 8, &names[2]));
    a.has_sample = true;
    a.sample = names[1];
    add_new(x, &a);
    fx_ok(x, store_blob_needed(x->s, names, 3, needed, &x->e));
    assert_true(needed[0] && needed[1] && !needed[2]);
    fx_ok(x, take(x, "m", 1));
    fx_ok(x, store_blob_needed(x->s, names, 3, needed, &x->e));
    assert_false(needed[0] || needed[1] || needed[2]);
}

static void models_are_bounded(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("m", "a");
    uint64_t version;
    bool existing;
    fx_begin(x);
    for (a.version = 1; a.version <= STORE_MODELS_MAX; a.version++)
        fx_ok(x, store_model_add(x->s, &a, &version, &existing, &x->e));
    assert_int_equal(store_model_add(x->s, &a, &version, &existing, &x->e), ERR_LIMIT);
    fx_commit(x);
    fx_ok(x, take(x, "m", 1));
    assert_int_equal(add_new(x, &a), STORE_MODELS_MAX + 1);
}

static void a_rollback_takes_them_back(void **state)
{
    struct fx *x = *state;
    struct store_model a = model_of("m", "a"), *list;
    uint64_t version;
    bool existing;
    size_t n;
    fx_begin(x);
    fx_ok(x, store_model_add(x->s, &a, &version, &existing, &x->e));
    store_rollback(x->s);
    fx_ok(x, store_model_list(x->s, &x->arena, &list, &n, &x->e));
    assert_int_equal(n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fx_setup, fx_teardown)
const struct CMUnitTest conformance_models[] = {
    TEST(versions_count_from_one), TEST(the_same_model_again_is_the_same_version),
    TEST(numbers_are_given_once),  TEST(blobs_of_models_are_needed),
    TEST(models_are_bounded),      TEST(a_rollback_takes_them_back),
};
const size_t conformance_models_n = ARRAY_LEN(conformance_models);
