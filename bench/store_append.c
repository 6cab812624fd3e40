/* SPDX-License-Identifier: Apache-2.0
 *
 * store_append: how fast the DuckDB engine takes events, against a bare row-wise appender that writes the
 * same rows in batches of 122,880; what a row weighs on disk; how long a commit takes; how much memory it
 * needs. store_append DIR engine|bare ROWS [ROWS_A_COMMIT] Prints one line of key=value. The events look like
 * mail: three a message (two recipients and END-OF-MESSAGE), unique message ids, instances and queue ids,
 * 20,000 senders and 50,000 recipients by Zipf's law.
 */
#include "store/duckdb/layout.h"
#include "store/fixture.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SENDERS = 20000, RECIPIENTS = 50000, PER_MESSAGE = 3, CHUNK = 8192 };

struct maker {
    uint64_t random, number;
    double *senders, *recipients; /* cumulative */
    struct event events[CHUNK];
    char *texts; /* of the chunk, CHUNK × 512 bytes */
    size_t used;
};

static double *zipf(size_t count)
{
    double *sums = malloc(count * sizeof *sums), sum = 0;
    if (sums == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        sums[i] = sum += 1.0 / (double)(i + 1);
    for (size_t i = 0; i < count; i++)
        sums[i] /= sum;
    return sums;
}

static size_t pick(const double *sums, size_t count, uint64_t *random)
{
    double at = (double)(fixture_random(random) >> 11) / 9007199254740992.0;
    size_t low = 0, high = count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct slice text(struct maker *maker, const char *fmt, ...) PRINTF_LIKE(2, 3);
static struct slice text(struct maker *maker, const char *fmt, ...)
{
    va_list args;
    char *at = maker->texts + maker->used;
    va_start(args, fmt);
    int n = vsnprintf(at, 256, fmt, args);
    va_end(args);
    maker->used += (size_t)n;
    return (struct slice){at, (size_t)n};
}

/* What Postfix says of a client that is the same for all requests of a message. */
static struct event common(struct maker *maker)
{
    uint64_t *random = &maker->random;
    struct event e = {.tenant = 1 + (uint32_t)fixture_below(random, 50), .rule_version = 3};
    size_t sender = pick(maker->senders, SENDERS, random), client = sender * 7 % 30011;
    uint64_t id[2] = {fixture_random(random), fixture_random(random)};
    int64_t now = FIXTURE_START_US + (int64_t)maker->number * 40000 + (int64_t)fixture_below(random, 30000);
    memcpy(e.message_id.b, id, sizeof id);
    memset(e.epoch.b, (int)e.tenant, 16);
    e.edge = text(maker, "mx%u.example.test", e.tenant);
    e.ts = e.edge_ts = now;
    e.hub_ts = now + 90000 + (int64_t)fixture_below(random, 20000);
    e.sender = text(maker, "user%zu@domain%zu.test", sender, sender % 3000);
    e.sender_domain = text(maker, "domain%zu.test", sender % 3000);
    e.client_name = text(maker, "mail%zu.domain%zu.test", client % 10, client % 3000);
    e.reverse_client_name = e.client_name;
    e.helo_name = e.client_name;
    e.client_address.b[10] = e.client_address.b[11] = 0xff;
    e.client_address.b[12] = 198;
    e.client_address.b[13] = 18;
    e.client_address.b[14] = (uint8_t)(client >> 8);
    e.client_address.b[15] = (uint8_t)client;
    e.server_address = e.client_address;
    e.server_address.b[14] = e.server_address.b[15] = (uint8_t)e.tenant;
    e.client_port = (uint16_t)(1024 + fixture_below(random, 60000));
    e.server_port = 25;
    e.protocol_name = SLICE("ESMTP");
    e.encryption_protocol = SLICE("TLSv1.3");
    e.encryption_cipher = SLICE("TLS_AES_256_GCM_SHA384");
    e.encryption_keysize = 256;
    e.instance = text(maker, "%x.%" PRIx64 ".%x.0", (unsigned)fixture_below(random, 65536),
                      (uint64_t)(now / US_PER_SECOND), (unsigned)fixture_below(random, 1000000));
    e.queue_id = text(maker, "4%c%c%c%c%c%c%c%c%c%c", 'B' + (int)fixture_below(random, 20),
                      'B' + (int)fixture_below(random, 20), 'b' + (int)fixture_below(random, 20),
                      'B' + (int)fixture_below(random, 20), 'b' + (int)fixture_below(random, 20),
                      '0' + (int)fixture_below(random, 10), 'z', 'B' + (int)fixture_below(random, 20),
                      'b' + (int)fixture_below(random, 20), 'B' + (int)fixture_below(random, 20));
    e.mail_version = SLICE("3.7.11");
    e.compatibility_level = SLICE("3.6");
    e.direction = (uint8_t)(1 + fixture_below(random, 3));
    return e;
}

static size_t make(struct maker *maker, size_t wanted)
{
    size_t count = 0;
    maker->used = 0;
    for (; count + PER_MESSAGE <= wanted; maker->number++) {
        struct event e = common(maker);
        struct slice queue_id = e.queue_id;
        for (size_t i = 0; i < PER_MESSAGE; i++) {
            struct event *out = &maker->events[count++];
            size_t recipient = pick(maker->recipients, RECIPIENTS, &maker->random);
            e.ts = e.edge_ts += (int64_t)fixture_below(&maker->random, 20000);
            e.seq = maker->number * PER_MESSAGE + i;
            *out = e;
            out->first_of_message = i == 0;
            out->stage = i == 2 ? STAGE_END_OF_MESSAGE : STAGE_RCPT;
            out->queue_id = i == 0 ? (struct slice){NULL, 0} : queue_id;
            if (i < 2) {
                out->recipients = 1;
                out->recipient = text(maker, "rcpt%zu@tenant%u.test", recipient, e.tenant);
                out->recipient_domain = text(maker, "tenant%u.test", e.tenant);
            } else {
                out->recipient_count = 2;
                out->size = 500 + fixture_below(&maker->random, 1 << (8 + fixture_below(&maker->random, 14)));
            }
        }
    }
    return count;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static long resident_kb(const char *field)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kb = strtol(line + strlen(field) + 1, NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return kb;
}

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "store_append: %s\n", err_detail(err));
    exit(err_exit_status(rc));
}

struct times {
    int64_t *us;
    size_t count;
};

static void report(const char *mode, size_t rows, int64_t making_us, int64_t storing_us, struct times times,
                   const char *path, long opened_kb)
{
    struct stat status = {0};
    (void)stat(path, &status);
    qsort(times.us, times.count, sizeof *times.us, compare_times);
    (void)printf(
        "mode=%s rows=%zu making_s=%.2f storing_s=%.2f rows_per_s=%.0f commits=%zu commit_p50_ms=%.1f "
        "commit_p99_ms=%.1f "
        "commit_max_ms=%.1f file_bytes=%lld bytes_per_row=%.1f opened_kb=%ld rss_kb=%ld peak_kb=%ld\n",
        mode, rows, (double)making_us / 1e6, (double)storing_us / 1e6,
        (double)rows * 1e6 / (double)storing_us, times.count, (double)times.us[times.count / 2] / 1e3,
        (double)times.us[times.count * 99 / 100] / 1e3, (double)times.us[times.count - 1] / 1e3,
        (long long)status.st_size, (double)status.st_size / (double)rows, opened_kb, resident_kb("VmRSS:"),
        resident_kb("VmHWM:"));
}

static void run_engine(struct maker *maker, const char *dir, size_t rows, size_t per_commit)
{
    struct err err = {0};
    struct store *store;
    char path[4096];
    int64_t making_us = 0, storing_us = 0;
    struct times times = {calloc(rows / per_commit + 2, sizeof(int64_t)), 0};
    must(store_open(&store, &(struct store_options){"duckdb", dir, 512 << 20, 2, 0}, &err), &err);
    long opened_kb = resident_kb("VmRSS:");
    size_t done = 0, pending = 0;
    while (done < rows) {
        int64_t before = clock_monotonic_us();
        size_t count = make(maker, per_commit - pending < CHUNK ? per_commit - pending + PER_MESSAGE : CHUNK);
        int64_t begun = clock_monotonic_us();
        making_us += begun - before;
        must(store_append(store, maker->events, count, &err), &err);
        done += count;
        pending += count;
        if (pending >= per_commit || done >= rows) {
            int64_t commit = clock_monotonic_us();
            must(store_commit(store, (struct store_cursor){.pos = {1, done}}, &err), &err);
            times.us[times.count++] = clock_monotonic_us() - commit;
            pending = 0;
        }
        storing_us += clock_monotonic_us() - begun;
    }
    long rss = resident_kb("VmRSS:");
    (void)fprintf(stderr, "before close: rss_kb=%ld\n", rss);
    int64_t closing = clock_monotonic_us();
    store_close(&store);
    storing_us += clock_monotonic_us() - closing;
    fixture_part(dir, ".duckdb", path);
    report("engine", done, making_us, storing_us, times, path, opened_kb);
    free(times.us);
}

static void append_value(duckdb_appender appender, const struct event *event,
                         const struct column_info *column)
{
    const void *field = (const char *)event + column->offset;
    const struct slice *texts = field;
    switch (column->type) {
    case TYPE_TEXT:
        if (texts->n == 0)
            (void)duckdb_append_null(appender);
        else
            (void)duckdb_append_varchar_length(appender, texts->p, texts->n);
        return;
    case TYPE_U8:
        (void)duckdb_append_uint8(appender, *(const uint8_t *)field);
        return;
    case TYPE_U16:
        (void)duckdb_append_uint16(appender, *(const uint16_t *)field);
        return;
    case TYPE_U32:
        (void)duckdb_append_uint32(appender, *(const uint32_t *)field);
        return;
    case TYPE_U64:
        (void)duckdb_append_uint64(appender, *(const uint64_t *)field);
        return;
    case TYPE_BOOL:
        (void)duckdb_append_bool(appender, *(const bool *)field);
        return;
    case TYPE_TS:
        (void)duckdb_append_timestamp(appender, (duckdb_timestamp){*(const int64_t *)field});
        return;
    case TYPE_STAGE:
        (void)duckdb_append_varchar(appender, event_stage_name((enum stage) * (const uint8_t *)field));
        return;
    case TYPE_DIRECTION:
        (void)duckdb_append_varchar(appender,
                                    event_direction_name((enum direction) * (const uint8_t *)field));
        return;
    default:
        (void)duckdb_append_uhugeint(appender, layout_from_bytes(field));
    }
}

/* The floor: DuckDB as it comes, its row-wise appender, no cursor, no checks. */
static void run_bare(struct maker *maker, const char *dir, size_t rows)
{
    struct err err = {0};
    duckdb_database database;
    duckdb_connection connection;
    duckdb_appender appender;
    char path[4096];
    int64_t making_us = 0, storing_us = 0;
    struct times times = {calloc(rows / 122880 + 2, sizeof(int64_t)), 0};
    (void)mkdir(dir, 0700);
    (void)snprintf(path, sizeof path, "%s/bare.duckdb", dir);
    if (duckdb_open(path, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        exit(1);
    long opened_kb = resident_kb("VmRSS:");
    must(layout_create(connection, "bare", &(struct store_part){.id = 1}, &err), &err);
    if (duckdb_appender_create(connection, NULL, "events", &appender) != DuckDBSuccess)
        exit(1);
    size_t done = 0, pending = 0;
    while (done < rows) {
        int64_t before = clock_monotonic_us();
        size_t count = make(maker, CHUNK);
        int64_t begun = clock_monotonic_us();
        making_us += begun - before;
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < COLUMN_COUNT; k++)
                append_value(appender, &maker->events[i], &event_columns[k]);
            if (duckdb_appender_end_row(appender) != DuckDBSuccess) {
                (void)fprintf(stderr, "store_append: %s\n", duckdb_appender_error(appender));
                exit(1);
            }
            if (++pending == 122880) {
                int64_t flushing = clock_monotonic_us();
                if (duckdb_appender_flush(appender) != DuckDBSuccess)
                    exit(1);
                times.us[times.count++] = clock_monotonic_us() - flushing;
                pending = 0;
            }
        }
        done += count;
        storing_us += clock_monotonic_us() - begun;
    }
    int64_t closing = clock_monotonic_us();
    (void)duckdb_appender_destroy(&appender);
    times.us[times.count++] = clock_monotonic_us() - closing;
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    storing_us += clock_monotonic_us() - closing;
    report("bare", done, making_us, storing_us, times, path, opened_kb);
    free(times.us);
}

int main(int argc, char **argv)
{
    static struct maker maker;
    size_t rows = argc > 3 ? strtoull(argv[3], NULL, 10) : 0,
           per_commit = argc > 4 ? strtoull(argv[4], NULL, 10) : 122880;
    if (rows == 0 || per_commit < PER_MESSAGE) {
        (void)fprintf(stderr, "usage: store_append DIR engine|bare ROWS [ROWS_A_COMMIT]\n");
        return 64;
    }
    maker.random = 7;
    maker.senders = zipf(SENDERS);
    maker.recipients = zipf(RECIPIENTS);
    maker.texts = malloc((size_t)CHUNK * 512);
    if (maker.texts == NULL)
        abort();
    if (strcmp(argv[2], "bare") == 0)
        run_bare(&maker, argv[1], rows);
    else
        run_engine(&maker, argv[1], rows, per_commit);
    free(maker.senders);
    free(maker.recipients);
    free(maker.texts);
    return 0;
}
