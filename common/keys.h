/*
 * keys.h: CURVE key pairs in files, and the list of keys that are allowed in.
 *
 * A secret key file (mode 0600) has the lines "public = Z85" and "secret = Z85"; beside it PATH.pub has
 * the first alone. The list of authorized keys is a text file with lines "role name public-key".
 * Lines that begin with # are comments. Secrets are never logged or sent.
 *
 * Thread rule: pure functions and file access from any thread; a struct keys_allow may be shared by
 * threads (the transport's authenticator reads it while the owner changes it).
 */
#ifndef DROVER_KEYS_H
#define DROVER_KEYS_H

#include "err.h"

enum {
    KEYS_Z85_LEN = 40,  /* of a 32-byte key in Z85 (ZeroMQ RFC 32) */
    KEYS_NAME_MAX = 64, /* of a name: [A-Za-z0-9._-]{1,64} */
    KEYS_LIST_MAX = 100000
};

/* As bits, so that a socket can accept several. */
enum keys_role { KEYS_WORKER = 1, KEYS_CLIENT = 2, KEYS_ADMIN = 4 };

struct keys_pair {
    char public_z85[KEYS_Z85_LEN + 1];
    char secret_z85[KEYS_Z85_LEN + 1];
};

const char *keys_role_name(enum keys_role role); /* "worker", ... */
bool keys_role_parse(struct span text, enum keys_role *ret);
bool keys_name_valid(struct span name);
bool keys_public_valid(struct span z85); /* 40 characters of Z85 */

int keys_generate(struct keys_pair *ret, struct error *e) MUST_CHECK;

/* Writes PATH and PATH.pub. A file that exists is not overwritten: WRONG_STATE. */
int keys_save(const char *path, const struct keys_pair *pair, struct error *e) MUST_CHECK;

/* Reads a secret key file. CONFIG when it is not one, when the halves do not belong together, or when
 * others than its owner and group can read it. NOT_FOUND when there is none. */
int keys_load(const char *path, struct keys_pair *ret, struct error *e) MUST_CHECK;

/* The public key from PATH (a .pub file or a secret key file), or from the Z85 text itself. */
int keys_load_public(const char *path_or_z85, char ret[KEYS_Z85_LEN + 1],
                     struct error *e) MUST_CHECK;

/* ---- the list ---- */

struct keys_entry {
    enum keys_role role;
    char name[KEYS_NAME_MAX + 1];
    char public_z85[KEYS_Z85_LEN + 1];
};

struct keys_allow;

/* Opens the list; a file that does not exist yet is an empty one. CONFIG names the bad line. */
int keys_allow_open(const char *path, struct keys_allow **ret, struct error *e) MUST_CHECK;
void keys_allow_free(struct keys_allow *a);

/* Reads the file again when it changed; on an error the list stays as it was. */
int keys_allow_reload(struct keys_allow *a, struct error *e) MUST_CHECK;

/* Adds or revokes and writes the file (temporary, fsync, rename, fsync of the folder) under a lock
 * that other processes respect. ADD: a key that is there with the same role and name is fine; with
 * another, DUPLICATE is INVALID_ARGUMENT. REVOKE: by name, by public key, or both (NULL: any); the
 * number removed; NOT_FOUND when there was none. */
int keys_allow_add(struct keys_allow *a, const struct keys_entry *entry,
                   struct error *e) MUST_CHECK;
int keys_allow_revoke(struct keys_allow *a, const char *name, const char *public_z85, size_t *ret_n,
                      struct error *e) MUST_CHECK;

/* Who has this public key. Follows changes of the file. */
bool keys_allow_find(struct keys_allow *a, const char *public_z85, struct keys_entry *ret);

/* True while a key of this role and name is in the list: after a revoke, whether a connection that
 * was let in earlier may stay. */
bool keys_allow_named(struct keys_allow *a, enum keys_role role, struct span name);

/* A copy of the list, which the caller frees. NULL with *ret_n 0 when empty or out of memory. */
struct keys_entry *keys_allow_list(struct keys_allow *a, size_t *ret_n);

#endif
