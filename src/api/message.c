/* SPDX-License-Identifier: Apache-2.0
 *
 * message: see message.h.
 */
#include "message.h"

#include "field.h"
#include "store/scan.h"

uint64_t message_columns(void)
{
    static const enum column columns[] = {
        COLUMN_message_id,     COLUMN_stage,       COLUMN_direction,           COLUMN_retry_of,
        COLUMN_recipients,     COLUMN_sender,      COLUMN_recipient,           COLUMN_size,
        COLUMN_queue_id,       COLUMN_client_name, COLUMN_helo_name,           COLUMN_sasl_username,
        COLUMN_client_address, COLUMN_edge,        COLUMN_encryption_protocol,
    };
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        bits |= STORE_SCAN_BIT(columns[i]);
    return bits;
}

void message_init(struct message *message, const struct event *first)
{
    *message = (struct message){.id = first->message_id,
                                .tenant = first->tenant,
                                .listed = {.tenant = first->tenant,
                                           .ts = first->ts,
                                           .message_id = first->message_id,
                                           .epoch = first->epoch,
                                           .seq = first->seq},
                                .first_ts = first->ts,
                                .last_ts = first->ts,
                                .texts = {.limit = MESSAGE_TEXT_BYTES}};
}

void message_fini(struct message *message)
{
    buf_fini(&message->texts);
}

/* Keeps the first that there is. */
static int keep(struct message *message, struct message_text *text, struct slice value)
{
    if (text->n > 0 || value.n == 0)
        return 0;
    int rc = buf_add_slice(&message->texts, value);
    if (rc == 0)
        *text = (struct message_text){message->texts.n - value.n, value.n};
    return rc == ERR_LIMIT ? 0 : rc;
}

int message_take(struct message *message, const struct event *event)
{
    const struct {
        struct message_text *text;
        struct slice value;
    } texts[] = {
        {&message->edge, event->edge},
        {&message->sender, event->sender},
        {&message->recipient, event->recipient},
        {&message->queue_id, event->queue_id},
        {&message->client_name, event->client_name},
        {&message->helo_name, event->helo_name},
        {&message->sasl_username, event->sasl_username},
    };
    static const struct ip none;
    int rc = 0;
    message->first_ts = event->ts < message->first_ts ? event->ts : message->first_ts;
    message->last_ts = event->ts > message->last_ts ? event->ts : message->last_ts;
    message->events++;
    message->recipients += event->recipients;
    message->stages |= 1U << event->stage;
    message->tls = message->tls || event->encryption_protocol.n > 0;
    if (event->direction != DIRECTION_ABSENT)
        message->directions |= 1U << event->direction;
    if (event->stage == STAGE_END_OF_MESSAGE && event->retry_of == 0 && event->size > message->size)
        message->size = event->size;
    if (ip_compare(&message->client_address, &none) == 0)
        message->client_address = event->client_address;
    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof *texts; i++)
        rc = keep(message, texts[i].text, texts[i].value);
    return rc;
}

struct slice message_edge(const struct message *message)
{
    return (struct slice){message->texts.p != NULL ? message->texts.p + message->edge.at : "",
                          message->edge.n};
}

static int write_text(const struct message *message, struct buf *out, const char *name,
                      const struct message_text *text)
{
    int rc = buf_addf(out, ",\"%s\":", name);
    if (rc != 0 || text->n == 0)
        return rc != 0 ? rc : buf_addf(out, "null");
    return field_write(out, (struct slice){message->texts.p + text->at, text->n});
}

/* ["in","out"]: the names whose bits are set. */
static int write_names(struct buf *out, const char *member, unsigned bits, unsigned count,
                       const char *(*name)(unsigned i))
{
    const char *before = "";
    int rc = buf_addf(out, ",\"%s\":[", member);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        if ((bits & 1U << i) != 0) {
            rc = buf_addf(out, "%s\"%s\"", before, name(i));
            before = ",";
        }
    return rc != 0 ? rc : buf_addf(out, "]");
}

static const char *stage_name(unsigned i)
{
    return event_stage_name((enum stage)i);
}

static const char *direction_name(unsigned i)
{
    return event_direction_name((enum direction)i);
}

static int write_numbers(const struct message *message, struct buf *out)
{
    static const struct ip none;
    char address[IP_TEXT_BYTES + 2] = "null";
    if (ip_compare(&message->client_address, &none) != 0) {
        address[0] = '"';
        ip_format(&message->client_address, address + 1);
        (void)strcat(address, "\"");
    }
    int rc = buf_addf(out, ",\"client_address\":%s,\"tls\":%s,\"recipients\":%llu,\"events\":%llu,\"size\":",
                      address, message->tls ? "true" : "false", (unsigned long long)message->recipients,
                      (unsigned long long)message->events);
    if (rc != 0)
        return rc;
    return message->size > 0 ? buf_addf(out, "%llu", (unsigned long long)message->size)
                             : buf_addf(out, "null");
}

int message_write(const struct message *message, struct buf *out)
{
    const struct {
        const char *name;
        const struct message_text *text;
    } texts[] = {
        {"edge", &message->edge},
        {"sender", &message->sender},
        {"recipient", &message->recipient},
        {"queue_id", &message->queue_id},
        {"client_name", &message->client_name},
        {"helo_name", &message->helo_name},
        {"sasl_username", &message->sasl_username},
    };
    char id[2 * sizeof message->id.b + 1], first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
    text_to_hex(message->id.b, sizeof message->id.b, id);
    clock_format(message->first_ts, first);
    clock_format(message->last_ts, last);
    int rc = buf_addf(out, "\"id\":\"%s\",\"tenant\":%u,\"first_ts\":\"%s\",\"last_ts\":\"%s\"", id,
                      message->tenant, first, last);
    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof *texts; i++)
        rc = write_text(message, out, texts[i].name, texts[i].text);
    if (rc == 0)
        rc = write_numbers(message, out);
    if (rc == 0)
        rc = write_names(out, "directions", message->directions, DIRECTION_COUNT, direction_name);
    return rc != 0 ? rc : write_names(out, "stages", message->stages, STAGE_COUNT, stage_name);
}
