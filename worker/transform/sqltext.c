#include "sqltext.h"

#include <pthread.h>

#include "common/utf8.h"

struct task {
    void (*f)(void *user);
    void *user;
};

static void *run_task(void *arg)
{
    struct task *t = arg;
    t->f(t->user);
    return NULL;
}

int sqltext_with_stack(void (*f)(void *user), void *user, struct error *e)
{
    pthread_attr_t attr;
    pthread_t thread;
    struct task t = {f, user};
    if (pthread_attr_init(&attr) != 0)
        return error_set(e, ERR_NOMEM, "a thread to parse SQL");
    int rc = pthread_attr_setstacksize(&attr, SQLTEXT_STACK_BYTES);
    if (rc == 0)
        rc = pthread_create(&thread, &attr, run_task, &t);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return error_set(e, ERR_NOMEM, "a thread to parse SQL");
    pthread_join(thread, NULL);
    return ERR_OK;
}

unsigned sqltext_character(struct span sql, size_t offset)
{
    unsigned n = 1;
    for (size_t i = 0; i < MIN(offset, sql.len); i++)
        n += ((uint8_t)sql.p[i] & 0xc0) != 0x80;
    return n;
}

static int parse_error(struct span sql, const PgQueryError *wrong, struct error *e)
{
    /* The parser counts characters, from 1; its tree has offsets in bytes. */
    unsigned at =
        wrong->cursorpos > 0 ? (unsigned)wrong->cursorpos : sqltext_character(sql, sql.len);
    return error_set(e, ERR_INVALID_SPEC, "sql, character %u: %s", at, wrong->message);
}

static int check_statement(const PgQuery__ParseResult *tree, struct span sql, struct error *e)
{
    if (tree->n_stmts == 0)
        return error_set(e, ERR_INVALID_SPEC, "sql: a SELECT statement is wanted here");
    if (tree->n_stmts > 1)
        return error_set(e, ERR_INVALID_SPEC, "sql, character %u: one statement is allowed",
                         sqltext_character(sql, (size_t)tree->stmts[1]->stmt_location));
    const PgQuery__Node *stmt = tree->stmts[0]->stmt;
    if (!stmt || stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
        return error_set(e, ERR_INVALID_SPEC, "sql, character 1: only SELECT is allowed");
    return ERR_OK;
}

/* The library says no more than that it failed: whether memory was the reason is noted here. */
static void *take(void *nomem, size_t n)
{
    void *p = malloc(n);
    if (!p)
        *(bool *)nomem = true;
    return p;
}

static void give(void *nomem UNUSED, void *p)
{
    free(p);
}

static int read_tree(PgQueryProtobuf packed, PgQuery__ParseResult **ret, struct error *e)
{
    bool nomem = false;
    ProtobufCAllocator allocator = {take, give, &nomem};
    *ret = pg_query__parse_result__unpack(&allocator, packed.len, (const uint8_t *)packed.data);
    if (*ret)
        return ERR_OK;
    return nomem ? error_set(e, ERR_NOMEM, "sql")
                 : error_set(e, ERR_INVALID_SPEC, "sql: nested too deeply");
}

int sqltext_parse(struct span sql, PgQuery__ParseResult **ret, struct error *e)
{
    if (sql.len > SQLTEXT_BYTES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "sql: more than %d bytes", SQLTEXT_BYTES_MAX);
    size_t valid = utf8_valid_prefix(sql);
    const char *nul = memchr(sql.p, '\0', sql.len);
    if (valid < sql.len || nul)
        return error_set(e, ERR_INVALID_SPEC, "sql, character %u: not UTF-8 text",
                         sqltext_character(sql, nul ? (size_t)(nul - sql.p) : valid));
    char *text = strndup(sql.p, sql.len);
    if (!text)
        return error_set(e, ERR_NOMEM, "sql");
    PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(text);
    free(text);
    int rc = ERR_OK;
    PgQuery__ParseResult *tree = NULL;
    if (parsed.error)
        rc = parse_error(sql, parsed.error, e);
    else if ((rc = read_tree(parsed.parse_tree, &tree, e)) == ERR_OK)
        rc = check_statement(tree, sql, e);
    pg_query_free_protobuf_parse_result(parsed);
    if (rc)
        sqltext_free(tree);
    else
        *ret = tree;
    return rc;
}

void sqltext_free(PgQuery__ParseResult *tree)
{
    if (tree)
        pg_query__parse_result__free_unpacked(tree, NULL);
}
