#include "ca_store.h"

#include <openssl/err.h>
#include <openssl/pem.h>

X509_STORE *ca_store_read(const void *pem, size_t len)
{
    X509_STORE *store = X509_STORE_new();
    BIO *in = BIO_new_mem_buf(pem, (int)len);
    size_t n = 0;
    while (store && in) {
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (!cert)
            break;
        n += X509_STORE_add_cert(store, cert) == 1;
        X509_free(cert);
    }
    ERR_clear_error(); /* the end of the text counts as an error */
    BIO_free(in);
    if (n > 0)
        return store;
    X509_STORE_free(store);
    return NULL;
}
