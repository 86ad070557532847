/* The routing table: times and bytes a record, at several sizes. One JSON object a line:
 * {"name","unit","ours"}.
 *
 *     bench_routing [RECORDS...]      default: 10000 1000000
 *
 * Records as in a real cluster: Ed25519 peer ids, host names of 25 characters, three metadata strings. Times
 * are CPU time of this process. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/prng.h"
#include "cluster/query.h"
#include "cluster/query_wire.h"
#include "p2p/multibase.h"

struct subject {
    uint8_t peer[38];
    char host[32], zone[16], role[16], shard[16];
    struct ww_bytes meta[3];
    struct ww_record_in in;
};

static size_t records;

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void report(const char *name, const char *unit, double value)
{
    printf("{\"name\":\"routing/%zu/%s\",\"unit\":\"%s\",\"ours\":%.4g}\n", records, name, unit, value);
    fflush(stdout);
}

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void subject_make(struct subject *s, uint64_t i)
{
    static const uint8_t ed25519[6] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
    struct ww_prng p;
    ww_prng_init(&p, i + 1);
    memcpy(s->peer, ed25519, sizeof ed25519);
    ww_prng_fill(&p, s->peer + 6, 32);
    snprintf(s->host, sizeof s->host, "node-%08u.example.net", (unsigned)i);
    snprintf(s->zone, sizeof s->zone, "zone=eu-%u", (unsigned)(i % 7));
    snprintf(s->role, sizeof s->role, "role=%s", i % 5 ? "worker" : "gateway");
    snprintf(s->shard, sizeof s->shard, "shard=%02u", (unsigned)(i % 100));
    s->meta[0] = ww_bytes_str(s->zone);
    s->meta[1] = ww_bytes_str(s->role);
    s->meta[2] = ww_bytes_str(s->shard);
    s->in = (struct ww_record_in){
        ww_bytes(s->peer, 38), ww_prng_u64(&p), 1, 10000, ww_bytes_str(s->host), s->meta, 3};
}

/* Heartbeats arrive in no order. */
static uint32_t *shuffled(size_t n)
{
    uint32_t *order = malloc(n * sizeof *order);
    struct ww_prng p;
    must(order);
    ww_prng_init(&p, 7);
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = ww_prng_below(&p, i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    return order;
}

static double renewals(
    struct ww_routing *t, struct subject *s, const uint32_t *order, size_t n, uint64_t now_ns)
{
    double start = now_s();
    for (size_t k = 0; k < n; k++) {
        struct ww_record_in *in = &s[order[k % records]].in;
        in->seq++;
        must(ww_routing_upsert(t, now_ns, in) == WW_UPSERT_RENEWED);
    }
    return (now_s() - start) / (double)n * 1e6;
}

static void bench_writes(struct ww_routing *t, struct subject *s, const uint32_t *order, size_t heap_before)
{
    size_t n = records < 500000 ? 500000 : records;
    double start = now_s();
    for (size_t i = 0; i < records; i++)
        must(ww_routing_upsert(t, 0, &s[i].in) == WW_UPSERT_JOINED);
    report("insert", "us", (now_s() - start) / (double)records * 1e6);
    report("memory", "B/record", (double)ww_routing_bytes(t) / (double)records);
    report("heap", "B/record",
        (double)(mallinfo2().uordblks + mallinfo2().hblkhd - heap_before) / (double)records);
    report("update", "us", renewals(t, s, order, n, WW_NS_PER_MS));
    struct ww_snapshot *snap = ww_routing_snapshot(t);
    report("update_beside_snapshot", "us", renewals(t, s, order, records, 2 * WW_NS_PER_MS));
    ww_snapshot_unref(snap);
    start = now_s();
    for (size_t k = 0; k < n; k++)
        must(ww_routing_upsert(t, 0, &s[order[k % records]].in) == WW_ESTALE);
    report("stale_refused", "us", (now_s() - start) / (double)n * 1e6);
    start = now_s();
    for (uint64_t k = 0; k < 1000; k++)
        must(ww_routing_advance(t, (3 + k) * WW_NS_PER_MS, 0) == 0);
    report("advance_nothing_due", "us", (now_s() - start) / 1000 * 1e6);
}

static void bench_lookups(struct ww_routing *t, const struct subject *s, const uint32_t *order)
{
    enum { N = 200000 };
    struct ww_snapshot *snap = ww_routing_snapshot(t);
    struct ww_record r;
    char(*ids)[64] = malloc(records * sizeof *ids);
    must(ids && snap);
    for (size_t i = 0; i < records; i++)
        must(ww_base58_encode(s[i].in.peer, ids[i], sizeof ids[i]) == 52);
    double start = now_s();
    for (size_t k = 0; k < N; k++)
        must(ww_routing_get(t, s[order[k % records]].in.peer, &r) == 0);
    report("lookup_peer", "us", (now_s() - start) / N * 1e6);
    for (int host = 0; host < 2; host++) {
        start = now_s();
        for (size_t k = 0; k < N; k++) {
            const struct subject *one = &s[order[k % records]];
            struct ww_scan scan = host ? ww_scan_exact(WW_INDEX_HOST, one->in.host)
                                       : ww_scan_exact(WW_INDEX_ID, ww_bytes(ids[order[k % records]], 52));
            struct ww_scan_iter it;
            ww_scan_init(&it, snap, &scan);
            must(ww_scan_next(&it, &r) && r.peer.len == 38);
            ww_scan_fini(&it);
        }
        report(host ? "lookup_host" : "lookup_id_text", "us", (now_s() - start) / N * 1e6);
    }
    free(ids);
    ww_snapshot_unref(snap);
}

static size_t scan_times(struct ww_snapshot *snap, struct ww_scan scan, size_t times)
{
    size_t seen = 0;
    for (size_t i = 0; i < times; i++) {
        struct ww_scan_iter it;
        struct ww_record r;
        ww_scan_init(&it, snap, &scan);
        while (ww_scan_next(&it, &r))
            seen += r.seq > 0;
        ww_scan_fini(&it);
    }
    return seen;
}

/* A query as a server runs it: planned, filtered, written in batches. */
static void bench_query(struct ww_snapshot *snap, size_t times)
{
    struct ww_query *q = ww_query_new();
    struct ww_batch_writer w;
    struct ww_msg msg;
    struct ww_record *rows = malloc(WW_BATCH_ROWS_MAX * sizeof *rows);
    size_t matches = 0, bytes = 0;
    must(q && rows && ww_query_parse(q, WW_BYTES_LIT("shard==07 AND NOT host=nowhere"), NULL, NULL) == 0);
    ww_batch_writer_init(&w);
    ww_msg_init(&msg, NULL);
    double start = now_s();
    for (size_t i = 0; i < times; i++) {
        struct ww_query_run run;
        must(ww_query_run_init(&run, q, snap) == 0);
        for (size_t n = 1; n > 0;) {
            n = 0;
            while (n < WW_BATCH_ROWS_MAX && ww_query_run_next(&run, SIZE_MAX, &rows[n]) == 1)
                n++;
            must(ww_batch_write(&w, rows, n, WW_PROJECT_ALL, ww_View_Batch_b_root(&msg)) == 0 &&
                ww_msg_err(&msg) == 0);
            bytes += ww_msg_frame_bytes(&msg);
            matches += n;
            ww_msg_reset(&msg);
        }
        ww_query_run_fini(&run);
    }
    report("query_1pct_into_batches", "records/s", (double)matches / (now_s() - start));
    report("query_batch", "B/record", (double)bytes / (double)matches);
    ww_msg_fini(&msg);
    ww_batch_writer_fini(&w);
    ww_query_free(q);
    free(rows);
}

static void bench_scans(struct ww_routing *t)
{
    struct ww_snapshot *snap = ww_routing_snapshot(t);
    size_t times = records < 100000 ? 200 : 2;
    double start = now_s();
    size_t seen = scan_times(snap, ww_scan_all(WW_INDEX_ID), times);
    report("scan_all", "ns/record", (now_s() - start) / (double)seen * 1e9);
    start = now_s();
    seen = scan_times(snap, ww_scan_prefix(WW_INDEX_META, WW_BYTES_LIT("shard=07")), times * 20);
    report("scan_meta_1pct", "ns/record", (now_s() - start) / (double)seen * 1e9);
    start = now_s();
    seen = scan_times(snap, ww_scan_prefix(WW_INDEX_HOST, WW_BYTES_LIT("node-00001")), times * 20);
    report("scan_host_prefix", "ns/record", (now_s() - start) / (double)seen * 1e9);
    bench_query(snap, times * 5);
    ww_snapshot_unref(snap);
    start = now_s();
    for (size_t i = 0; i < 100000; i++)
        ww_snapshot_unref(ww_routing_snapshot(t));
    report("snapshot", "us", (now_s() - start) / 100000 * 1e6);
}

static void bench(size_t n)
{
    struct ww_routing_conf conf = {.seed = {0x1234, 0x5678}, .max_records = 1u << 22};
    struct subject *s = malloc(n * sizeof *s);
    struct ww_routing *t = NULL;
    records = n;
    must(s != NULL);
    for (size_t i = 0; i < n; i++)
        subject_make(&s[i], i);
    uint32_t *order = shuffled(n);
    struct mallinfo2 heap = mallinfo2();
    must(ww_routing_new(&conf, &t) == 0);
    bench_writes(t, s, order, heap.uordblks + heap.hblkhd);
    bench_lookups(t, s, order);
    bench_scans(t);
    double start = now_s();
    must(ww_routing_advance(t, 3600 * WW_NS_PER_S, 0) == n);
    report("advance_all_due", "us/record", (now_s() - start) / (double)n * 1e6);
    ww_routing_free(t);
    free(order);
    free(s);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        long n = strtol(argv[i], NULL, 10);
        if (n < 2000 || n > 4000000) {
            fprintf(stderr, "usage: bench_routing [RECORDS...], 2000 to 4000000\n");
            return 2;
        }
        bench((size_t)n);
    }
    if (argc < 2) {
        bench(10000);
        bench(1000000);
    }
    return 0;
}
