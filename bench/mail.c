/* SPDX-License-Identifier: Apache-2.0
 *
 * mail: see mail.h.
 */
#include "mail.h"

#include "store/fixture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 20000, RECIPIENTS = 50000 };

struct mail {
    uint64_t random, number;
    double step_us;               /* between two messages */
    double *senders, *recipients; /* cumulative */
    struct event events[MAIL_CHUNK];
    char *texts; /* of the chunk, MAIL_CHUNK × 512 bytes */
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

static struct slice text(struct mail *mail, const char *fmt, ...) PRINTF_LIKE(2, 3);
static struct slice text(struct mail *mail, const char *fmt, ...)
{
    va_list args;
    char *at = mail->texts + mail->used;
    va_start(args, fmt);
    int n = vsnprintf(at, 256, fmt, args);
    va_end(args);
    mail->used += (size_t)n;
    return (struct slice){at, (size_t)n};
}

/* What Postfix says of a client that is the same for all requests of a message. */
static struct event common(struct mail *mail)
{
    uint64_t *random = &mail->random;
    struct event e = {.rule_version = 3};
    e.tenant = fixture_below(random, 2) ? 1 : 2 + (uint32_t)fixture_below(random, MAIL_TENANTS - 1);
    size_t sender = pick(mail->senders, SENDERS, random), client = sender * 7 % 30011;
    uint64_t id[2] = {fixture_random(random), fixture_random(random)};
    int64_t now =
        FIXTURE_START_US +
        (int64_t)(((double)mail->number + (double)fixture_below(random, 1000) / 1000) * mail->step_us);
    memcpy(e.message_id.b, id, sizeof id);
    memset(e.epoch.b, (int)e.tenant, 16);
    e.edge = text(mail, "mx%u.example.test", e.tenant);
    e.ts = e.edge_ts = now;
    e.hub_ts = now + 90000 + (int64_t)fixture_below(random, 20000);
    e.sender = text(mail, "user%zu@domain%zu.test", sender, sender % 3000);
    e.sender_domain = text(mail, "domain%zu.test", sender % 3000);
    e.client_name = text(mail, "mail%zu.domain%zu.test", client % 10, client % 3000);
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
    e.instance = text(mail, "%x.%" PRIx64 ".%x.0", (unsigned)fixture_below(random, 65536),
                      (uint64_t)(now / US_PER_SECOND), (unsigned)fixture_below(random, 1000000));
    e.queue_id = text(mail, "4%c%c%c%c%c%c%c%c%c%c", 'B' + (int)fixture_below(random, 20),
                      'B' + (int)fixture_below(random, 20), 'b' + (int)fixture_below(random, 20),
                      'B' + (int)fixture_below(random, 20), 'b' + (int)fixture_below(random, 20),
                      '0' + (int)fixture_below(random, 10), 'z', 'B' + (int)fixture_below(random, 20),
                      'b' + (int)fixture_below(random, 20), 'B' + (int)fixture_below(random, 20));
    e.mail_version = SLICE("3.7.11");
    e.compatibility_level = SLICE("3.6");
    e.direction = (uint8_t)(1 + fixture_below(random, 3));
    return e;
}

static void make_message(struct mail *mail, struct event *out)
{
    struct event e = common(mail);
    struct slice queue_id = e.queue_id;
    for (size_t i = 0; i < MAIL_PER_MESSAGE; i++, out++) {
        size_t recipient = pick(mail->recipients, RECIPIENTS, &mail->random);
        e.ts = e.edge_ts += (int64_t)fixture_below(&mail->random, 20000);
        e.seq = mail->number * MAIL_PER_MESSAGE + i;
        *out = e;
        out->first_of_message = i == 0;
        out->stage = i == 2 ? STAGE_END_OF_MESSAGE : STAGE_RCPT;
        out->queue_id = i == 0 ? (struct slice){NULL, 0} : queue_id;
        if (i < 2) {
            out->recipients = 1;
            out->recipient = text(mail, "rcpt%zu@tenant%u.test", recipient, e.tenant);
            out->recipient_domain = text(mail, "tenant%u.test", e.tenant);
        } else {
            out->recipient_count = 2;
            out->size = 500 + fixture_below(&mail->random, 1 << (8 + fixture_below(&mail->random, 14)));
        }
    }
    mail->number++;
}

const struct event *mail_make(struct mail *mail, size_t wanted, size_t *count)
{
    wanted = wanted < MAIL_CHUNK ? wanted : MAIL_CHUNK;
    mail->used = 0;
    for (*count = 0; *count + MAIL_PER_MESSAGE <= wanted; *count += MAIL_PER_MESSAGE)
        make_message(mail, &mail->events[*count]);
    return mail->events;
}

struct mail *mail_create(uint64_t seed, uint64_t rows, double days)
{
    struct mail *mail = calloc(1, sizeof *mail);
    if (mail == NULL || (mail->texts = malloc((size_t)MAIL_CHUNK * 512)) == NULL)
        abort();
    mail->random = seed;
    mail->step_us = days * 86400e6 / ((double)rows / MAIL_PER_MESSAGE);
    mail->senders = zipf(SENDERS);
    mail->recipients = zipf(RECIPIENTS);
    return mail;
}

void mail_destroy(struct mail **mail)
{
    free((*mail)->senders);
    free((*mail)->recipients);
    free((*mail)->texts);
    free(*mail);
    *mail = NULL;
}
