/*
 * ca_store.h: certification authorities as OpenSSL's store of trust.
 *
 * Thread rule: a pure function.
 */
#ifndef DROVER_CA_STORE_H
#define DROVER_CA_STORE_H

#include <openssl/types.h>
#include <stddef.h>

/* The certificates of a PEM text; NULL: there is none in it, or no memory. The caller's to free. */
X509_STORE *ca_store_read(const void *pem, size_t len);

#endif
