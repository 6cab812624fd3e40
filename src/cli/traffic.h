/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic: plausible mail, as a Postfix server would ask about it. Pure: the same seed and the same times
 * give the same bytes; no clock, socket or global. The demo and the load generator draw from it. Only
 * documentation names and addresses appear (RFC 2606, RFC 5737, RFC 3849).
 *
 * The rhythm is that of Paris: people by hour and weekday, cron at full hours, newsletters on Tuesday and
 * Thursday at 10:00, spam flat with bursts. Over a week messages are 62 % in, 27 % out, 8 % internal, 2.5 %
 * relay, 0.5 % unknown, by the rules listed below. Senders follow Zipf's law, sizes are
 * lognormal. Each message is one RCPT request for each recipient, then END-OF-MESSAGE unless it was refused.
 */
#ifndef CLI_TRAFFIC_H
#define CLI_TRAFFIC_H

#include "base/buf.h"

enum {
    TRAFFIC_RECIPIENTS = 50,      /* of one message */
    TRAFFIC_TEXT_BYTES = 96,      /* an address or a name, with its NUL */
    TRAFFIC_ADDRESS_BYTES = 48,   /* an IP address, with its NUL */
    TRAFFIC_REQUEST_BYTES = 2048, /* one request */
};

enum traffic_direction {
    TRAFFIC_IN,
    TRAFFIC_OUT,
    TRAFFIC_INTERNAL,
    TRAFFIC_RELAY,
    TRAFFIC_UNKNOWN,
    TRAFFIC_DIRECTIONS
};

struct traffic;

/* story_end_us: stories (an account taken over 2 days before, a dictionary attack 12 days before) are placed
 * relative to it; 0: none. ERR_NO_MEMORY. */
MUST_CHECK int traffic_create(struct traffic **out, uint64_t seed, int64_t story_end_us);
void traffic_destroy(struct traffic **traffic);

/* How much mail there is at ts against the mean of a week without stories: 1 is the mean. */
double traffic_intensity(const struct traffic *traffic, int64_t ts_us);

/* One message: plain data, 6 kB. */
struct traffic_message {
    int64_t ts_us; /* of its first request */
    enum traffic_direction direction;
    bool accepted;            /* Postfix took it: an END-OF-MESSAGE request follows the recipients */
    unsigned recipient_count; /* 1 to TRAFFIC_RECIPIENTS */
    uint64_t size_bytes;
    unsigned client_port, server_port, tls_bits;
    char client_address[TRAFFIC_ADDRESS_BYTES], client_name[TRAFFIC_TEXT_BYTES];
    char reverse_client_name[TRAFFIC_TEXT_BYTES], helo_name[TRAFFIC_TEXT_BYTES];
    char sender[TRAFFIC_TEXT_BYTES];
    char recipients[TRAFFIC_RECIPIENTS][TRAFFIC_TEXT_BYTES];
    char sasl_username[TRAFFIC_TEXT_BYTES];
    char tls_protocol[16], tls_cipher[40];
    char queue_id[20], instance[64];
};

/* Draws the next message at this time: what it is depends on the hour. */
void traffic_draw(struct traffic *traffic, int64_t ts_us, struct traffic_message *out);

/* When the message after one at ts_us comes, for a mean of messages_per_day over a week. */
int64_t traffic_next_us(struct traffic *traffic, int64_t ts_us, double messages_per_day);

/* A pause between two messages without any rhythm: exponential, mean 1. */
double traffic_pause(struct traffic *traffic);

/* How many requests the message makes, when the index-th is asked, and its bytes as Postfix sends them (with
 * the empty line) into out; returns their number. */
unsigned traffic_request_count(const struct traffic_message *message);
int64_t traffic_request_us(const struct traffic_message *message, unsigned index);
size_t traffic_request(const struct traffic_message *message, unsigned index,
                       char out[TRAFFIC_REQUEST_BYTES]);

const char *traffic_direction_name(enum traffic_direction direction);

/* The domains and networks by which a hub sees the directions as drawn; NULL ends each list. */
extern const char *const traffic_rule_domains[];
extern const char *const traffic_rule_networks[];

#endif
