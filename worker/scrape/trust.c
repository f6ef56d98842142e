#include "trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "ca_bundle.h"

struct trust {
    X509_STORE *store; /* NULL: the bundle was not needed yet */
};

static X509_STORE *store_from_bundle(void)
{
    X509_STORE *store = X509_STORE_new();
    BIO *in = BIO_new_mem_buf(drover_ca_bundle, (int)drover_ca_bundle_len);
    size_t n = 0;
    while (store && in) {
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (!cert)
            break;
        n += X509_STORE_add_cert(store, cert) == 1;
        X509_free(cert);
    }
    ERR_clear_error(); /* the end of the bundle counts as an error */
    BIO_free(in);
    if (n > 0)
        return store;
    X509_STORE_free(store);
    return NULL;
}

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
        t->store = store_from_bundle();
    if (!t->store)
        return false;
    SSL_CTX_set1_cert_store(ssl_ctx, t->store);
    return true;
}
