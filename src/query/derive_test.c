/* SPDX-License-Identifier: Apache-2.0
 *
 * derive: what each derived column is, by hand.
 */
#include "base/test.h"
#include "query/derive.h"
#include "query/zone.h"

#include <inttypes.h>
#include <stdio.h>

/* "-" for absent. */
static void is(const struct query *query, const struct event *event, enum column column, const char *expected)
{
    char text[QUERY_CELL_BYTES], shown[128] = "-";
    struct query_value value;
    query_value_of(query, event, column, &value);
    struct cell cell = query_cell(column, &value, text);
    if (cell.type == CELL_TEXT)
        (void)snprintf(shown, sizeof shown, "%.*s", (int)cell.text.n, cell.text.p);
    else if (cell.type != CELL_NULL)
        (void)snprintf(shown, sizeof shown, "%" PRIu64, cell.u64);
    if (strcmp(shown, expected) != 0)
        fail_msg("%s is %s, not %s", event_columns[column].name, shown, expected);
}

static void times_go_by_the_clocks(void **state)
{
    (void)state;
    static const struct {
        const char *ts, *zone, *hour, *weekday, *day, *month, *year;
    } cases[] = {
        {"2026-03-12T14:05:09Z", NULL, "14", "4", "12", "3", "2026"},
        {"2025-12-31T23:30:00Z", "Europe/Paris", "0", "4", "1", "1", "2026"},
        {"2026-03-29T00:59:59Z", "Europe/Paris", "1", "7", "29", "3", "2026"},
        {"2026-03-29T01:00:00Z", "Europe/Paris", "3", "7", "29", "3", "2026"},
        {"2026-10-25T00:30:00Z", "Europe/Paris", "2", "7", "25", "10", "2026"},
        {"2026-10-25T01:30:00Z", "Europe/Paris", "2", "7", "25", "10", "2026"},
        {"2024-02-29T18:31:00Z", "Asia/Kolkata", "0", "5", "1", "3", "2024"},
        {"1970-01-01T00:00:00Z", NULL, "0", "4", "1", "1", "1970"},
        {"1970-01-01T00:00:00Z", "America/New_York", "19", "3", "31", "12", "1969"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event event = {0};
        struct query query = {0};
        assert_int_equal(clock_parse(slice_of(cases[i].ts), &event.ts), 0);
        if (cases[i].zone != NULL)
            assert_int_equal(zone_open(slice_of(cases[i].zone), &query.zone, NULL), 0);
        is(&query, &event, COLUMN_hour_of_day, cases[i].hour);
        is(&query, &event, COLUMN_day_of_week, cases[i].weekday);
        is(&query, &event, COLUMN_day_of_month, cases[i].day);
        is(&query, &event, COLUMN_month_of_year, cases[i].month);
        is(&query, &event, COLUMN_year, cases[i].year);
        zone_close(&query.zone);
    }
}

static void addresses_have_family_and_networks(void **state)
{
    (void)state;
    static const struct {
        const char *address, *family, *network, *block;
    } cases[] = {
        {"192.0.2.77", "ipv4", "192.0.2.0/24", "192.0.0.0/16"},
        {"2001:db8:1:2:3:4:5:6", "ipv6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
        {"::1", "ipv6", "::/64", "::/48"},
        {"255.255.255.255", "ipv4", "255.255.255.0/24", "255.255.0.0/16"},
    };
    struct query query = {0};
    struct event event = {0};
    is(&query, &event, COLUMN_client_family, "-");
    is(&query, &event, COLUMN_client_network, "-");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(ip_parse(slice_of(cases[i].address), &event.client_address), 0);
        is(&query, &event, COLUMN_client_family, cases[i].family);
        is(&query, &event, COLUMN_client_network, cases[i].network);
        is(&query, &event, COLUMN_client_block, cases[i].block);
    }
}

static void what_is_there_or_not(void **state)
{
    (void)state;
    struct query query = {0};
    struct event event = {0};
    is(&query, &event, COLUMN_tls, "0");
    is(&query, &event, COLUMN_authenticated, "0");
    event.encryption_protocol = SLICE("TLSv1.3");
    event.sasl_username = SLICE("ann");
    is(&query, &event, COLUMN_tls, "1");
    is(&query, &event, COLUMN_authenticated, "1");
}

static void domains_have_a_top_level(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"shop.example", "example"}, {"localhost", "localhost"},
                                           {"a.b.co.uk", "uk"},         {"[192.0.2.1]", "-"},
                                           {"ends.example.", "-"},      {"", "-"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct query query = {0};
        struct event event = {.sender_domain = slice_of(cases[i][0]),
                              .recipient_domain = slice_of(cases[i][0])};
        is(&query, &event, COLUMN_sender_tld, cases[i][1]);
        is(&query, &event, COLUMN_recipient_tld, cases[i][1]);
    }
}

static void sizes_have_classes(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *class;
    } cases[] = {{0, "-"},
                 {1, "1"},
                 {999, "1"},
                 {1000, "1000"},
                 {9999, "1000"},
                 {10000, "10000"},
                 {99999999, "10000000"},
                 {100000000, "100000000"},
                 {UINT64_MAX, "100000000"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct query query = {0};
        struct event event = {.size = cases[i].size};
        is(&query, &event, COLUMN_size_class, cases[i].class);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_go_by_the_clocks), cmocka_unit_test(addresses_have_family_and_networks),
        cmocka_unit_test(what_is_there_or_not),   cmocka_unit_test(domains_have_a_top_level),
        cmocka_unit_test(sizes_have_classes),
    };
    return cmocka_run_group_tests_name("query/derive", tests, NULL, NULL);
}
