#include "redis_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "ca_bundle.h"
#include "ca_store.h"

enum { PIECE = 16 * 1024 }; /* a TLS record */

struct redis_tls {
    SSL_CTX *context;
};

struct redis_tls_stream {
    SSL *ssl; /* owns the two */
    BIO *in, *out;
    bool ready;
};

int redis_tls_new(const char *ca_pem, struct redis_tls **ret, struct error *e)
{
    const bool own = ca_pem && ca_pem[0];
    struct redis_tls *t = calloc(1, sizeof(*t));
    X509_STORE *store = own ? ca_store_read(ca_pem, strlen(ca_pem))
                            : ca_store_read(drover_ca_bundle, drover_ca_bundle_len);
    if (t)
        t->context = SSL_CTX_new(TLS_client_method());
    if (!t || !t->context || !store) {
        X509_STORE_free(store);
        redis_tls_free(t);
        ERR_clear_error();
        if (own && !store)
            return error_set(e, ERR_INVALID_ARGUMENT, "ca_file: there is no PEM certificate in it");
        return error_set(e, ERR_NOMEM, "no memory for TLS");
    }
    SSL_CTX_set_cert_store(t->context, store);
    SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
    SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS);
    *ret = t;
    return ERR_OK;
}

void redis_tls_free(struct redis_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int redis_tls_stream_new(struct redis_tls *t, const char *host, struct redis_tls_stream **ret,
                         struct error *e)
{
    struct redis_tls_stream *s = calloc(1, sizeof(*s));
    if (s)
        s->ssl = SSL_new(t->context);
    if (s && s->ssl) {
        s->in = BIO_new(BIO_s_mem());
        s->out = BIO_new(BIO_s_mem());
    }
    if (!s || !s->in || !s->out) {
        if (s) {
            BIO_free(s->in);
            BIO_free(s->out);
        }
        redis_tls_stream_free(s);
        return error_set(e, ERR_NOMEM, "no memory for TLS");
    }
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_connect_state(s->ssl);
    const bool known =
        is_address(host)
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host) == 1
            : SSL_set1_host(s->ssl, host) == 1 && SSL_set_tlsext_host_name(s->ssl, host) == 1;
    if (!known) { /* or any certificate would do */
        redis_tls_stream_free(s);
        return error_set(e, ERR_NOMEM, "no memory for TLS");
    }
    *ret = s;
    return ERR_OK;
}

void redis_tls_stream_free(struct redis_tls_stream *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

bool redis_tls_ready(const struct redis_tls_stream *s)
{
    return s->ready;
}

static int failed(const struct redis_tls_stream *s, const char *when, struct error *e)
{
    const long verify = SSL_get_verify_result(s->ssl);
    const unsigned long code = ERR_peek_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    if (verify != X509_V_OK)
        why = X509_verify_cert_error_string(verify);
    error_set(e, ERR_UNAVAILABLE, "TLS: %s%s: %s", when,
              verify != X509_V_OK ? ": the server's certificate is not trusted" : "",
              why ? why : "the server ended the connection");
    ERR_clear_error();
    return ERR_UNAVAILABLE;
}

/* Moves what OpenSSL wants to send. */
static int drain(struct redis_tls_stream *s, struct buf *wire, struct error *e)
{
    const size_t n = BIO_ctrl_pending(s->out);
    if (n == 0)
        return ERR_OK;
    uint8_t *room = buf_reserve(wire, n);
    if (!room || BIO_read(s->out, room, (int)n) != (int)n)
        return error_set(e, ERR_UNAVAILABLE, "no memory for TLS");
    wire->len += n;
    return ERR_OK;
}

/* Whether OpenSSL only waits for more bytes. */
static bool waits(const struct redis_tls_stream *s, int rc)
{
    const int why = SSL_get_error(s->ssl, rc);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

int redis_tls_take(struct redis_tls_stream *s, const void *p, size_t n, struct buf *plain,
                   struct buf *wire, struct error *e)
{
    int rc = ERR_OK;
    if (n > 0 && BIO_write(s->in, p, (int)n) != (int)n)
        return error_set(e, ERR_UNAVAILABLE, "no memory for TLS");
    ERR_clear_error();
    if (!s->ready) {
        const int done = SSL_do_handshake(s->ssl);
        if (done == 1)
            s->ready = true;
        else if (!waits(s, done))
            return failed(s, "handshake", e);
    }
    while (s->ready && rc == ERR_OK) {
        uint8_t *room = buf_reserve(plain, PIECE);
        if (!room)
            return error_set(e, ERR_UNAVAILABLE, "no memory for TLS");
        const int got = SSL_read(s->ssl, room, PIECE);
        if (got > 0)
            plain->len += (size_t)got;
        else if (waits(s, got))
            break;
        else
            rc = failed(s, "reading", e);
    }
    return rc == ERR_OK ? drain(s, wire, e) : rc;
}

int redis_tls_put(struct redis_tls_stream *s, const void *p, size_t n, struct buf *wire,
                  struct error *e)
{
    const char *at = p;
    ERR_clear_error();
    while (n > 0) {
        const size_t piece = MIN(n, (size_t)PIECE);
        if (SSL_write(s->ssl, at, (int)piece) != (int)piece)
            return failed(s, "writing", e);
        at += piece;
        n -= piece;
        const int rc = drain(s, wire, e);
        if (rc)
            return rc;
    }
    return ERR_OK;
}
