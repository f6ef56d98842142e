#include "trust.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "ca_bundle.h"
#include "ca_store.h"

struct trust {
    X509_STORE *store; /* NULL: the bundle was not needed yet */
};

int trust_new(const char *ca_file, struct trust **ret, struct error *e)
{
    struct trust *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, ERR_NOMEM, "no memory for the certificate store");
    if (ca_file) {
        t->store = X509_STORE_new();
        if (!t->store || X509_STORE_load_file(t->store, ca_file) != 1) {
            ERR_clear_error();
            trust_free(t);
            return error_set(e, ERR_CONFIG, "ca_file %.300s: cannot be read as PEM certificates",
                             ca_file);
        }
    }
    *ret = t;
    return ERR_OK;
}

void trust_free(struct trust *t)
{
    if (!t)
        return;
    X509_STORE_free(t->store);
    free(t);
}

bool trust_apply(struct trust *t, void *ssl_ctx)
{
    if (!t->store)
        t->store = ca_store_read(drover_ca_bundle, drover_ca_bundle_len);
    if (!t->store)
        return false;
    SSL_CTX_set1_cert_store(ssl_ctx, t->store);
    return true;
}
