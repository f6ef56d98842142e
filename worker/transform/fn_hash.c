/* fn_hash.c: md5 of a text, as hexadecimal digits. It tells values apart; it keeps no secret. */
#include <openssl/evp.h>

#include "fn.h"

enum { MD5_BYTES = 16 };

KERNEL(md5)
{
    static const char hex[] = "0123456789abcdef";
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    SEL_EACH(sel, i)
    {
        struct span s = args[0]->text[i];
        char *to = eval_room(v, (size_t)MD5_BYTES * 2);
        ok = ok && EVP_DigestUpdate(context, s.p, s.len) == 1 &&
             EVP_DigestFinal_ex(context, digest, &n) == 1 && n == MD5_BYTES &&
             EVP_DigestInit_ex(context, NULL, NULL) == 1; /* the same again */
        for (size_t k = 0; k < MD5_BYTES && ok; k++) {
            to[2 * k] = hex[digest[k] >> 4];
            to[2 * k + 1] = hex[digest[k] & 15];
        }
        out->text[i] = eval_keep(v, ok && !v->error ? (size_t)MD5_BYTES * 2 : 0);
    }
    if (!ok)
        v->error = ERR_NOMEM;
    out->ascii = true;
    EVP_MD_CTX_free(context);
}

static const struct func funcs[] = {
    FN1("md5", TEXT, TEXT, md5, "md5('drover')", "a3c2f6df0119df050a37f7e61691a19d"),
};

FN_TABLE(fn_hash_table, funcs);
