#include "capture.h"

#include <arpa/inet.h>

enum { ROWS = 1024 /* of a batch */ };

/* ---- columns: name, and the value of the flow f ---- */

#define SERIES(X, name, unit, s)                                                                   \
    X(name##_min##unit, FLOAT64, (s)->min)                                                         \
    X(name##_max##unit, FLOAT64, (s)->max)                                                         \
    X(name##_mean##unit, FLOAT64, (s)->mean)                                                       \
    X(name##_std##unit, FLOAT64, flow_deviation(s))

#define SIDE(X, side, s)                                                                           \
    X(side##_packets, INT64, (int64_t)(s)->packets)                                                \
    X(side##_bytes, INT64, (int64_t)(s)->bytes)                                                    \
    X(side##_header_bytes, INT64, (int64_t)(s)->header_bytes)                                      \
    X(side##_header_min_bytes, INT64, (int64_t)(s)->header_min_bytes)                              \
    X(side##_payload_bytes, INT64, (int64_t)(s)->payload_bytes)                                    \
    X(side##_data_packets, INT64, (int64_t)(s)->data_packets)                                      \
    X(side##_init_window_bytes, WINDOW, (s)->window)                                               \
    X(side##_psh_count, INT64, (int64_t)(s)->psh)                                                  \
    X(side##_urg_count, INT64, (int64_t)(s)->urg)                                                  \
    X(side##_packets_per_s, FLOAT64, ratio((double)(s)->packets, duration_s(f)))                   \
    X(side##_bytes_per_s, FLOAT64, ratio((double)(s)->bytes, duration_s(f)))                       \
    SERIES(X, side##_len, _bytes, &(s)->lengths)                                                   \
    X(side##_iat_total_s, FLOAT64, (s)->gaps_s.mean *(double)(s)->gaps_s.n)                        \
    SERIES(X, side##_iat, _s, &(s)->gaps_s)

#define COLUMNS(X)                                                                                 \
    X(start_s, FLOAT64, seconds(f->first_ns))                                                      \
    X(end_s, FLOAT64, seconds(f->last_ns))                                                         \
    X(duration_s, FLOAT64, duration_s(f))                                                          \
    X(end_reason, TEXT, span_str(flow_end_name(f->end)))                                           \
    X(src_addr, TEXT, address(f, &f->from, text))                                                  \
    X(src_port, INT64, f->from.port)                                                               \
    X(dst_addr, TEXT, address(f, &f->to, text))                                                    \
    X(dst_port, INT64, f->to.port)                                                                 \
    X(ip_version, INT64, f->version)                                                               \
    X(protocol, INT64, f->protocol)                                                                \
    X(packets, INT64, (int64_t)(f->forward.packets + f->backward.packets))                         \
    X(bytes, INT64, (int64_t)(f->forward.bytes + f->backward.bytes))                               \
    X(packets_per_s, FLOAT64, ratio((double)f->lengths.n, duration_s(f)))                          \
    X(bytes_per_s, FLOAT64, ratio((double)(f->forward.bytes + f->backward.bytes), duration_s(f)))  \
    X(down_up_ratio, FLOAT64, ratio((double)f->backward.packets, (double)f->forward.packets))      \
    SERIES(X, len, _bytes, &f->lengths)                                                            \
    SERIES(X, iat, _s, &f->gaps_s)                                                                 \
    SERIES(X, active, _s, &f->periods_s)                                                           \
    SERIES(X, idle, _s, &f->pauses_s)                                                              \
    X(fin_count, INT64, (int64_t)f->fin)                                                           \
    X(syn_count, INT64, (int64_t)f->syn)                                                           \
    X(rst_count, INT64, (int64_t)f->rst)                                                           \
    X(psh_count, INT64, (int64_t)f->psh)                                                           \
    X(ack_count, INT64, (int64_t)f->ack)                                                           \
    X(urg_count, INT64, (int64_t)f->urg)                                                           \
    X(ece_count, INT64, (int64_t)f->ece)                                                           \
    X(cwr_count, INT64, (int64_t)f->cwr)                                                           \
    X(fragments, INT64, (int64_t)f->fragments)                                                     \
    SIDE(X, fwd, &f->forward)                                                                      \
    SIDE(X, bwd, &f->backward)

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static double duration_s(const struct flow *f)
{
    return seconds(f->last_ns - f->first_ns);
}

/* 0 where there is nothing to divide by: a flow of one packet has no rate. */
static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static struct span address(const struct flow *f, const struct packet_end *end,
                           char text[INET6_ADDRSTRLEN])
{
    return span_str(
        inet_ntop(f->version == 4 ? AF_INET : AF_INET6, end->address, text, INET6_ADDRSTRLEN));
}

static void put_INT64(struct batch *b, size_t column, int64_t v)
{
    batch_i64(b, column, v);
}

static void put_FLOAT64(struct batch *b, size_t column, double v)
{
    batch_f64(b, column, v);
}

static void put_TEXT(struct batch *b, size_t column, struct span v)
{
    batch_text(b, column, v);
}

static void put_WINDOW(struct batch *b, size_t column, int32_t v)
{
    if (v < 0)
        batch_null(b, column);
    else
        batch_i64(b, column, v);
}

#define COL_WINDOW COL_INT64

struct batch *capture_columns(void)
{
    static const struct {
        const char *name;
        enum col_type type;
    } columns[] = {
#define X(name, type, value) {#name, COL_##type},
        COLUMNS(X)
#undef X
    };
    struct batch *b = batch_new();
    for (size_t i = 0; b && i < ARRAY_LEN(columns); i++) {
        if (batch_add_column(b, columns[i].name, columns[i].type)) {
            batch_free(b);
            return NULL;
        }
    }
    return b;
}

static void put_flow(struct batch *b, const struct flow *f)
{
    char text[INET6_ADDRSTRLEN];
    size_t column = 0;
#define X(name, type, value) put_##type(b, column++, value);
    COLUMNS(X)
#undef X
    batch_row_end(b);
}

/* ---- reading ---- */

struct capture {
    capture_rows_fn *rows;
    void *user;
    struct batch *batch;
    bool enough;
};

static int give(struct capture *c, struct error *e)
{
    if (!batch_ok(c->batch))
        return error_set(e, ERR_NOMEM, "the flows of a capture");
    int rc = c->batch->n_rows > 0 ? c->rows(c->user, c->batch, &c->enough, e) : ERR_OK;
    batch_clear(c->batch);
    return rc;
}

static int on_flow(void *user, const struct flow *f, struct error *e)
{
    struct capture *c = user;
    if (c->enough)
        return ERR_OK;
    put_flow(c->batch, f);
    return c->batch->n_rows == ROWS ? give(c, e) : ERR_OK;
}

static int read_packets(struct pcap *source, struct flows *flows, const struct capture *c,
                        struct capture_counts *counts, struct error *e)
{
    struct pcap_packet raw;
    struct packet packet;
    bool more = true;
    int rc = ERR_OK;
    while (!c->enough) {
        rc = pcap_next(source, &raw, &more, e);
        if (rc || !more)
            break;
        bool known = packet_read(&raw, &packet);
        if (known)
            rc = flows_add(flows, &packet, &known, e);
        if (rc)
            break;
        counts->packets++;
        counts->skipped += !known;
    }
    counts->cut = pcap_cut(source);
    return rc;
}

int capture_read(const struct capture_options *o, csv_read_fn *read, void *read_user,
                 capture_rows_fn *rows, void *rows_user, struct capture_counts *ret,
                 struct error *e)
{
    struct capture c = {.rows = rows, .user = rows_user, .batch = capture_columns()};
    struct pcap *source = NULL;
    struct flows *flows = NULL;
    int rc = c.batch ? ERR_OK : error_set(e, ERR_NOMEM, "the flows of a capture");
    *ret = (struct capture_counts){0};
    if (rc == ERR_OK)
        rc = pcap_new(read, read_user, &source, e);
    if (rc == ERR_OK)
        rc = flows_new(o->idle_s, o->active_s, o->table_max, on_flow, &c, &flows, e);
    if (rc == ERR_OK)
        rc = read_packets(source, flows, &c, ret, e);
    if (rc == ERR_OK)
        rc = flows_end(flows, e);
    if (rc == ERR_OK && !c.enough)
        rc = give(&c, e);
    flows_free(flows);
    pcap_free(source);
    batch_free(c.batch);
    return rc;
}
