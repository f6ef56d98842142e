/*
 * blob.c: SHA-256 is OpenSSL's, which uses the processor's own instructions where there are some:
 * three to five times as fast as plain C, and slices of large files pass through it twice.
 */
#include "blob.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct blob_hash {
    EVP_MD_CTX *context;
};

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int blob_name_parse(struct span text, struct blob_name *ret, struct error *e)
{
    struct blob_name name;
    bool good = text.len == BLOB_TEXT_LEN;
    for (size_t i = 0; i < BLOB_NAME_BYTES && good; i++) {
        int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);
        good = high >= 0 && low >= 0;
        name.v[i] = (uint8_t)(((unsigned)high << 4 | (unsigned)low) & 0xff);
    }
    if (!good)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "\"%.*s\" is not the name of a blob: %d digits of lower-case hex, the "
                         "SHA-256 of its bytes",
                         (int)MIN(text.len, (size_t)80), text.p ? text.p : "", BLOB_TEXT_LEN);
    *ret = name;
    return ERR_OK;
}

bool blob_name_read(struct span bytes, struct blob_name *ret)
{
    if (bytes.len != sizeof(ret->v))
        return false;
    memcpy(ret->v, bytes.p, sizeof(ret->v));
    return true;
}

const char *blob_name_text(const struct blob_name *name, char ret[BLOB_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < BLOB_NAME_BYTES; i++) {
        ret[2 * i] = digits[name->v[i] >> 4];
        ret[2 * i + 1] = digits[name->v[i] & 15];
    }
    ret[BLOB_TEXT_LEN] = 0;
    return ret;
}

struct blob_hash *blob_hash_new(void)
{
    struct blob_hash *h = calloc(1, sizeof(*h));
    if (h)
        h->context = EVP_MD_CTX_new();
    if (!h || !h->context || EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1) {
        blob_hash_free(h);
        return NULL;
    }
    return h;
}

void blob_hash_add(struct blob_hash *h, const void *p, size_t n)
{
    int done = EVP_DigestUpdate(h->context, p, n);
    assert(done == 1);
}

void blob_hash_end(struct blob_hash *h, struct blob_name *ret)
{
    int done = EVP_DigestFinal_ex(h->context, ret->v, NULL);
    assert(done == 1);
}

void blob_hash_free(struct blob_hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->context);
    free(h);
}

bool blob_hash_of(const void *p, size_t n, struct blob_name *ret)
{
    return EVP_Digest(p, n, ret->v, NULL, EVP_sha256(), NULL) == 1;
}
