/* SPDX-License-Identifier: Apache-2.0
 *
 * subscription: see subscription.h.
 */
#include "subscription.h"

#include "query/match.h"

#include <stdlib.h>

static int read_flag(const json_t *json, bool *out, struct err *err)
{
    *out = json == NULL || json_is_true(json);
    return json == NULL || json_is_boolean(json) ? 0 : err_set(err, ERR_INVALID, "events: true or false");
}

static int read_rate(const json_t *json, unsigned *out, struct err *err)
{
    json_int_t rate = json != NULL ? json_integer_value(json) : SUBSCRIPTION_RATE;
    if ((json != NULL && !json_is_integer(json)) || rate < 1 || rate > SUBSCRIPTION_RATE_MAX)
        return err_set(err, rate > SUBSCRIPTION_RATE_MAX ? ERR_LIMIT : ERR_INVALID,
                       "rate: events a second, a whole number from 1 to %d", SUBSCRIPTION_RATE_MAX);
    *out = (unsigned)rate;
    return 0;
}

static int read_filter(const json_t *where, size_t json_bytes, struct subscription *out, struct err *err)
{
    json_t *none = where == NULL ? json_array() : NULL;
    int rc = query_parse_filters(where != NULL ? where : none, json_bytes, &out->filter, err);
    if (rc == 0 &&
        (out->text = json_dumps(where != NULL ? where : none, JSON_COMPACT | JSON_SORT_KEYS)) == NULL)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    json_decref(none);
    return rc;
}

static int read_members(const json_t *json, size_t json_bytes, struct subscription *out, struct err *err)
{
    const json_t *where = json_object_get(json, "where"), *events = json_object_get(json, "events"),
                 *rate = json_object_get(json, "rate");
    bool shows = true;
    if (!json_is_object(json) ||
        json_object_size(json) != (size_t)((where != NULL) + (events != NULL) + (rate != NULL)))
        return err_set(err, ERR_INVALID, "a subscription is an object of where, events and rate");
    int rc = read_flag(events, &shows, err);
    if (rc == 0)
        rc = read_rate(rate, &out->rate, err);
    if (!shows)
        out->rate = 0;
    return rc != 0 ? rc : read_filter(where, json_bytes, out, err);
}

int subscription_parse(struct slice json, uint32_t tenant, struct subscription *out, struct err *err)
{
    json_error_t error;
    *out = (struct subscription){.rate = 0};
    if (json.n > SUBSCRIPTION_BYTES)
        return err_set(err, ERR_LIMIT, "a subscription has at most %d bytes", SUBSCRIPTION_BYTES);
    json_t *document = json_loadb(json.n > 0 ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        return err_set(err, ERR_INVALID, "not JSON: line %d: %s", error.line, error.text);
    int rc = read_members(document, json.n, out, err);
    json_decref(document);
    if (rc != 0) {
        subscription_fini(out);
        return rc;
    }
    out->filter->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    out->filter->tenant = tenant;
    return 0;
}

void subscription_fini(struct subscription *subscription)
{
    query_destroy(&subscription->filter);
    free(subscription->text);
    subscription->text = NULL;
}

bool subscription_equal(const struct subscription *a, const struct subscription *b)
{
    return a->filter->tenant == b->filter->tenant && a->rate == b->rate && strcmp(a->text, b->text) == 0;
}
