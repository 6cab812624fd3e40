/* SPDX-License-Identifier: Apache-2.0
 *
 * list: see list.h. The tenant stands in front of each read, those for message ids too: all go through
 * compiler_events.
 */
#include "store/duckdb/list.h"

#include "store/duckdb/answer.h"
#include "store/duckdb/compiler.h"
#include "store/duckdb/rows.h"

#include <stdlib.h>

uint64_t list_columns(const struct store_scan *scan)
{
    return scan->columns | STORE_SCAN_BIT(COLUMN_ts) | STORE_SCAN_BIT(COLUMN_hub_ts) |
           STORE_SCAN_BIT(COLUMN_tenant) | STORE_SCAN_BIT(COLUMN_edge) | STORE_SCAN_BIT(COLUMN_epoch) |
           STORE_SCAN_BIT(COLUMN_seq);
}

static const enum column by_time[] = {COLUMN_ts, COLUMN_tenant, COLUMN_edge, COLUMN_epoch, COLUMN_seq};
static const enum column by_loading[] = {COLUMN_hub_ts, COLUMN_tenant, COLUMN_edge, COLUMN_epoch, COLUMN_seq};
enum { KEYS = sizeof by_time / sizeof *by_time };

static const enum column *keys_of(const struct store_scan *scan)
{
    return scan->order == STORE_BY_TIME ? by_time : by_loading;
}

static void add_key_value(struct compiler *c, const struct store_key *key, enum column column)
{
    struct param param = {.type = event_columns[column].type, .ts = key->at, .text = key->edge};
    if (column == COLUMN_tenant)
        param.u64 = key->tenant;
    else if (column == COLUMN_seq)
        param.u64 = key->seq;
    else if (column == COLUMN_epoch)
        memcpy(param.bytes, key->epoch.b, sizeof param.bytes);
    compiler_param(c, param);
}

/* Behind the key: the first column is behind its, or equal and the rest is behind theirs. */
static void add_after(struct compiler *c, const struct store_scan *scan)
{
    const enum column *keys = keys_of(scan);
    const char *sign = scan->descending ? "<" : ">";
    add(c, " AND ");
    for (size_t i = 0; i < KEYS; i++) {
        add(c, "(%s %s ", event_columns[keys[i]].name, sign);
        add_key_value(c, &scan->after, keys[i]);
        if (i + 1 == KEYS)
            break;
        add(c, " OR (%s = ", event_columns[keys[i]].name);
        add_key_value(c, &scan->after, keys[i]);
        add(c, " AND ");
    }
    for (size_t i = 0; i + 1 < KEYS; i++)
        add(c, "))");
    add(c, ")");
}

static void add_stretch(struct compiler *c, const struct store_scan *scan)
{
    const char *name = event_columns[keys_of(scan)[0]].name;
    add(c, " AND %s >= ", name);
    compiler_param(c, (struct param){.type = TYPE_TS, .ts = scan->begin});
    add(c, " AND %s < ", name);
    compiler_param(c, (struct param){.type = TYPE_TS, .ts = scan->end});
}

static void add_order(struct compiler *c, const struct store_scan *scan)
{
    const enum column *keys = keys_of(scan);
    for (size_t i = 0; i < KEYS; i++)
        add(c, "%s%s%s", i == 0 ? " ORDER BY " : ", ", event_columns[keys[i]].name,
            scan->descending ? " DESC" : "");
    add(c, " LIMIT %lu", (unsigned long)scan->limit);
}

/* The ids of messages of which an event fits one filter. */
static int add_part(struct compiler *c, const struct store_scan *scan, size_t at)
{
    bool inside;
    struct query *part = malloc(sizeof *part);
    const struct query *whole = c->query;
    if (part == NULL)
        return ERR_NO_MEMORY;
    scan_part(scan, at, part, &inside);
    add(c, " AND message_id %sIN (SELECT message_id", inside ? "" : "NOT ");
    c->query = part;
    compiler_events(c, QUERY_ROWS_ASKED);
    c->query = whole;
    add(c, ")");
    free(part);
    return c->rc;
}

/* The first events, with the filters that they answer for, then the other filters one by one. */
static int add_messages(struct compiler *c, const struct store_scan *scan)
{
    const struct query *query = scan->query;
    struct query *first = malloc(sizeof *first);
    if (first == NULL)
        return ERR_NO_MEMORY;
    *first = *query;
    first->filter_count = 0;
    for (size_t at = 0, behind; at < query->filter_count; at = behind) {
        behind = at + 1 + (query->filters[at].kind == FILTER_TEST ? 0 : query->filters[at].span);
        for (size_t i = at; scan_is_of_message(query, at) && i < behind; i++)
            first->filters[first->filter_count++] = query->filters[i];
    }
    c->query = first;
    compiler_events(c, QUERY_ROWS_ASKED);
    c->query = query;
    free(first);
    add(c, " AND first_of_message");
    for (size_t at = 0; c->rc == 0 && at < query->filter_count;) {
        if (!scan_is_of_message(query, at))
            c->rc = add_part(c, scan, at);
        at += 1 + (query->filters[at].kind == FILTER_TEST ? 0 : query->filters[at].span);
    }
    return c->rc;
}

int list_compile(const struct store_scan *scan, const char *const *parts, size_t part_count,
                 struct statement *out, struct err *err)
{
    struct compiler c = {.query = scan->query, .out = out};
    uint64_t columns = list_columns(scan);
    const char *before = " SELECT ";
    compiler_begin(&c);
    compiler_parts(&c, parts, part_count);
    for (unsigned column = 0; column < COLUMN_COUNT; column++)
        if ((columns & STORE_SCAN_BIT(column)) != 0) {
            add(&c, "%s%s", before, event_columns[column].name);
            before = ", ";
        }
    if (scan->messages)
        c.rc = c.rc != 0 ? c.rc : add_messages(&c, scan);
    else
        compiler_events(&c, QUERY_ROWS_ASKED);
    add_stretch(&c, scan);
    if (scan->resumes)
        add_after(&c, scan);
    add_order(&c, scan);
    return compiler_end(&c, err);
}

struct listing {
    const struct store_scan *scan;
    int (*row)(void *arg, const struct event *event);
    void *arg;
};

static int compile_list(void *arg, const char *const *parts, size_t part_count, struct statement *out,
                        struct err *err)
{
    const struct listing *listing = arg;
    return list_compile(listing->scan, parts, part_count, out, err);
}

static int take_chunk(void *arg, duckdb_data_chunk chunk)
{
    const struct listing *listing = arg;
    return rows_each(chunk, list_columns(listing->scan), listing->row, listing->arg);
}

int list_run(struct pool *pool, struct parts *parts, const struct store_scan *scan,
             int (*row)(void *arg, const struct event *event), void *arg, struct err *err)
{
    struct listing listing = {.scan = scan, .row = row, .arg = arg};
    const struct asking asking = {
        .query = scan->query, .compile = compile_list, .chunk = take_chunk, .arg = &listing};
    return answer_statement(pool, parts, &asking, err);
}
