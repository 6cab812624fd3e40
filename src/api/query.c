/* SPDX-License-Identifier: Apache-2.0
 *
 * query: POST /api/v1/query. Whose rows comes from the caller alone: the operator asks for all tenants or for
 * ?tenant=NAME, everybody else for its own. Rows stream into the reply; what doesn't fit, in rows or bytes,
 * is cut and marked "truncated".
 */
#include "base/clock.h"
#include "call.h"
#include "cell.h"

enum { TAIL_BYTES = 4096 }; /* kept for what follows the rows */

struct answer {
    struct api_call *call;
    const struct query *query;
    bool truncated;
    struct buf totals; /* as JSON; empty: not asked for */
};

/* Members from the answer's column first on. */
static int write_members(struct buf *out, const struct query *query, size_t first, const struct cell *cells,
                         size_t count)
{
    char name[QUERY_COLUMN_BYTES];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        query_column_name(query, first + i, name);
        rc = buf_addf(out, "%s\"%s\":", i == 0 ? "{" : ",", name);
        if (rc == 0)
            rc = cell_write(out, &cells[i]);
    }
    return rc != 0 ? rc : buf_add(out, "}", 1);
}

static int write_row(struct answer *answer, const struct cell *cells, size_t count)
{
    int rc = call_row(answer->call);
    return rc != 0 ? rc : write_members(answer->call->reply, answer->query, 0, cells, count);
}

static int take_totals(void *arg, const struct cell *cells, size_t count)
{
    struct answer *answer = arg;
    buf_clear(&answer->totals);
    return write_members(&answer->totals, answer->query, query_first_figure(answer->query), cells, count);
}

static int take_row(void *arg, const struct cell *cells, size_t count)
{
    struct answer *answer = arg;
    struct buf *out = answer->call->reply;
    size_t before = out->n;
    if (answer->truncated)
        return 0;
    int rc = write_row(answer, cells, count);
    if (rc != ERR_LIMIT)
        return rc;
    out->n = before; /* whole rows only */
    answer->truncated = true;
    return 0;
}

/* The period that was compared with. */
static int write_before(struct buf *out, const struct query *query)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    if (!query->compares)
        return 0;
    clock_format(query->before_from, from);
    clock_format(query->before_to, to);
    return buf_addf(out, ",\"before\":{\"from\":\"%s\",\"to\":\"%s\"}", from, to);
}

/* "mode" and the names of the columns that are approximations. */
static int write_mode(struct answer *answer, const struct query_sink *sink)
{
    struct buf *out = answer->call->reply;
    const char *comma = "";
    int rc = buf_addf(out, ",\"mode\":\"%s\",\"approximate\":[", sink->fast ? "fast" : "exact");
    for (size_t i = 0; rc == 0 && i < query_column_count(answer->query); i++) {
        char name[QUERY_COLUMN_BYTES];
        if (!query_column_is_of(answer->query, i, sink->approximate))
            continue;
        query_column_name(answer->query, i, name);
        rc = buf_addf(out, "%s\"%s\"", comma, name);
        comma = ",";
    }
    return rc != 0 ? rc : buf_addf(out, "]}");
}

static int write_tail(struct answer *answer, const struct query_sink *sink)
{
    struct buf *out = answer->call->reply;
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    clock_format(answer->query->from, from);
    clock_format(answer->query->to, to);
    int rc = buf_addf(out, "],\"columns\":[");
    for (size_t i = 0; rc == 0 && i < query_column_count(answer->query); i++) {
        char name[QUERY_COLUMN_BYTES];
        query_column_name(answer->query, i, name);
        rc = buf_addf(out, "%s\"%s\"", i > 0 ? "," : "", name);
    }
    if (rc == 0)
        rc = buf_addf(out, "]%s", answer->totals.n > 0 ? ",\"totals\":" : "");
    if (rc == 0)
        rc = buf_add_slice(out, buf_slice(&answer->totals));
    if (rc == 0)
        rc = write_before(out, answer->query);
    if (rc == 0)
        rc = buf_addf(out, ",\"from\":\"%s\",\"to\":\"%s\",\"truncated\":%s", from, to,
                      answer->truncated ? "true" : "false");
    return rc != 0 ? rc : write_mode(answer, sink);
}

static int ask(struct api_call *call, struct query *query)
{
    struct answer answer = {.call = call, .query = query};
    struct query_sink sink = {.row = take_row, .arg = &answer, .totals = take_totals};
    int rc = call_rows_begin(call);
    if (rc != 0)
        return rc;
    buf_init(&answer.totals, TAIL_BYTES / 2);
    call->reply->limit -= TAIL_BYTES;
    rc = store_query(call->context->store, query, &sink, &call->err);
    call->reply->limit += TAIL_BYTES;
    answer.truncated = answer.truncated || sink.truncated;
    if (rc == 0)
        rc = write_tail(&answer, &sink);
    buf_fini(&answer.totals);
    return rc;
}

int query_post(struct api_call *call)
{
    struct query *query = NULL;
    uint32_t tenant = 0;
    int rc = call_store(call);
    if (rc == 0)
        rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = query_parse(call->request->body, clock_real_us(), &query, &call->err);
    if (rc != 0)
        return rc;
    call_set_scope(call, tenant, query);
    rc = ask(call, query);
    query_destroy(&query);
    return rc;
}
