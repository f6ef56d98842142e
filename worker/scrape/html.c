#include "html.h"

#include <lexbor/html/html.h>

#include "value.h"

enum {
    ERRORS_KEPT = 64,        /* lexbor keeps a record of every parse error; nobody reads them */
    CHUNK_BYTES = 32 * 1024, /* parsed between two looks at the number of names */
    NODES_CHUNK_BYTES =
        512 * 1024, /* of lexbor's memory: what a page of 50 KB takes stays in one */
    TEXT_CHUNK_BYTES = 128 * 1024,
    TOKENS_PER_CHECK = 16 /* of the memory in use: one token makes 512 elements at most */
};

struct html {
    lxb_html_document_t *document;
    lxb_html_tokenizer_token_f build; /* the tree builder's own callback */
    void *build_user;
    bool truncated, full;
    uint32_t tokens;
};

/* At most so many attributes stay with the token. Looking for duplicates takes time quadratic in
 * their number. */
static bool cut_attributes(lxb_html_token_t *token)
{
    size_t n = 1;
    lxb_html_token_attr_t *attr = token->attr_first;
    while (attr && n < HTML_ATTRIBUTES_MAX) {
        attr = attr->next;
        n++;
    }
    if (!attr || !attr->next)
        return false;
    attr->next = NULL;
    token->attr_last = attr;
    return true;
}

static size_t memory_used(const lxb_html_document_t *d)
{
    const lexbor_mem_t *nodes = d->dom_document.mraw->mem, *text = d->dom_document.text->mem;
    return nodes->chunk_length * nodes->chunk_min_size + text->chunk_length * text->chunk_min_size;
}

/* Stands between the tokenizer and the tree builder. */
static lxb_html_token_t *on_token(lxb_html_tokenizer_t *tokenizer, lxb_html_token_t *token,
                                  void *user)
{
    struct html *h = user;
    lxb_html_tree_t *tree = tokenizer->tree;
    if (token->tag_id != LXB_TAG__END_OF_FILE) {
        bool start_tag =
            token->tag_id > LXB_TAG__EM_DOCTYPE && !(token->type & LXB_HTML_TOKEN_TYPE_CLOSE);
        bool too_deep = start_tag && lexbor_array_length(tree->open_elements) >= HTML_DEPTH_MAX;
        if (h->full || too_deep) {
            h->truncated = true;
            return token;
        }
    }
    if (token->attr_first && cut_attributes(token))
        h->truncated = true;
    token = h->build(tokenizer, token, h->build_user);
    if (lexbor_array_obj_length(tree->parse_errors) > ERRORS_KEPT)
        lexbor_array_obj_clean(tree->parse_errors);
    if (tokenizer->parse_errors && lexbor_array_obj_length(tokenizer->parse_errors) > ERRORS_KEPT)
        lexbor_array_obj_clean(tokenizer->parse_errors);
    if (++h->tokens % TOKENS_PER_CHECK == 0 &&
        memory_used(h->document) > (size_t)HTML_MEMORY_MAX_MIB << 20)
        h->full = true;
    return token;
}

/* Larger pieces than lexbor's 32 KB and 12 KB. The first one is kept for the next page, so that most
 * pages need no other; and after a change of pieces, each allocation searches the rests. */
static bool enlarge(lexbor_mraw_t *m, size_t chunk_bytes)
{
    lexbor_mraw_destroy(m, false);
    return lexbor_mraw_init(m, chunk_bytes) == LXB_STATUS_OK;
}

struct html *html_new(void)
{
    struct html *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->document = lxb_html_document_create();
    lxb_html_parser_t *parser = lxb_html_parser_create();
    if (!h->document || !parser || !enlarge(h->document->dom_document.mraw, NODES_CHUNK_BYTES) ||
        !enlarge(h->document->dom_document.text, TEXT_CHUNK_BYTES) ||
        lxb_html_parser_init(parser) != LXB_STATUS_OK) {
        lxb_html_parser_destroy(parser);
        html_free(h);
        return NULL;
    }
    h->document->dom_document.parser = parser; /* the document keeps and frees it */
    h->document->dom_document.options = LXB_DOM_DOCUMENT_OPT_WO_EVENTS; /* nobody listens to them */
    lxb_html_tokenizer_t *tokenizer = lxb_html_parser_tokenizer(parser);
    /* The tokenizer's own search for duplicates is quadratic. The first of two attributes is the one
     * that is found, as it should be. */
    tokenizer->opt |= LXB_HTML_TOKENIZER_OPT_ATTR_KEEP_DUPLICATE;
    h->build = tokenizer->callback_token_done;
    h->build_user = tokenizer->callback_token_ctx;
    lxb_html_tokenizer_callback_token_done_set(tokenizer, on_token, h);
    return h;
}

void html_free(struct html *h)
{
    if (!h)
        return;
    if (h->document)
        lxb_html_document_destroy(h->document);
    free(h);
}

/* lexbor's tables of names do not grow, so each new name costs a search through many others. */
static bool too_many_names(const lxb_html_document_t *d)
{
    return lexbor_hash_entries_count(d->dom_document.attrs) > HTML_NAMES_MAX ||
           lexbor_hash_entries_count(d->dom_document.tags) > HTML_NAMES_MAX;
}

bool html_parse(struct html *h, struct span text)
{
    h->truncated = h->full = false;
    lxb_html_document_clean(h->document);
    lxb_status_t status = lxb_html_document_parse_chunk_begin(h->document);
    while (status == LXB_STATUS_OK && text.len > 0 && !h->full) {
        size_t n = MIN(text.len, (size_t)CHUNK_BYTES);
        status = lxb_html_document_parse_chunk(h->document, (const lxb_char_t *)text.p, n);
        text = (struct span){text.p + n, text.len - n};
        if (too_many_names(h->document))
            h->truncated = h->full = true;
    }
    return lxb_html_document_parse_chunk_end(h->document) == LXB_STATUS_OK &&
           status == LXB_STATUS_OK;
}

bool html_truncated(const struct html *h)
{
    return h->truncated;
}

lxb_dom_node_t *html_document(struct html *h)
{
    return lxb_dom_interface_node(h->document);
}

lxb_dom_node_t *html_head(struct html *h)
{
    return (lxb_dom_node_t *)lxb_html_document_head_element(h->document);
}

lxb_dom_node_t *html_body(struct html *h)
{
    return (lxb_dom_node_t *)lxb_html_document_body_element(h->document);
}

/* ---- text ---- */

/* Elements whose borders separate words as a reader sees them. */
static const bool separates[LXB_TAG__LAST_ENTRY] = {
    [LXB_TAG_ADDRESS] = true,    [LXB_TAG_ARTICLE] = true,    [LXB_TAG_ASIDE] = true,
    [LXB_TAG_BLOCKQUOTE] = true, [LXB_TAG_BODY] = true,       [LXB_TAG_BR] = true,
    [LXB_TAG_BUTTON] = true,     [LXB_TAG_CAPTION] = true,    [LXB_TAG_CENTER] = true,
    [LXB_TAG_DD] = true,         [LXB_TAG_DETAILS] = true,    [LXB_TAG_DIALOG] = true,
    [LXB_TAG_DIV] = true,        [LXB_TAG_DL] = true,         [LXB_TAG_DT] = true,
    [LXB_TAG_FIELDSET] = true,   [LXB_TAG_FIGCAPTION] = true, [LXB_TAG_FIGURE] = true,
    [LXB_TAG_FOOTER] = true,     [LXB_TAG_FORM] = true,       [LXB_TAG_H1] = true,
    [LXB_TAG_H2] = true,         [LXB_TAG_H3] = true,         [LXB_TAG_H4] = true,
    [LXB_TAG_H5] = true,         [LXB_TAG_H6] = true,         [LXB_TAG_HEAD] = true,
    [LXB_TAG_HEADER] = true,     [LXB_TAG_HR] = true,         [LXB_TAG_LEGEND] = true,
    [LXB_TAG_LI] = true,         [LXB_TAG_MAIN] = true,       [LXB_TAG_MENU] = true,
    [LXB_TAG_NAV] = true,        [LXB_TAG_OL] = true,         [LXB_TAG_OPTION] = true,
    [LXB_TAG_P] = true,          [LXB_TAG_PRE] = true,        [LXB_TAG_SECTION] = true,
    [LXB_TAG_SUMMARY] = true,    [LXB_TAG_TABLE] = true,      [LXB_TAG_TBODY] = true,
    [LXB_TAG_TD] = true,         [LXB_TAG_TEXTAREA] = true,   [LXB_TAG_TFOOT] = true,
    [LXB_TAG_TH] = true,         [LXB_TAG_THEAD] = true,      [LXB_TAG_TITLE] = true,
    [LXB_TAG_TR] = true,         [LXB_TAG_UL] = true,
};

static bool separator(const lxb_dom_node_t *n)
{
    return n->type == LXB_DOM_NODE_TYPE_ELEMENT && n->local_name < LXB_TAG__LAST_ENTRY &&
           separates[n->local_name];
}

static bool unseen(const lxb_dom_node_t *n)
{
    return n->type == LXB_DOM_NODE_TYPE_ELEMENT &&
           (n->local_name == LXB_TAG_SCRIPT || n->local_name == LXB_TAG_STYLE);
}

static bool ascii_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Appends s folded; *gap says whether white space came before. */
static void fold_text(struct span s, size_t start_len, bool *gap, struct buf *out)
{
    size_t i = 0;
    while (i < s.len) {
        size_t from = i, n = 0;
        while (i < s.len) {
            unsigned char c = (unsigned char)s.p[i];
            if (c < 0x80 ? ascii_space(c)
                         : (n = value_space((struct span){s.p + i, s.len - i})) > 0)
                break;
            i++;
        }
        if (i > from) {
            if (*gap && out->len > start_len)
                buf_byte(out, ' ');
            *gap = false;
            buf_append(out, s.p + from, i - from);
        }
        if (i < s.len) {
            *gap = true;
            i += n ? n : 1;
        }
    }
}

static struct span text_of(const lxb_dom_node_t *n)
{
    const lxb_dom_character_data_t *data = (const lxb_dom_character_data_t *)n;
    return (struct span){(const char *)data->data.data, data->data.length};
}

void html_text(lxb_dom_node_t *root, bool fold, bool own, struct buf *out)
{
    size_t start_len = out->len;
    bool gap = false;
    lxb_dom_node_t *n = root->first_child;
    while (n) {
        if (n->type == LXB_DOM_NODE_TYPE_TEXT) {
            if (fold)
                fold_text(text_of(n), start_len, &gap, out);
            else
                buf_append(out, text_of(n).p, text_of(n).len);
        }
        gap |= separator(n);
        if (n->first_child && !own && !(fold && unseen(n))) {
            n = n->first_child;
            continue;
        }
        while (n != root && !n->next) {
            n = n->parent;
            gap |= separator(n);
        }
        n = n == root ? NULL : n->next;
    }
}

static lxb_status_t append(const lxb_char_t *data, size_t len, void *user)
{
    struct buf *out = user;
    buf_append(out, data, len);
    return buf_ok(out) ? LXB_STATUS_OK : LXB_STATUS_STOP;
}

void html_serialize(lxb_dom_node_t *n, bool inner, struct buf *out)
{
    /* A buffer that is full ends it early; whoever gave the limit sees that in the buffer. */
    if (inner)
        (void)lxb_html_serialize_deep_cb(n, append, out);
    else
        (void)lxb_html_serialize_tree_cb(n, append, out);
}
