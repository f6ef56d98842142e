/* verbs_blob.c: blobs on the way in, piece by piece, and which are there. */
#include "verbs.h"

#include "common/pack.h"
#include "common/unpack.h"
#include "coordinator/edge/blobs.h"

/* ---- blob.have ---- */

int verbs_blob_have(struct call *c, struct error *error)
{
    struct unpack u;
    int rc = front_need(c->args.shas.p, "shas", error);
    if (rc)
        return rc;
    unpack_init(&u, c->args.shas.p, c->args.shas.len);
    size_t n = unpack_array(&u), n_missing = 0;
    if (n > FRONT_BLOBS_MAX)
        return error_set(error, ERR_PAYLOAD_TOO_LARGE, "%zu names; at most %d, ask again", n,
                         FRONT_BLOBS_MAX);
    struct span *missing = arena_alloc(&c->arena, MAX(n, (size_t)1) * sizeof(*missing));
    if (!missing)
        return error_set(error, ERR_NOMEM, "no memory for the request");
    for (size_t i = 0; i < n; i++) {
        struct blob_name name;
        if (unpack_peek(&u) != UNPACK_STR)
            return error_set(error, ERR_INVALID_ARGUMENT, "shas[%zu] is not a text", i);
        struct span text = unpack_str(&u);
        rc = blob_name_parse(text, &name, error);
        if (rc)
            return rc;
        if (!blobs_has(c->edge->blobs, &name, NULL))
            missing[n_missing++] = text;
    }
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "missing");
    pack_array(out, n_missing);
    for (size_t i = 0; i < n_missing; i++)
        pack_str(out, missing[i]);
    front_send(c);
    return ERR_OK;
}

/* ---- blob.put ---- */

static void reply_put(struct call *c)
{
    struct buf *out = front_reply(c);
    pack_map(out, 2);
    pack_cstr(out, "bytes");
    pack_u64(out, c->blob.put.bytes);
    pack_cstr(out, "whole");
    pack_bool(out, c->blob.put.whole);
    front_send(c);
}

static void put_done(struct blob_request *r, void *user)
{
    struct call *c = CONTAINER_OF(r, struct call, blob);
    (void)user;
    blobs_put_done(c->edge->blobs, r);
    if (r->rc && c->edge->stopping) /* without an answer the client sends it to the next process */
        front_free(c);
    else if (r->rc)
        front_fail(c, r->rc, r->error.detail);
    else
        reply_put(c);
}

static int check_put(const struct front_args *a, struct error *error)
{
    int rc = front_need(a->sha.p, "sha", error);
    if (rc == 0)
        rc = front_need(a->data.p || a->total == 0, "data", error);
    if (rc)
        return rc;
    if (a->total > BLOB_BYTES_MAX)
        return error_set(error, ERR_PAYLOAD_TOO_LARGE,
                         "a blob of %llu bytes; the limit is %llu: cut it into several",
                         (unsigned long long)a->total, (unsigned long long)BLOB_BYTES_MAX);
    if (a->data.len > BLOB_CHUNK_BYTES)
        return error_set(error, ERR_PAYLOAD_TOO_LARGE, "a piece of %zu bytes; the limit is %d",
                         a->data.len, BLOB_CHUNK_BYTES);
    if (a->offset > a->total || a->data.len > a->total - a->offset)
        return error_set(error, ERR_INVALID_ARGUMENT,
                         "a piece of %zu bytes at %llu passes the end of the blob, %llu",
                         a->data.len, (unsigned long long)a->offset, (unsigned long long)a->total);
    return 0;
}

int verbs_blob_put(struct call *c, struct error *error)
{
    bool now = false;
    int rc = check_put(&c->args, error);
    if (rc == 0)
        rc = blob_name_parse(c->args.sha, &c->blob.name, error);
    if (rc)
        return rc;
    c->blob.offset = c->args.offset;
    c->blob.total = c->args.total;
    c->blob.data = c->args.data;
    c->blob.done = put_done;
    rc = blobs_put(c->edge->blobs, &c->blob, &now, error);
    if (rc == 0 && now)
        reply_put(c);
    return rc;
}
