/*
 * csvindex_body.h: the pass of csvindex.h for one instruction set. The including file defines
 * CSVINDEX_NAME, CSVINDEX_TARGET (the attribute), CSVINDEX_MASKS(p, x, m), which fills the masks of
 * 64 bytes, CSVINDEX_RANKS(bits, among), which says at which places of `among` the `bits` are, and
 * CSVINDEX_LIST(to, base, bits), which writes base plus the place of each bit and returns the end.
 * It is included once for each set, hence without a guard.
 */

CSVINDEX_TARGET static void CSVINDEX_NAME(struct csvindex *x)
{
    uint32_t *ends = x->ends, *rows = x->rows;
    uint64_t inside = 0, odd = 0; /* all ones while inside quotes; bytes that are not plain */
    size_t n_quotes = 0, n_inner_lines = 0;
    for (size_t at = 0; at < x->n; at += CSVINDEX_STEP) {
        struct masks m;
        CSVINDEX_MASKS(x->data + at, x, &m);
        if (x->n - at < CSVINDEX_STEP) {
            uint64_t valid = (UINT64_C(1) << (x->n - at)) - 1;
            m.quote &= valid;
            m.delimiter &= valid;
            m.newline &= valid;
            m.odd &= valid;
        }
        odd |= m.odd;
        x->quotes[at / 64] = m.quote;
        uint64_t quoted = inside;
        if (m.quote) {
            n_quotes += (size_t)__builtin_popcountll(m.quote);
            quoted ^= prefix_xor(m.quote);
            inside = (uint64_t)((int64_t)quoted >> 63);
        }
        n_inner_lines += (size_t)__builtin_popcountll(m.newline & quoted);
        uint64_t newline = m.newline & ~quoted;
        uint64_t sep = (m.delimiter & ~quoted) | newline;
        rows = CSVINDEX_LIST(rows, (uint32_t)(ends - x->ends), CSVINDEX_RANKS(newline, sep));
        ends = CSVINDEX_LIST(ends, (uint32_t)at, sep);
    }
    x->n_ends = (size_t)(ends - x->ends);
    x->n_rows = (size_t)(rows - x->rows);
    x->n_quotes = n_quotes;
    x->n_inner_lines = n_inner_lines;
    x->plain = odd == 0;
    x->in_quote = inside != 0;
}

#undef CSVINDEX_NAME
#undef CSVINDEX_TARGET
#undef CSVINDEX_MASKS
#undef CSVINDEX_RANKS
#undef CSVINDEX_LIST
