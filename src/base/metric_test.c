/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of metric: bucket edges and the text format.
 */
#include "metric.h"
#include "test.h"

static void a_duration_lands_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        size_t bucket;
    } cases[] = {{-1, 0},    {0, 0},      {50, 0},       {51, 1},       {100, 1},       {101, 2},
                 {50000, 9}, {50001, 10}, {1000000, 13}, {1000001, 14}, {INT64_MAX, 14}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct histogram histogram = {0};
        histogram_record(&histogram, cases[i].us, 1);
        for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
            assert_int_equal(histogram.bucket[b], b == cases[i].bucket);
    }
}

static void a_quantile_is_its_buckets_bound(void **state)
{
    (void)state;
    struct histogram before = {0}, now;
    assert_int_equal(histogram_quantile_us(&before, &before, 0.99), 0);
    histogram_record(&before, 900000, 1000);
    now = before;
    histogram_record(&now, 60, 98);
    histogram_record(&now, 200, 2);
    assert_int_equal(histogram_quantile_us(&now, &before, 0.98), 100);
    assert_int_equal(histogram_quantile_us(&now, &before, 0.99), 250);
    histogram_record(&now, 5000000, 100);
    assert_int_equal(histogram_quantile_us(&now, &before, 0.99), 1000000);
}

static void text_is_cumulative_and_in_seconds(void **state)
{
    (void)state;
    struct buf out = {.limit = 8192};
    struct histogram histogram = {0};
    histogram_record(&histogram, 40, 2);
    histogram_record(&histogram, 3000, 1);
    histogram_record(&histogram, 2000000, 1);
    assert_int_equal(metric_family(&out, "p_", "answer_seconds", METRIC_HISTOGRAM, "how long"), 0);
    assert_int_equal(metric_histogram(&out, "p_", "answer_seconds", &histogram), 0);
    assert_int_equal(metric_sample(&out, "p_", "up", "", 1), 0);
    assert_int_equal(metric_sample(&out, "p_", "state", "name=\"ready\"", 9007199254740991.0), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    static const char *const lines[] = {
        "# HELP p_answer_seconds how long\n# TYPE p_answer_seconds histogram\n",
        "p_answer_seconds_bucket{le=\"5e-05\"} 2\n",
        "p_answer_seconds_bucket{le=\"0.0025\"} 2\n",
        "p_answer_seconds_bucket{le=\"0.005\"} 3\n",
        "p_answer_seconds_bucket{le=\"1\"} 3\n",
        "p_answer_seconds_bucket{le=\"+Inf\"} 4\n",
        "p_answer_seconds_sum 2.003080\n",
        "p_answer_seconds_count 4\n",
        "\np_up 1\n",
        "p_state{name=\"ready\"} 9007199254740991\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        if (strstr(out.p, lines[i]) == NULL)
            fail_msg("missing: %s\nin: %s", lines[i], out.p);
    buf_fini(&out);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct buf out = {.limit = 100};
    struct histogram histogram = {0};
    assert_int_equal(metric_histogram(&out, "p_", "x", &histogram), ERR_LIMIT);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_lands_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(a_quantile_is_its_buckets_bound),
        cmocka_unit_test(text_is_cumulative_and_in_seconds),
        cmocka_unit_test(a_full_buffer_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
