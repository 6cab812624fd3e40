/* SPDX-License-Identifier: Apache-2.0
 *
 * panels: how fast the store answers: dashboard panels from roll-ups, exact questions against the same SQL by
 * hand on a plain table of the same rows in arrival order (DIR/bare.duckdb). Prints JSON, a line each.
 *
 *   panels --dir DIR --make 1 [--rows 1000000] [--days 30] [--seed 1] [--per-commit 122880]    fills both,
 * rolls panels --dir DIR --rows N --days N [--tenant 1] [--runs 7]                                  asks
 *   panels --dir DIR --tsv 1 --rows N --days N [--seed 1]    the rows as ClickHouse reads them, to stdout
 *   panels --dir DIR --sql 1                                 the questions and their SQL, @ and all
 */
#include "bench.h"
#include "mail.h"

#include "base/buf.h"
#include "store/duckdb/layout.h"
#include "store/fixture.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RUNS_MAX = 99, SQL_BYTES = 4096 };
enum kind { PANEL, EXACT };

static const struct {
    const char *name;
    enum kind kind;
    const char *json, *sql;
} questions[] = {
#define QUESTION(name, kind, json, sql) {name, kind, json, sql},
#include "questions.def"
#undef QUESTION
};

struct bare {
    duckdb_database database;
    duckdb_connection connection;
    duckdb_appender appender;
};

static void check(int rc, const struct err *err)
{
    if (rc != 0)
        bench_die("panels: %s", err_detail(err));
}

static void bare_check(duckdb_state state, const char *what)
{
    if (state != DuckDBSuccess)
        bench_die("panels: bare DuckDB: %s failed", what);
}

static uint64_t bytes_below(const char *dir)
{
    char command[4200];
    unsigned long long bytes = 0;
    (void)snprintf(command, sizeof command, "du -sb '%s'", dir);
    FILE *du = popen(command, "r"); /* a bench: the directory is our caller's own */
    if (du == NULL || fscanf(du, "%llu", &bytes) != 1)
        bench_die("panels: %s can't be measured", dir);
    (void)pclose(du);
    return bytes;
}

/* The tables of layout.h, so that the two have the same types; no order, no roll-ups, DuckDB as it comes. */
static void bare_open(struct bare *bare, const char *dir, bool make)
{
    static const struct store_part part = {.id = 1, .last_id = 1};
    char path[4096];
    struct err err = {0};
    (void)snprintf(path, sizeof path, "%s/bare.duckdb", dir);
    bare_check(duckdb_open(path, &bare->database), "open");
    bare_check(duckdb_connect(bare->database, &bare->connection), "connect");
    if (!make)
        return;
    check(layout_create(bare->connection, "bare", &part, &err), &err);
    bare_check(duckdb_appender_create(bare->connection, NULL, "events", &bare->appender), "appender");
}

static void bare_close(struct bare *bare)
{
    (void)duckdb_appender_destroy(&bare->appender);
    duckdb_disconnect(&bare->connection);
    duckdb_close(&bare->database);
}

static duckdb_state bare_value(duckdb_appender appender, const struct event *event,
                               const struct column_info *column)
{
    static const uint8_t zero[16];
    const void *field = (const char *)event + column->offset;
    const struct slice *text = field;
    switch (column->type) {
    case TYPE_TEXT:
        return text->n == 0 && column->nullable ? duckdb_append_null(appender)
                                                : duckdb_append_varchar_length(appender, text->p, text->n);
    case TYPE_U8:
        return duckdb_append_uint8(appender, *(const uint8_t *)field);
    case TYPE_U16:
        return duckdb_append_uint16(appender, *(const uint16_t *)field);
    case TYPE_U32:
        return duckdb_append_uint32(appender, *(const uint32_t *)field);
    case TYPE_U64:
        return duckdb_append_uint64(appender, *(const uint64_t *)field);
    case TYPE_BOOL:
        return duckdb_append_bool(appender, *(const bool *)field);
    case TYPE_TS:
        return duckdb_append_timestamp(appender, (duckdb_timestamp){*(const int64_t *)field});
    case TYPE_STAGE:
        return duckdb_append_varchar(appender, event_stage_name((enum stage) * (const uint8_t *)field));
    case TYPE_DIRECTION:
        return duckdb_append_varchar(appender,
                                     event_direction_name((enum direction) * (const uint8_t *)field));
    default:
        return column->nullable && memcmp(field, zero, sizeof zero) == 0
                   ? duckdb_append_null(appender)
                   : duckdb_append_uhugeint(appender, layout_from_bytes(field));
    }
}

static void bare_append(struct bare *bare, const struct event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < COLUMN_COUNT; k++)
            bare_check(bare_value(bare->appender, &events[i], &event_columns[k]), event_columns[k].name);
        bare_check(duckdb_appender_end_row(bare->appender), "end of row");
    }
}

static struct store *open_store(const char *dir)
{
    struct store *store;
    struct err err = {0};
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/store", dir);
    check(store_open(&store,
                     &(struct store_options){.engine = "duckdb",
                                             .dir = path,
                                             .memory_bytes = UINT64_C(1) << 30,
                                             .query_threads = 2,
                                             .query_per_tenant = 2},
                     &err),
          &err);
    return store;
}

/* Bytes as ClickHouse's TSV has them: \0, \t, \n and \\ escaped. */
static void print_bytes(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        static const char special[] = {'\0', '\t', '\n', '\\'}, escaped[] = {'0', 't', 'n', '\\'};
        const char *at = memchr(special, bytes[i], sizeof special);
        if (at != NULL)
            (void)putchar('\\');
        (void)putchar(at != NULL ? escaped[at - special] : bytes[i]);
    }
}

/* The narrowest types of 18.16: times in whole seconds, IPv4 addresses as numbers (these are all). */
static void write_tsv(uint64_t rows, double days, uint64_t seed)
{
    struct mail *mail = mail_create(seed, rows, days);
    for (uint64_t done = 0; done < rows;) {
        size_t count;
        uint64_t left = rows - done + MAIL_PER_MESSAGE;
        const struct event *events = mail_make(mail, left < MAIL_CHUNK ? (size_t)left : MAIL_CHUNK, &count);
        for (size_t i = 0; i < count; i++) {
            const struct event *e = &events[i];
            const uint8_t *a = e->client_address.b + 12;
            printf("%u\t%lld\t%s\t%s\t", e->tenant, (long long)(e->ts / US_PER_SECOND),
                   event_stage_name(e->stage), event_direction_name(e->direction));
            print_bytes(e->message_id.b, sizeof e->message_id.b);
            printf("\t%d\t%u\t%.*s\t%.*s\t%.*s\t%.*s\t%u\t%.*s\t%.*s\t%.*s\t%" PRIu64 "\n",
                   e->first_of_message, e->recipients, (int)e->sender.n, e->sender.p, (int)e->sender_domain.n,
                   e->sender_domain.p, (int)e->recipient.n, e->recipient.p, (int)e->recipient_domain.n,
                   e->recipient_domain.p,
                   (unsigned)a[0] << 24 | (unsigned)a[1] << 16 | (unsigned)a[2] << 8 | a[3],
                   (int)e->client_name.n, e->client_name.p, (int)e->helo_name.n, e->helo_name.p,
                   (int)e->sasl_username.n, e->sasl_username.p, e->size);
        }
        done += count;
    }
    mail_destroy(&mail);
}

static int count_row(void *arg, const struct cell *cells, size_t count)
{
    (void)cells;
    (void)count;
    ++*(uint64_t *)arg;
    return 0;
}

struct asking {
    struct store *store;
    struct bare bare;
    uint32_t tenant;
    int64_t end_us;
    unsigned runs;
};

static double ask_once(const struct asking *asking, const char *json, bool fast, struct query_sink *sink,
                       uint64_t *rows)
{
    char text[2048];
    struct query *query;
    struct err err = {0};
    *rows = 0;
    *sink = (struct query_sink){.row = count_row, .arg = rows};
    (void)snprintf(text, sizeof text, "{%s,\"mode\":\"%s\"}", json, fast ? "fast" : "exact");
    check(query_parse(slice_of(text), asking->end_us, &query, &err), &err);
    query->scope = QUERY_SCOPE_TENANT;
    query->tenant = asking->tenant;
    query->timeout_us = 600 * US_PER_SECOND;
    int64_t begun = clock_monotonic_us();
    check(store_query(asking->store, query, sink, &err), &err);
    double ms = (double)(clock_monotonic_us() - begun) / 1e3;
    query_destroy(&query);
    return ms;
}

/* The first question gives the engine all its memory; before it, a hub that only fills has little. */
static void warm(struct store *store)
{
    uint64_t rows;
    struct query_sink sink;
    (void)ask_once(&(struct asking){.store = store, .tenant = 1, .end_us = FIXTURE_START_US},
                   "\"measures\":[\"requests\"],\"since\":\"1h\"", false, &sink, &rows);
}

static void make(const char *dir, uint64_t rows, double days, uint64_t seed, uint64_t per_commit)
{
    struct err err = {0};
    struct bare bare = {0};
    struct mail *mail = mail_create(seed, rows, days);
    char path[4096];
    (void)mkdir(dir, 0700);
    struct store *store = open_store(dir);
    warm(store);
    bare_open(&bare, dir, true);
    uint64_t done = 0, pending = 0;
    while (done < rows) {
        size_t count;
        uint64_t left = rows - done + MAIL_PER_MESSAGE;
        const struct event *events = mail_make(mail, left < MAIL_CHUNK ? (size_t)left : MAIL_CHUNK, &count);
        check(store_append(store, events, count, &err), &err);
        bare_append(&bare, events, count);
        done += count;
        pending += count;
        if (pending >= per_commit || done >= rows) {
            check(store_commit(store, (struct store_cursor){.pos = {1, done}}, &err), &err);
            pending = 0;
        }
    }
    bare_close(&bare);
    int64_t begun = clock_monotonic_us();
    check(store_roll(store, INT64_MAX / 4, NULL, &err), &err);
    double rolling = (double)(clock_monotonic_us() - begun) / 1e6;
    store_close(&store);
    (void)snprintf(path, sizeof path, "%s/store", dir);
    printf("{\"rows\":%" PRIu64 ",\"roll_s\":%.2f,\"bytes_per_row\":%.1f", done, rolling,
           (double)bytes_below(path) / (double)done);
    (void)snprintf(path, sizeof path, "%s/bare.duckdb", dir);
    printf(",\"bare_bytes_per_row\":%.1f}\n", (double)bytes_below(path) / (double)done);
    mail_destroy(&mail);
}

/* @t, @24h … are put in. */
static void write_sql(const struct asking *asking, const char *sql, char out[SQL_BYTES])
{
    static const struct {
        const char *token;
        int64_t hours;
    } times[] = {{"@24h", 24}, {"@7d", 168}, {"@30d", 720}};
    size_t n = 0;
    while (*sql != '\0' && n + 64 < SQL_BYTES) {
        size_t taken = 0;
        for (size_t i = 0; i < sizeof times / sizeof *times; i++)
            if (strncmp(sql, times[i].token, strlen(times[i].token)) == 0) {
                taken = strlen(times[i].token);
                n += (size_t)snprintf(out + n, 64, "make_timestamp(%lld)",
                                      (long long)(asking->end_us - times[i].hours * 3600 * US_PER_SECOND));
            }
        if (strncmp(sql, "@day(ts)", 8) == 0) {
            taken = 8;
            n += (size_t)snprintf(out + n, 64, "date_trunc('day', ts)");
        } else if (strncmp(sql, "@hour(ts)", 9) == 0) {
            taken = 9;
            n += (size_t)snprintf(out + n, 64, "date_trunc('hour', ts)");
        } else if (taken == 0 && strncmp(sql, "@t", 2) == 0) {
            taken = 2;
            n += (size_t)snprintf(out + n, 64, "%u", asking->tenant);
        }
        if (taken == 0)
            out[n++] = *sql;
        sql += taken > 0 ? taken : 1;
    }
    out[n] = '\0';
}

static double bare_once(const struct asking *asking, const char *sql, uint64_t *rows)
{
    duckdb_result result;
    int64_t begun = clock_monotonic_us();
    if (duckdb_query(asking->bare.connection, sql, &result) != DuckDBSuccess)
        bench_die("panels: %s", duckdb_result_error(&result));
    *rows = duckdb_row_count(&result);
    double ms = (double)(clock_monotonic_us() - begun) / 1e3;
    duckdb_destroy_result(&result);
    return ms;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return values[count / 2];
}

/* Interleaved runs; the first of each, which reads the file, isn't counted. */
static void ask(const struct asking *asking, size_t i)
{
    double ours[RUNS_MAX], theirs[RUNS_MAX], ratio[RUNS_MAX];
    uint64_t rows = 0, bare_rows = 0;
    struct query_sink sink;
    char sql[SQL_BYTES];
    write_sql(asking, questions[i].sql, sql);
    for (unsigned run = 0; run <= asking->runs; run++) {
        double a = ask_once(asking, questions[i].json, questions[i].kind == PANEL, &sink, &rows);
        double b = bare_once(asking, sql, &bare_rows);
        if (run == 0)
            continue;
        ours[run - 1] = a;
        theirs[run - 1] = b;
        ratio[run - 1] = a / b;
    }
    printf("{\"name\":\"%s\",\"kind\":\"%s\",\"ms\":%.2f,\"bare_ms\":%.2f,\"ratio\":%.3f,\"rows\":%" PRIu64
           ",\"bare_rows\":%" PRIu64 ",\"mode\":\"%s\",\"approximate\":%u}\n",
           questions[i].name, questions[i].kind == PANEL ? "panel" : "exact", median(ours, asking->runs),
           median(theirs, asking->runs), median(ratio, asking->runs), rows, bare_rows,
           sink.fast ? "fast" : "exact", sink.approximate);
    (void)fflush(stdout);
}

static long resident_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "VmHWM: %ld", &kb);
    if (file != NULL)
        (void)fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    const char *dir = bench_option(argc, argv, "--dir", NULL);
    uint64_t rows = (uint64_t)bench_number(argc, argv, "--rows", 1000000);
    uint64_t seed = (uint64_t)bench_number(argc, argv, "--seed", 1);
    double days = bench_number(argc, argv, "--days", 30);
    if (dir == NULL)
        bench_die("usage: panels --dir DIR [--make 1 | --tsv 1 | --sql 1] [--rows N] [--days N] [--tenant N] "
                  "[--runs N]");
    if (bench_number(argc, argv, "--tsv", 0) > 0) {
        write_tsv(rows, days, seed);
        return 0;
    }
    if (bench_number(argc, argv, "--sql", 0) > 0) {
        for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
            printf("{\"name\":\"%s\",\"sql\":\"%s\"}\n", questions[i].name, questions[i].sql);
        return 0;
    }
    if (bench_number(argc, argv, "--make", 0) > 0) {
        make(dir, rows, days, seed, (uint64_t)bench_number(argc, argv, "--per-commit", 122880));
        return 0;
    }
    struct asking asking = {.tenant = (uint32_t)bench_number(argc, argv, "--tenant", 1),
                            .end_us = FIXTURE_START_US + (int64_t)(days * 86400e6),
                            .runs = (unsigned)bench_number(argc, argv, "--runs", 7)};
    if (asking.runs < 1 || asking.runs > RUNS_MAX)
        bench_die("--runs: 1 to %d", RUNS_MAX);
    int64_t begun = clock_monotonic_us();
    asking.store = open_store(dir);
    double open_ms = (double)(clock_monotonic_us() - begun) / 1e3;
    bare_open(&asking.bare, dir, false);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        ask(&asking, i);
    printf("{\"kind\":\"store\",\"open_ms\":%.1f,\"peak_kb\":%ld}\n", open_ms, resident_kb());
    bare_close(&asking.bare);
    store_close(&asking.store);
    return 0;
}
