/* SPDX-License-Identifier: Apache-2.0
 *
 * consolidate: see consolidate.h. Two chained hash tables over fixed arrays: messages by message_id, in a
 * list from the least to the most recently seen, and their requests by (message_id, stage, recipient). The
 * arrays come zeroed from the kernel and are touched only as far as they fill.
 */
#include "consolidate.h"

#include <stdlib.h>
#include <xxhash.h>

enum { NONE = 0, REQUESTS_A_MESSAGE = 4 }; /* links are index + 1 */

struct message {
    struct id128 id;
    int64_t last_seen; /* hub time */
    uint64_t first_seq;
    uint32_t first_epoch;
    uint32_t chain;        /* next with the same bucket; next free one */
    uint32_t older, newer; /* in the order of use */
    uint32_t requests;
    uint8_t directions; /* of its RCPTs, a bit each */
};

struct request {
    uint64_t key, seq;
    uint32_t epoch, chain, sibling;
};

struct consolidate {
    struct message *messages;
    struct request *requests;
    uint32_t *message_buckets, *request_buckets;
    size_t message_mask, request_mask;
    uint32_t message_max, request_max;
    uint32_t message_fresh, request_fresh; /* never used from here on */
    uint32_t message_free, request_free;
    uint32_t oldest, newest;
    size_t count;
};

static uint32_t *message_bucket(struct consolidate *c, const struct id128 *id)
{
    uint64_t hash;
    memcpy(&hash, id->b, sizeof hash); /* it is a hash already */
    return &c->message_buckets[hash & c->message_mask];
}

static uint32_t *request_bucket(struct consolidate *c, uint64_t key)
{
    return &c->request_buckets[key & c->request_mask];
}

static size_t power_of_two(size_t n)
{
    size_t power = 1;
    while (power < n)
        power *= 2;
    return power;
}

int consolidate_create(struct consolidate **out, size_t max_messages)
{
    if (max_messages == 0 || max_messages > CONSOLIDATE_MESSAGES)
        return ERR_LIMIT;
    struct consolidate *c = calloc(1, sizeof *c);
    *out = c;
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->message_max = (uint32_t)max_messages;
    c->request_max = c->message_max * REQUESTS_A_MESSAGE;
    size_t message_buckets = power_of_two(c->message_max), request_buckets = power_of_two(c->request_max);
    c->message_mask = message_buckets - 1;
    c->request_mask = request_buckets - 1;
    c->messages = calloc(c->message_max, sizeof *c->messages);
    c->requests = calloc(c->request_max, sizeof *c->requests);
    c->message_buckets = calloc(message_buckets, sizeof *c->message_buckets);
    c->request_buckets = calloc(request_buckets, sizeof *c->request_buckets);
    if (c->messages != NULL && c->requests != NULL && c->message_buckets != NULL &&
        c->request_buckets != NULL)
        return 0;
    consolidate_destroy(out);
    return ERR_NO_MEMORY;
}

void consolidate_destroy(struct consolidate **consolidate)
{
    struct consolidate *c = *consolidate;
    if (c == NULL)
        return;
    free(c->messages);
    free(c->requests);
    free(c->message_buckets);
    free(c->request_buckets);
    free(c);
    *consolidate = NULL;
}

size_t consolidate_messages(const struct consolidate *consolidate)
{
    return consolidate->count;
}

/* The order of use. */
static void unlink_message(struct consolidate *c, struct message *m)
{
    *(m->older != NONE ? &c->messages[m->older - 1].newer : &c->oldest) = m->newer;
    *(m->newer != NONE ? &c->messages[m->newer - 1].older : &c->newest) = m->older;
}

static void link_newest(struct consolidate *c, struct message *m)
{
    uint32_t link = (uint32_t)(m - c->messages) + 1;
    m->older = c->newest;
    m->newer = NONE;
    *(c->newest != NONE ? &c->messages[c->newest - 1].newer : &c->oldest) = link;
    c->newest = link;
}

static void forget_request(struct consolidate *c, uint32_t link)
{
    struct request *r = &c->requests[link - 1];
    uint32_t *at = request_bucket(c, r->key);
    while (*at != link)
        at = &c->requests[*at - 1].chain;
    *at = r->chain;
    r->chain = c->request_free;
    c->request_free = link;
}

static void forget_message(struct consolidate *c, uint32_t link)
{
    struct message *m = &c->messages[link - 1];
    for (uint32_t request = m->requests, next; request != NONE; request = next) {
        next = c->requests[request - 1].sibling;
        forget_request(c, request);
    }
    uint32_t *at = message_bucket(c, &m->id);
    while (*at != link)
        at = &c->messages[*at - 1].chain;
    *at = m->chain;
    unlink_message(c, m);
    m->chain = c->message_free;
    c->message_free = link;
    c->count--;
}

static void forget_idle(struct consolidate *c, int64_t now)
{
    while (c->oldest != NONE && c->messages[c->oldest - 1].last_seen < now - CONSOLIDATE_IDLE_US)
        forget_message(c, c->oldest);
}

static struct message *find_message(struct consolidate *c, const struct id128 *id)
{
    for (uint32_t link = *message_bucket(c, id); link != NONE; link = c->messages[link - 1].chain)
        if (memcmp(c->messages[link - 1].id.b, id->b, sizeof id->b) == 0)
            return &c->messages[link - 1];
    return NULL;
}

static uint32_t epoch_tag(const struct event *event)
{
    uint32_t tag;
    memcpy(&tag, event->epoch.b, sizeof tag); /* random by nature */
    return tag;
}

static struct message *add_message(struct consolidate *c, const struct event *event)
{
    if (c->message_free == NONE && c->message_fresh == c->message_max)
        forget_message(c, c->oldest);
    uint32_t link = c->message_free;
    if (link != NONE)
        c->message_free = c->messages[link - 1].chain;
    else
        link = ++c->message_fresh;
    struct message *m = &c->messages[link - 1];
    uint32_t *bucket = message_bucket(c, &event->message_id);
    *m = (struct message){
        .id = event->message_id, .first_seq = event->seq, .first_epoch = epoch_tag(event), .chain = *bucket};
    *bucket = link;
    c->count++;
    return m;
}

/* The message of an event, now the most recently seen. */
static struct message *need_message(struct consolidate *c, const struct event *event)
{
    struct message *m = find_message(c, &event->message_id);
    if (m != NULL)
        unlink_message(c, m);
    else
        m = add_message(c, event);
    link_newest(c, m);
    m->last_seen = event->hub_ts;
    return m;
}

/* A request's place, or NONE when only this one message is left to make room. */
static uint32_t need_request(struct consolidate *c, const struct message *keep)
{
    while (c->request_free == NONE && c->request_fresh == c->request_max) {
        if (&c->messages[c->oldest - 1] == keep)
            return NONE;
        forget_message(c, c->oldest);
    }
    uint32_t link = c->request_free;
    if (link == NONE)
        return ++c->request_fresh;
    c->request_free = c->requests[link - 1].chain;
    return link;
}

static uint64_t request_key(const struct event *event)
{
    struct slice who = event->stage == STAGE_RCPT ? event->recipient : (struct slice){"", 0};
    uint64_t message;
    memcpy(&message, event->message_id.b + 8, sizeof message);
    return XXH3_64bits_withSeed(who.p, who.n, message + event->stage);
}

/* The seq of the request that this one repeats, 0 when it is the first. */
static uint64_t find_or_add_request(struct consolidate *c, struct message *m, const struct event *event)
{
    uint64_t key = request_key(event);
    uint32_t *bucket = request_bucket(c, key), epoch = epoch_tag(event);
    for (uint32_t link = *bucket; link != NONE; link = c->requests[link - 1].chain) {
        const struct request *r = &c->requests[link - 1];
        if (r->key == key)
            return r->seq == event->seq && r->epoch == epoch ? 0 : r->seq;
    }
    uint32_t link = need_request(c, m);
    if (link == NONE)
        return 0;
    c->requests[link - 1] = (struct request){
        .key = key, .seq = event->seq, .epoch = epoch, .chain = *bucket, .sibling = m->requests};
    *bucket = link;
    m->requests = link;
    return 0;
}

/* What an END-OF-MESSAGE stands for when no RCPT told of its recipients. */
static uint32_t own_recipients(const struct event *event)
{
    if (event->stage == STAGE_RCPT)
        return 1;
    if (event->stage != STAGE_END_OF_MESSAGE)
        return 0;
    return event->recipient_count == 0 && event->recipient.n > 0 ? 1 : event->recipient_count;
}

static void late_direction(const struct message *m, struct event *event)
{
    unsigned heard = m->directions;
    if (event->recipient.n > 0 || heard == 0)
        return;
    bool one = (heard & (heard - 1)) == 0;
    event->direction = one ? (event_direction)__builtin_ctz(heard) : DIRECTION_ABSENT;
}

void consolidate_event(struct consolidate *consolidate, struct event *event)
{
    event->first_of_message = false;
    event->retry_of = 0;
    event->recipients = 0;
    if (event->stage != STAGE_MAIL && event->stage != STAGE_RCPT && event->stage != STAGE_DATA &&
        event->stage != STAGE_END_OF_MESSAGE)
        return;
    if (event->instance.n == 0) { /* nothing can be joined to it */
        event->first_of_message = event->stage != STAGE_MAIL;
        event->recipients = own_recipients(event);
        return;
    }
    forget_idle(consolidate, event->hub_ts);
    struct message *m = need_message(consolidate, event);
    event->first_of_message = m->first_seq == event->seq && m->first_epoch == epoch_tag(event);
    event->retry_of = find_or_add_request(consolidate, m, event);
    if (event->retry_of == 0 && (event->stage == STAGE_RCPT || m->directions == 0))
        event->recipients = own_recipients(event);
    if (event->stage == STAGE_RCPT)
        m->directions |= (uint8_t)(1U << event->direction);
    else if (event->stage != STAGE_MAIL)
        late_direction(m, event);
}
