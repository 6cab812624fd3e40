/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic_test: the model is repeatable, keeps to its mix and its rhythm, and names nothing real.
 */
#include "base/test.h"

#include "base/clock.h"
#include "base/ip.h"
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>

enum { DRAWS = 40000 };
static const double per_day = 5000;

static int64_t at(const char *text)
{
    int64_t ts_us;
    assert_int_equal(clock_parse(slice_of(text), &ts_us), 0);
    return ts_us;
}

static void same_seed_gives_same_bytes(void **state)
{
    (void)state;
    struct traffic *a, *b, *c;
    assert_int_equal(traffic_create(&a, 7, 0), 0);
    assert_int_equal(traffic_create(&b, 7, 0), 0);
    assert_int_equal(traffic_create(&c, 8, 0), 0);
    int64_t ts_us = at("2026-03-10T00:00:00Z");
    bool differs = false;
    for (int i = 0; i < 500; i++) {
        struct traffic_message x, y, z;
        assert_int_equal(traffic_next_us(a, ts_us, per_day), traffic_next_us(b, ts_us, per_day));
        traffic_draw(a, ts_us, &x);
        traffic_draw(b, ts_us, &y);
        traffic_draw(c, ts_us, &z);
        assert_memory_equal(&x, &y, sizeof x);
        differs = differs || memcmp(&x, &z, sizeof x) != 0;
        ts_us += 1000000;
    }
    assert_true(differs);
    traffic_destroy(&a);
    traffic_destroy(&b);
    traffic_destroy(&c);
}

/* Four weeks of mail: the shares of DESIGN's demo within a point, and the strangers' refused 58 %. */
static void mix_holds_over_weeks(void **state)
{
    (void)state;
    static const double expected[TRAFFIC_DIRECTIONS] = {62, 27, 8, 2.5, 0.5};
    struct traffic *traffic;
    assert_int_equal(traffic_create(&traffic, 1, 0), 0);
    unsigned counts[TRAFFIC_DIRECTIONS] = {0}, total = 0, in_refused = 0;
    int64_t ts_us = at("2026-03-02T00:00:00Z"), end_us = ts_us + INT64_C(28) * 86400 * US_PER_SECOND;
    while ((ts_us = traffic_next_us(traffic, ts_us, per_day)) < end_us) {
        struct traffic_message m;
        traffic_draw(traffic, ts_us, &m);
        counts[m.direction]++;
        total++;
        in_refused += m.direction == TRAFFIC_IN && !m.accepted;
    }
    assert_in_range(total, 28 * (unsigned)per_day * 93 / 100, 28 * (unsigned)per_day * 107 / 100);
    for (size_t d = 0; d < TRAFFIC_DIRECTIONS; d++) {
        double share = 100.0 * counts[d] / total;
        if (share < expected[d] - 2 || share > expected[d] + 2)
            fail_msg("%s: %.2f %%, not %.1f", traffic_direction_name((enum traffic_direction)d), share,
                     expected[d]);
    }
    assert_in_range(100 * in_refused / counts[TRAFFIC_IN], 52, 62);
    traffic_destroy(&traffic);
}

/* The mean of some minutes of the same weekday, over a season. */
static double mean_intensity(struct traffic *traffic, const char *from, int minutes)
{
    enum { WEEKS = 12 }; /* so that bursts of spam even out */
    double sum = 0;
    for (int week = 0; week < WEEKS; week++)
        for (int i = 0; i < minutes; i++)
            sum += traffic_intensity(traffic, at(from) + (week * 10080 + i) * 60 * US_PER_SECOND);
    return sum / (minutes * WEEKS);
}

static void rhythm_follows_paris(void **state)
{
    (void)state;
    struct traffic *traffic;
    assert_int_equal(traffic_create(&traffic, 1, 0), 0);
    double week = mean_intensity(traffic, "2026-01-05T00:00:00Z", 7 * 1440);
    assert_true(week > 0.9 && week < 1.1);
    double morning = mean_intensity(traffic, "2026-01-07T08:00:00Z", 60); /* 9:00 in winter */
    double night = mean_intensity(traffic, "2026-01-07T01:00:00Z", 60);
    double sunday = mean_intensity(traffic, "2026-01-11T08:00:00Z", 60);
    assert_true(morning > 2.5 * night && morning > 2 * sunday);
    /* Summer time: the newsletters of a Tuesday in June leave at 08:00 UTC, in January at 09:00. */
    double june = mean_intensity(traffic, "2026-06-23T08:00:00Z", 40);
    assert_true(june > 3 * mean_intensity(traffic, "2026-06-23T09:00:00Z", 40));
    double january = mean_intensity(traffic, "2026-01-06T09:00:00Z", 40);
    assert_true(january > 3 * mean_intensity(traffic, "2026-01-06T08:00:00Z", 40));
    traffic_destroy(&traffic);
}

static bool documentation_address(const char *text)
{
    static const char *const prefixes[] = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
                                           "2001:db8::/32"};
    struct ip ip;
    assert_int_equal(ip_parse(slice_of(text), &ip), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
        struct ip_prefix prefix;
        assert_int_equal(ip_prefix_parse(slice_of(prefixes[i]), &prefix), 0);
        if (ip_prefix_contains(&prefix, &ip))
            return true;
    }
    return false;
}

static bool documentation_name(const char *text)
{
    size_t n = strlen(text);
    return (n > 8 && strcmp(text + n - 8, ".example") == 0) ||
           (n >= 11 && strcmp(text + n - 11, "example.com") == 0);
}

static void names_are_documentation_only(void **state)
{
    (void)state;
    struct traffic *traffic;
    assert_int_equal(traffic_create(&traffic, 3, 0), 0);
    for (int i = 0; i < DRAWS; i++) {
        struct traffic_message m;
        traffic_draw(traffic, at("2026-03-10T00:00:00Z") + i * 60 * US_PER_SECOND, &m);
        if (!documentation_address(m.client_address))
            fail_msg("client_address %s", m.client_address);
        if (strcmp(m.client_name, "unknown") != 0 && !documentation_name(m.client_name))
            fail_msg("client_name %s", m.client_name);
        if (m.sender[0] != '\0' && !documentation_name(m.sender))
            fail_msg("sender %s", m.sender);
        for (unsigned r = 0; r < m.recipient_count; r++)
            if (!documentation_name(m.recipients[r]) && m.direction != TRAFFIC_UNKNOWN)
                fail_msg("recipient %s", m.recipients[r]);
    }
    traffic_destroy(&traffic);
}

static void requests_are_a_message(void **state)
{
    (void)state;
    struct traffic *traffic;
    assert_int_equal(traffic_create(&traffic, 3, 0), 0);
    size_t bytes = 0, requests = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct traffic_message m;
        traffic_draw(traffic, at("2026-03-10T00:00:00Z") + i * 60 * US_PER_SECOND, &m);
        assert_in_range(m.recipient_count, 1, TRAFFIC_RECIPIENTS);
        assert_int_equal(traffic_request_count(&m), m.recipient_count + m.accepted);
        for (unsigned r = 0; r < traffic_request_count(&m); r++) {
            char out[TRAFFIC_REQUEST_BYTES], line[128];
            size_t n = traffic_request(&m, r, out);
            assert_true(n > 2 && memcmp(out + n - 2, "\n\n", 2) == 0);
            assert_ptr_equal(strstr(out, "\n\n"), out + n - 2);
            snprintf(line, sizeof line, "\ninstance=%s\n", m.instance);
            assert_non_null(strstr(out, line));
            bool end = strstr(out, "\nprotocol_state=END-OF-MESSAGE\n") != NULL;
            assert_int_equal(end, m.accepted && r == m.recipient_count);
            assert_true(r == 0 || traffic_request_us(&m, r) > traffic_request_us(&m, r - 1));
            bytes += n;
            requests++;
        }
    }
    assert_in_range(bytes / requests, 600, 700);
    traffic_destroy(&traffic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_gives_same_bytes), cmocka_unit_test(mix_holds_over_weeks),
        cmocka_unit_test(rhythm_follows_paris),       cmocka_unit_test(names_are_documentation_only),
        cmocka_unit_test(requests_are_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
