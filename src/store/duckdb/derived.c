/* SPDX-License-Identifier: Apache-2.0
 *
 * derived: a column as SQL: its name, or what a derived one is made of. Says the same as query/derive.c,
 * which the conformance suite holds it against. Only our own names and numbers stand in the text.
 */
#include "query/derive.h"
#include "store/duckdb/compiler.h"

/* The time on the question's clocks, in microseconds since 1970 as they show it. */
static void add_clock(struct compiler *c)
{
    size_t count;
    const struct query_piece *pieces = query_pieces(c->query, &count);
    add(c, "(epoch_us(ts) + ");
    if (count > 1)
        add(c, "CASE ");
    for (size_t i = count - 1; i > 0; i--)
        add(c, "WHEN epoch_us(ts) >= %lld THEN %lld ", (long long)pieces[i].begin,
            (long long)pieces[i].offset_us);
    add(c, count > 1 ? "ELSE %lld END)" : "(%lld))", (long long)pieces[0].offset_us);
}

/* Divisions go towards zero: counted from a Monday far enough before 1970. */
static void add_count_since_monday(struct compiler *c, int64_t unit_us, unsigned each, unsigned first)
{
    add(c, "((");
    add_clock(c);
    add(c, " + %lld) // %lld %% %u + %u)::UTINYINT", (long long)-QUERY_ORIGIN_US, (long long)unit_us, each,
        first);
}

static void add_date_part(struct compiler *c, const char *part, const char *type)
{
    add(c, "extract(%s FROM make_timestamp(", part);
    add_clock(c);
    add(c, "))::%s", type);
}

static void add_v4_test(struct compiler *c, const char *column)
{
    static const struct ip first = {.b = {[10] = 0xff, [11] = 0xff}},
                           last = {.b = {[10] = 0xff, [11] = 0xff, [12] = 0xff, 0xff, 0xff, 0xff}};
    struct param param = {.type = TYPE_IP};
    add(c, "%s BETWEEN ", column);
    memcpy(param.bytes, first.b, sizeof param.bytes);
    compiler_param(c, param);
    add(c, " AND ");
    memcpy(param.bytes, last.b, sizeof param.bytes);
    compiler_param(c, param);
}

static void add_mask(struct compiler *c, unsigned bits)
{
    struct param param = {.type = TYPE_IP};
    memset(param.bytes, 0xff, bits / 8);
    compiler_param(c, param);
}

static void add_network(struct compiler *c, enum column column)
{
    const char *of = event_columns[event_columns[column].of].name;
    add(c, "(%s & CASE WHEN ", of);
    add_v4_test(c, of);
    add(c, " THEN ");
    add_mask(c, query_network_bits(column, true));
    add(c, " ELSE ");
    add_mask(c, query_network_bits(column, false));
    add(c, " END)");
}

static void add_family(struct compiler *c)
{
    add(c, "CASE WHEN ");
    add_v4_test(c, "client_address");
    add(c, " THEN 'ipv4' WHEN client_address IS NOT NULL THEN 'ipv6' END");
}

static void add_size_class(struct compiler *c)
{
    add(c, "CASE WHEN size IS NULL THEN NULL ");
    for (uint64_t class = QUERY_SIZE_HIGH; class >= QUERY_SIZE_LOW; class /= 10)
        add(c, "WHEN size >= %llu THEN %llu ", (unsigned long long)class, (unsigned long long)class);
    add(c, "ELSE %llu END::UBIGINT", (unsigned long long)QUERY_SIZE_FIRST);
}

static void add_derived(struct compiler *c, enum column column)
{
    const char *of = event_columns[event_columns[column].of].name;
    switch (column) {
    case COLUMN_hour_of_day:
        add_count_since_monday(c, 3600 * US_PER_SECOND, 24, 0);
        break;
    case COLUMN_day_of_week:
        add_count_since_monday(c, QUERY_DAY_US, 7, 1);
        break;
    case COLUMN_day_of_month:
        add_date_part(c, "day", "UTINYINT");
        break;
    case COLUMN_month_of_year:
        add_date_part(c, "month", "UTINYINT");
        break;
    case COLUMN_year:
        add_date_part(c, "year", "USMALLINT");
        break;
    case COLUMN_client_family:
        add_family(c);
        break;
    case COLUMN_client_network:
    case COLUMN_client_block:
        add_network(c, column);
        break;
    case COLUMN_tls:
    case COLUMN_authenticated:
        add(c, "%s IS NOT NULL", of);
        break;
    case COLUMN_sender_tld:
    case COLUMN_recipient_tld:
        add(c, "CASE WHEN starts_with(%s, '[') THEN NULL ELSE nullif(split_part(%s, '.', -1), '') END", of,
            of);
        break;
    default: /* size_class */
        add_size_class(c);
    }
}

void compiler_column(struct compiler *c, enum column column)
{
    if (!event_column_is_derived(column)) {
        add(c, "%s", event_columns[column].name);
        return;
    }
    add(c, "(");
    add_derived(c, column);
    add(c, ")");
}
