/* SPDX-License-Identifier: Apache-2.0
 *
 * subscription_fuzz: any bytes as a client's message to /api/v1/live. What is taken filters events, and what
 * the answer repeats of it is the same subscription again.
 */
#include "fuzz.h"
#include "hub/live_text.h"
#include "hub/subscription.h"
#include "query/match.h"

#include <stdlib.h>

static bool taken, matched, missed;

static void match_an_event(const struct subscription *subscription)
{
    struct event event = {.tenant = 7,
                          .ts = 1772366400 * US_PER_SECOND,
                          .stage = STAGE_RCPT,
                          .direction = DIRECTION_IN,
                          .sender = SLICE("ann@sender.example"),
                          .recipient = SLICE("u@example.com"),
                          .recipient_domain = SLICE("example.com")};
    bool matches = query_match(subscription->filter, &event);
    matched = matched || (matches && subscription->filter->filter_count > 0);
    missed = missed || !matches;
}

static void take_again(const struct subscription *subscription)
{
    struct buf answer;
    struct subscription again;
    struct err err = {0};
    size_t begin = strlen("{\"type\":\"subscribed\",");
    buf_init(&answer, 16 * SUBSCRIPTION_BYTES);
    if (live_text_subscribed(&answer, subscription) != 0 || answer.n <= begin)
        abort();
    answer.p[begin - 1] = '{';
    struct slice json = {answer.p + begin - 1, answer.n - begin + 1};
    if (subscription->rate > 0 && json.n <= SUBSCRIPTION_BYTES) {
        if (subscription_parse(json, 7, &again, &err) != 0 || !subscription_equal(subscription, &again))
            abort();
        subscription_fini(&again);
    }
    buf_fini(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err err = {0};
    struct subscription subscription;
    if (subscription_parse((struct slice){(const char *)data, n}, 7, &subscription, &err) != 0) {
        if (subscription.filter != NULL || subscription.text != NULL || err.detail[0] == '\0')
            abort();
        return 0;
    }
    taken = true;
    match_an_event(&subscription);
    take_again(&subscription);
    subscription_fini(&subscription);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !taken     ? "a subscription that is taken"
           : !matched ? "a filter that holds"
           : !missed  ? "a filter that doesn't"
                      : NULL;
}
