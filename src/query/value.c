/* SPDX-License-Identifier: Apache-2.0
 *
 * value: see value.h. Strings are taken for every type, so that the command line needs no types. What
 * Postfix means by absent (an empty text, the number 0, the zero address) is absent here too, where the
 * column can be.
 */
#include "query/value.h"

#include "query/derive.h"

#include <stdio.h>

const char *value_shown(const char *text)
{
    static _Thread_local char shown[64];
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < sizeof shown; n++)
        shown[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? '?' : text[n];
    while (text[n] != '\0' && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--; /* never half a character */
    shown[n] = '\0';
    return shown;
}

uint64_t value_max(enum column column)
{
    switch (event_columns[column].type) {
    case TYPE_U8:
        return UINT8_MAX;
    case TYPE_U16:
        return UINT16_MAX;
    case TYPE_U32:
        return UINT32_MAX;
    case TYPE_U64:
        return UINT64_MAX;
    case TYPE_BOOL:
        return 1;
    case TYPE_DIRECTION:
        return DIRECTION_COUNT - 1;
    case TYPE_STAGE:
        return STAGE_COUNT - 1;
    default:
        return 0;
    }
}

const char *value_expected(enum column column, enum query_op op)
{
    switch (event_columns[column].type) {
    case TYPE_U8:
        return "a number from 0 to 255";
    case TYPE_U16:
        return "a number from 0 to 65535";
    case TYPE_U32:
        return "a number from 0 to 4294967295";
    case TYPE_U64:
        return "a number from 0 to 18446744073709551615 (above 9223372036854775807 as a string)";
    case TYPE_BOOL:
        return "true or false";
    case TYPE_TS:
        return "a time as in RFC 3339, such as 2026-03-12T14:05:09Z";
    case TYPE_IP:
        return op == OP_CIDR ? "a network such as 192.0.2.0/24 or 2001:db8::/32, host bits 0"
                             : "an IPv4 or IPv6 address";
    case TYPE_NETWORK:
        return column == COLUMN_client_block ? "a network of /16 (IPv4) or /48 (IPv6)"
                                             : "a network of /24 (IPv4) or /64 (IPv6)";
    case TYPE_ID128:
        return "32 hexadecimal digits";
    case TYPE_DIRECTION:
        return "in, out, internal, relay or unknown";
    case TYPE_STAGE:
        return "CONNECT, HELO, EHLO, MAIL, RCPT, DATA, END-OF-MESSAGE, VRFY, ETRN or OTHER";
    default:
        return "a text";
    }
}

static int parse_number(enum column column, const json_t *json, struct slice text, uint64_t *out)
{
    uint64_t max = value_max(column);
    if (json_is_string(json))
        return text_to_u64(text, max, out);
    if (!json_is_integer(json) || json_integer_value(json) < 0)
        return ERR_INVALID;
    *out = (uint64_t)json_integer_value(json);
    return *out > max ? ERR_LIMIT : 0;
}

static int parse_bool(const json_t *json, struct slice text, uint64_t *out)
{
    *out = json_is_true(json) || slice_equal(text, SLICE("true"));
    return json_is_boolean(json) || *out || slice_equal(text, SLICE("false")) ? 0 : ERR_INVALID;
}

static int parse_enum(enum column_type type, struct slice text, uint64_t *out)
{
    enum direction direction = DIRECTION_ABSENT;
    enum stage stage = STAGE_OTHER;
    int rc = type == TYPE_STAGE ? event_stage_parse(text, &stage) : event_direction_parse(text, &direction);
    *out = type == TYPE_STAGE ? (uint64_t)stage : (uint64_t)direction;
    return rc;
}

static int parse_text(enum column column, struct slice text, struct buf *into, struct slice *out)
{
    if (text.n > QUERY_VALUE_BYTES)
        return ERR_LIMIT;
    char *at = into->p + into->n;
    int rc = buf_add_slice(into, text);
    if (rc != 0)
        return rc;
    *out = (struct slice){at, text.n};
    enum column of = event_columns[column].of;
    if (of == COLUMN_sender_domain || of == COLUMN_recipient_domain)
        text_lower(*out, at); /* as they are stored */
    return 0;
}

/* One of those that the column has: of its length. */
static int parse_network(enum column column, struct slice text, struct ip *out)
{
    struct ip_prefix prefix;
    int rc = ip_prefix_parse(text, &prefix);
    if (rc != 0)
        return rc;
    *out = prefix.net;
    return prefix.bits == query_network_bits(column, ip_is_v4(out)) ? 0 : ERR_INVALID;
}

static int parse_typed(enum column column, enum query_op op, const json_t *json, struct buf *into,
                       struct query_value *out)
{
    bool is_text = json_is_string(json);
    struct slice text =
        is_text ? (struct slice){json_string_value(json), json_string_length(json)} : (struct slice){NULL, 0};
    enum column_type type = event_columns[column].type;
    switch (type) {
    case TYPE_U8:
    case TYPE_U16:
    case TYPE_U32:
    case TYPE_U64:
        return parse_number(column, json, text, &out->u64);
    case TYPE_BOOL:
        return parse_bool(json, text, &out->u64);
    case TYPE_TS:
        return is_text ? clock_parse(text, &out->ts) : ERR_INVALID;
    case TYPE_IP:
        if (op == OP_CIDR)
            return is_text ? ip_prefix_parse(text, &out->prefix) : ERR_INVALID;
        return is_text ? ip_parse(text, &out->ip) : ERR_INVALID;
    case TYPE_NETWORK:
        return is_text ? parse_network(column, text, &out->ip) : ERR_INVALID;
    case TYPE_ID128:
        return is_text ? text_from_hex(text, out->id.b, sizeof out->id.b) : ERR_INVALID;
    case TYPE_DIRECTION:
    case TYPE_STAGE:
        return is_text ? parse_enum(type, text, &out->u64) : ERR_INVALID;
    default:
        return is_text ? parse_text(column, text, into, &out->text) : ERR_INVALID;
    }
}

/* What the event has as its column's absent value. */
static bool means_absent(enum column_type type, const struct query_value *value)
{
    static const struct ip zero;
    switch (type) {
    case TYPE_TEXT:
        return value->text.n == 0;
    case TYPE_IP:
        return ip_compare(&value->ip, &zero) == 0;
    case TYPE_U8:
    case TYPE_U16:
    case TYPE_U32:
    case TYPE_U64:
    case TYPE_DIRECTION:
        return value->u64 == 0;
    default:
        return false;
    }
}

int value_parse(enum column column, enum query_op op, const json_t *json, const char *name, struct buf *text,
                struct query_value *out, struct err *err)
{
    const struct column_info *info = &event_columns[column];
    bool matches = op == OP_EQ || op == OP_NE || op == OP_IN;
    *out = (struct query_value){0};
    if (json_is_null(json)) {
        out->absent = true;
        if (op == OP_RANGE || (matches && info->nullable))
            return 0;
        return err_set(err, ERR_INVALID, "%s: %s is never absent here; null does not fit", name, info->name);
    }
    int rc = parse_typed(column, op, json, text, out);
    if (rc == ERR_LIMIT && info->type == TYPE_TEXT)
        return err_set(err, ERR_LIMIT, "%s: at most %d bytes", name, QUERY_VALUE_BYTES);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "out of memory");
    if (rc != 0)
        return err_set(err, ERR_INVALID, "%s: %s takes %s, not '%s'", name, info->name,
                       value_expected(column, op),
                       json_is_string(json) ? value_shown(json_string_value(json)) : "something else");
    out->absent = matches && info->nullable && means_absent(info->type, out);
    if ((op == OP_PREFIX || op == OP_SUFFIX || op == OP_CONTAINS) && out->text.n == 0)
        return err_set(err, ERR_INVALID, "%s: an empty %s fits everything; leave the filter out", name,
                       op == OP_CONTAINS ? "text" : query_op_name(op));
    return 0;
}
