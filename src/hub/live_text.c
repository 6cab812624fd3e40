/* SPDX-License-Identifier: Apache-2.0
 *
 * live_text: see live_text.h.
 */
#include "live_text.h"

#include "api/field.h"
#include "audience.h"
#include "base/clock.h"

static const enum column shown[] = {
    COLUMN_ts,
    COLUMN_edge,
    COLUMN_stage,
    COLUMN_direction,
    COLUMN_message_id,
    COLUMN_queue_id,
    COLUMN_client_address,
    COLUMN_client_name,
    COLUMN_helo_name,
    COLUMN_sasl_username,
    COLUMN_sender,
    COLUMN_recipient,
    COLUMN_recipients,
    COLUMN_size,
    COLUMN_retry_of,
    COLUMN_first_of_message,
    COLUMN_encryption_protocol,
};

/* ---- an event ------------------------------------------------------------------------------------ */

static bool number_of(const void *field, enum column_type type, uint64_t *out)
{
    switch (type) {
    case TYPE_U8:
    case TYPE_BOOL:
    case TYPE_STAGE:
    case TYPE_DIRECTION:
        *out = *(const uint8_t *)field;
        return true;
    case TYPE_U16:
        *out = *(const uint16_t *)field;
        return true;
    case TYPE_U32:
        *out = *(const uint32_t *)field;
        return true;
    case TYPE_U64:
        *out = *(const uint64_t *)field;
        return true;
    default:
        return false;
    }
}

static bool is_absent(const void *field, enum column_type type)
{
    static const struct ip nowhere;
    uint64_t number;
    if (type == TYPE_TEXT)
        return ((const struct slice *)field)->n == 0;
    if (type == TYPE_IP)
        return ip_compare(field, &nowhere) == 0;
    return number_of(field, type, &number) && number == 0;
}

static int write_value(struct buf *out, const void *field, enum column_type type)
{
    char text[IP_TEXT_BYTES];
    uint64_t number = 0;
    (void)number_of(field, type, &number);
    switch (type) {
    case TYPE_TEXT:
        return field_write(out, *(const struct slice *)field);
    case TYPE_TS:
        clock_format(*(const int64_t *)field, text);
        break;
    case TYPE_IP:
        ip_format(field, text);
        break;
    case TYPE_ID128:
        text_to_hex(field, sizeof(struct id128), text);
        break;
    case TYPE_STAGE:
        return field_write(out, slice_of(event_stage_name((enum stage)number)));
    case TYPE_DIRECTION:
        return field_write(out, slice_of(event_direction_name((enum direction)number)));
    case TYPE_BOOL:
        return buf_addf(out, number != 0 ? "true" : "false");
    default:
        return buf_addf(out, "%llu", (unsigned long long)number);
    }
    return buf_addf(out, "\"%s\"", text);
}

int live_text_event(struct buf *out, const struct event *event)
{
    int rc = 0;
    const char *before = "{";
    for (size_t i = 0; rc == 0 && i < sizeof shown / sizeof *shown; i++) {
        const struct column_info *info = &event_columns[shown[i]];
        const void *field = (const char *)event + info->offset;
        if (info->nullable && is_absent(field, info->type))
            continue;
        rc = buf_addf(out, "%s\"%s\":", before, info->name);
        if (rc == 0)
            rc = write_value(out, field, info->type);
        before = ",";
    }
    return rc != 0 ? rc : buf_add(out, "}", 1);
}

/* ---- a batch ------------------------------------------------------------------------------------- */

static int write_counts(struct buf *out, const struct tally_counts *counts)
{
    return buf_addf(out, "\"requests\":%llu,\"messages\":%llu,\"recipients\":%llu",
                    (unsigned long long)counts->requests, (unsigned long long)counts->messages,
                    (unsigned long long)counts->recipients);
}

static int write_directions(struct buf *out, const struct tally_second *second)
{
    int rc = 0;
    const char *before = "";
    for (unsigned d = 0; rc == 0 && d < DIRECTION_COUNT; d++) {
        if (second->of[d].requests == 0)
            continue;
        const char *name = d == DIRECTION_ABSENT ? "none" : event_direction_name((enum direction)d);
        rc = buf_addf(out, "%s\"%s\":{", before, name);
        if (rc == 0)
            rc = write_counts(out, &second->of[d]);
        if (rc == 0)
            rc = buf_add(out, "}", 1);
        before = ",";
    }
    return rc;
}

static int write_second(struct buf *out, const struct tally_second *second, const char *before)
{
    char time[CLOCK_TEXT_BYTES];
    struct tally_counts sum = tally_sum(second);
    clock_format(second->second * US_PER_SECOND, time);
    int rc = buf_addf(out, "%s{\"second\":\"%s\",", before, time);
    if (rc == 0)
        rc = write_counts(out, &sum);
    if (rc == 0)
        rc = buf_addf(out, ",\"by_direction\":{");
    if (rc == 0)
        rc = write_directions(out, second);
    return rc != 0 ? rc : buf_addf(out, "}}");
}

static int write_events(struct buf *out, const struct tally *tally, const struct slot *slot)
{
    int rc = buf_addf(out, ",\"sampled\":{\"shown\":%zu,\"of\":%llu},\"events\":[", slot->event_count,
                      (unsigned long long)tally->matched);
    for (size_t i = 0; rc == 0 && i < slot->event_count; i++) {
        rc = i > 0 ? buf_add(out, ",", 1) : 0;
        if (rc == 0)
            rc = buf_add_slice(out, buf_slice(&slot->events[i].json));
    }
    return rc != 0 ? rc : buf_add(out, "]", 1);
}

int live_text_batch(struct buf *out, const struct tally *tally, const struct slot *slot, int64_t now_us,
                    int64_t lag_us)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format(now_us, time);
    lag_us = tally->lag_us > lag_us ? tally->lag_us : lag_us;
    int rc = buf_addf(out, "{\"type\":\"batch\",\"at\":\"%s\",\"lag_ms\":%lld,\"late\":%llu,\"counts\":[",
                      time, (long long)lag_us / 1000, (unsigned long long)tally->late);
    for (size_t i = 0; rc == 0 && i < tally->second_count; i++)
        rc = write_second(out, &tally->seconds[i], i > 0 ? "," : "");
    if (rc == 0)
        rc = buf_add(out, "]", 1);
    if (rc == 0)
        rc = write_events(out, tally, slot);
    return rc != 0 ? rc : buf_add(out, "}", 1);
}

/* ---- answers ------------------------------------------------------------------------------------- */

int live_text_subscribed(struct buf *out, const struct subscription *subscription)
{
    return buf_addf(out, "{\"type\":\"subscribed\",\"where\":%s,\"events\":%s,\"rate\":%u}",
                    subscription->text, subscription->rate > 0 ? "true" : "false", subscription->rate);
}

int live_text_error(struct buf *out, int code, const char *detail)
{
    int rc = buf_addf(out, "{\"type\":\"error\",\"code\":\"%s\",\"detail\":", err_name(code));
    if (rc == 0)
        rc = field_write(out, slice_of(detail));
    return rc != 0 ? rc : buf_add(out, "}", 1);
}
