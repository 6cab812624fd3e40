/* SPDX-License-Identifier: Apache-2.0
 *
 * derive: see derive.h.
 */
#include "query/derive.h"

#include "query/zone.h"

static uint64_t number_of(const void *field, enum column_type type)
{
    switch (type) {
    case TYPE_U16:
        return *(const uint16_t *)field;
    case TYPE_U32:
        return *(const uint32_t *)field;
    case TYPE_U64:
        return *(const uint64_t *)field;
    default: /* BOOL, U8, enums */
        return *(const uint8_t *)field;
    }
}

static void stored_value(const struct event *event, enum column column, struct query_value *out)
{
    static const uint8_t zero[16];
    const struct column_info *info = &event_columns[column];
    const void *field = (const char *)event + info->offset;
    switch (info->type) {
    case TYPE_TEXT:
        out->text = *(const struct slice *)field;
        out->absent = info->nullable && out->text.n == 0;
        break;
    case TYPE_TS:
        out->ts = *(const int64_t *)field;
        break;
    case TYPE_IP:
        out->ip = *(const struct ip *)field;
        out->absent = info->nullable && memcmp(out->ip.b, zero, sizeof zero) == 0;
        break;
    case TYPE_ID128:
        out->id = *(const struct id128 *)field;
        out->absent = info->nullable && memcmp(out->id.b, zero, sizeof zero) == 0;
        break;
    default:
        out->u64 = number_of(field, info->type);
        out->absent = info->nullable && out->u64 == 0;
    }
}

/* Of ts, on the clocks. */
static uint64_t calendar(const struct query *query, int64_t ts, enum column column)
{
    int64_t local = ts + (query->zone != NULL ? zone_offset_us(query->zone, ts) : 0), year;
    int64_t days = (local >= 0 ? local : local - QUERY_DAY_US + 1) / QUERY_DAY_US;
    unsigned month, day;
    zone_date(days, &year, &month, &day);
    switch (column) {
    case COLUMN_hour_of_day:
        return (uint64_t)((local - days * QUERY_DAY_US) / (3600 * US_PER_SECOND));
    case COLUMN_day_of_week: /* 1970-01-01 was a Thursday */
        return (uint64_t)((days % 7 + 7 + 3) % 7 + 1);
    case COLUMN_day_of_month:
        return day;
    case COLUMN_month_of_year:
        return month;
    default:
        return (uint64_t)year;
    }
}

unsigned query_network_bits(enum column column, bool is_v4)
{
    bool wide = column == COLUMN_client_block;
    return is_v4 ? (wide ? 96 + 16 : 96 + 24) : wide ? 48 : 64;
}

static void keep_bits(struct ip *ip, unsigned bits) /* whole bytes */
{
    memset(ip->b + bits / 8, 0, sizeof ip->b - bits / 8);
}

/* What is behind the last dot, or all of it; nothing of an address literal. */
static struct slice top_level(struct slice domain)
{
    size_t n = 0;
    if (domain.n == 0 || domain.p[0] == '[')
        return (struct slice){NULL, 0};
    while (n < domain.n && domain.p[domain.n - 1 - n] != '.')
        n++;
    return (struct slice){domain.p + domain.n - n, n};
}

static uint64_t size_class(uint64_t size)
{
    uint64_t class = QUERY_SIZE_HIGH;
    while (class >= QUERY_SIZE_LOW && class > size)
        class /= 10;
    return class >= QUERY_SIZE_LOW ? class : QUERY_SIZE_FIRST;
}

static void derived_value(const struct query *query, const struct event *event, enum column column,
                          struct query_value *out)
{
    struct query_value made_of;
    query_value_of(query, event, event_columns[column].of, &made_of);
    out->absent = made_of.absent && event_columns[column].nullable;
    switch (column) {
    case COLUMN_client_family:
        out->text = ip_is_v4(&made_of.ip) ? SLICE("ipv4") : SLICE("ipv6");
        break;
    case COLUMN_client_network:
    case COLUMN_client_block:
        out->ip = made_of.ip;
        keep_bits(&out->ip, query_network_bits(column, ip_is_v4(&made_of.ip)));
        break;
    case COLUMN_tls:
    case COLUMN_authenticated:
        out->u64 = !made_of.absent;
        break;
    case COLUMN_sender_tld:
    case COLUMN_recipient_tld:
        out->text = top_level(made_of.text);
        out->absent = out->text.n == 0;
        break;
    case COLUMN_size_class:
        out->u64 = size_class(made_of.u64);
        break;
    default:
        out->u64 = calendar(query, made_of.ts, column);
    }
}

void query_value_of(const struct query *query, const struct event *event, enum column column,
                    struct query_value *out)
{
    *out = (struct query_value){0};
    if (event_column_is_derived(column))
        derived_value(query, event, column, out);
    else
        stored_value(event, column, out);
}

static struct cell text_cell(const char *text)
{
    return (struct cell){.type = CELL_TEXT, .text = slice_of(text)};
}

struct cell query_cell(enum column column, const struct query_value *value, char text[QUERY_CELL_BYTES])
{
    struct ip_prefix network = {.net = value->ip};
    if (value->absent)
        return (struct cell){.type = CELL_NULL};
    switch (event_columns[column].type) {
    case TYPE_TEXT:
        return (struct cell){.type = CELL_TEXT, .text = value->text};
    case TYPE_TS:
        return (struct cell){.type = CELL_TS, .ts = value->ts};
    case TYPE_BOOL:
        return (struct cell){.type = CELL_BOOL, .u64 = value->u64};
    case TYPE_IP:
        ip_format(&value->ip, text);
        return text_cell(text);
    case TYPE_NETWORK:
        network.bits = (uint8_t)query_network_bits(column, ip_is_v4(&value->ip));
        ip_prefix_format(&network, text);
        return text_cell(text);
    case TYPE_ID128:
        text_to_hex(value->id.b, sizeof value->id.b, text);
        return text_cell(text);
    case TYPE_STAGE:
        return text_cell(event_stage_name((enum stage)value->u64));
    case TYPE_DIRECTION:
        return text_cell(event_direction_name((enum direction)value->u64));
    default:
        return (struct cell){.type = CELL_U64, .u64 = value->u64};
    }
}
