/*
 * blob.h: the name of a blob, which is the SHA-256 of its bytes, and the limits of blobs that
 * clients, coordinator and workers share.
 *
 * It holds no bytes of blobs and does no I/O.
 *
 * Thread rule: pure functions; a struct blob_hash belongs to one thread at a time.
 */
#ifndef DROVER_BLOB_H
#define DROVER_BLOB_H

#include "err.h"

enum {
    BLOB_MAX_MIB = 2048, /* one blob */
    BLOB_NAME_BYTES = 32,
    BLOB_TEXT_LEN = 64,            /* of a name as text, without the NUL */
    BLOB_CHUNK_BYTES = 1024 * 1024 /* of a blob in one message at most */
};

#define BLOB_BYTES_MAX ((uint64_t)BLOB_MAX_MIB << 20)

struct blob_name {
    uint8_t v[BLOB_NAME_BYTES];
};

/* 64 digits of lower-case hex. INVALID_ARGUMENT. */
int blob_name_parse(struct span text, struct blob_name *ret, struct error *e) MUST_CHECK;
/* From its 32 bytes; false when there are more or fewer. */
bool blob_name_read(struct span bytes, struct blob_name *ret) MUST_CHECK;
const char *blob_name_text(const struct blob_name *name, char ret[BLOB_TEXT_LEN + 1]);

static inline struct span blob_name_span(const struct blob_name *name)
{
    return (struct span){(const char *)name->v, sizeof(name->v)};
}

static inline bool blob_name_eq(const struct blob_name *a, const struct blob_name *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* For hash tables: the name is as good as random. */
static inline uint64_t blob_name_hash(const struct blob_name *name)
{
    uint64_t h;
    memcpy(&h, name->v, sizeof(h));
    return h;
}

/* The SHA-256 of bytes that come piece by piece. */
struct blob_hash;
struct blob_hash *blob_hash_new(void) MUST_CHECK; /* NULL: no memory */
void blob_hash_add(struct blob_hash *h, const void *p, size_t n);
void blob_hash_end(struct blob_hash *h, struct blob_name *ret); /* nothing may be added after it */
void blob_hash_free(struct blob_hash *h);
/* Of bytes that are all here. False: no memory. */
bool blob_hash_of(const void *p, size_t n, struct blob_name *ret) MUST_CHECK;

#endif
