/* SPDX-License-Identifier: Apache-2.0
 *
 * zone: what libc's clocks show, ours show; broken files are refused; names stay within the directory.
 */
#include "base/test.h"
#include "query/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const zones[] = {
    "UTC",           "Europe/Paris",        "America/New_York", "Asia/Kolkata",   "Asia/Kathmandu",
    "Europe/Dublin", "Australia/Lord_Howe", "America/St_Johns", "America/Nuuk",   "Africa/Casablanca",
    "Asia/Gaza",     "Africa/Cairo",        "Pacific/Apia",     "Asia/Tehran",    "America/Sao_Paulo",
    "Etc/GMT+5",     "Pacific/Chatham",     "America/Santiago", "Asia/Jerusalem", "Antarctica/Troll",
};

static struct zone *opened(const char *name)
{
    struct zone *zone;
    struct err err = {0};
    if (zone_open(slice_of(name), &zone, &err) != 0)
        fail_msg("%s: %s", name, err_detail(&err));
    return zone;
}

static int64_t libc_offset_us(int64_t ts)
{
    time_t t = (time_t)(ts / US_PER_SECOND);
    struct tm tm;
    (void)localtime_r(&t, &tm);
    return (int64_t)tm.tm_gmtoff * US_PER_SECOND;
}

/* Through every change from 1970 to 2101, just before and at each, and in between. */
static void clocks_show_what_libc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(zones); i++) {
        struct zone *zone = opened(zones[i]);
        (void)setenv("TZ", zones[i], 1);
        tzset();
        size_t changes = 0;
        int64_t step = INT64_C(37) * 86400 * US_PER_SECOND / 5, at, next;
        for (at = 0; at < INT64_C(4134000000) * US_PER_SECOND; at += step)
            if (zone_offset_us(zone, at) != libc_offset_us(at))
                fail_msg("%s at %lld", zones[i], (long long)(at / US_PER_SECOND));
        for (at = 0; zone_next_change(zone, at, &next) && next < INT64_C(4134000000) * US_PER_SECOND;
             at = next) {
            assert_true(next > at);
            assert_int_not_equal(zone_offset_us(zone, next - 1), zone_offset_us(zone, next));
            if (zone_offset_us(zone, next) != libc_offset_us(next) ||
                zone_offset_us(zone, next - 1) != libc_offset_us(next - US_PER_SECOND))
                fail_msg("%s changes at %lld", zones[i], (long long)(next / US_PER_SECOND));
            changes++;
        }
        if (strcmp(zones[i], "Europe/Paris") == 0)
            assert_in_range(changes, 240, 262);
        zone_close(&zone);
        assert_null(zone);
    }
    (void)unsetenv("TZ");
    tzset();
}

static void dates_are_the_calendars(void **state)
{
    (void)state;
    for (int64_t days = -800000; days < 3000000; days += 97) {
        time_t t = (time_t)(days * 86400);
        struct tm tm;
        int64_t year;
        unsigned month, day;
        (void)gmtime_r(&t, &tm);
        zone_date(days, &year, &month, &day);
        assert_int_equal(year, tm.tm_year + 1900);
        assert_int_equal(month, tm.tm_mon + 1);
        assert_int_equal(day, tm.tm_mday);
        assert_int_equal(zone_days(year, month, day), days);
    }
}

static void names_stay_within_the_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "/etc/passwd",
                                        "../../../etc/passwd",
                                        "Europe/../UTC",
                                        "Europe/",
                                        "Europe//Paris",
                                        "Europe",
                                        "Europe/Nowhere",
                                        "tzdata.zi",
                                        ":UTC",
                                        "UTC\n",
                                        "zone.tab",
                                        "right/Europe/Paris"};
    struct zone *zone;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct err err = {0};
        assert_int_not_equal(zone_open(slice_of(names[i]), &zone, &err), 0);
        assert_null(zone);
        assert_true(err.detail[0] != '\0');
    }
}

/* Cut anywhere, and with any byte turned: an error or a zone that answers, never a crash. */
static void broken_files_do_no_harm(void **state)
{
    (void)state;
    char bytes[8192];
    FILE *file = fopen("/usr/share/zoneinfo/America/New_York", "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    struct zone *zone;
    int64_t next;
    assert_int_equal(zone_parse((struct slice){bytes, n}, &zone), 0);
    zone_close(&zone);
    for (size_t cut = 0; cut < n; cut++) {
        char *exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_int_equal(zone_parse((struct slice){exact, cut}, &zone), ERR_CORRUPT);
        free(exact);
    }
    for (size_t i = 0; i < n; i++) {
        char was = bytes[i];
        bytes[i] = (char)(was ^ (1 << i % 8));
        if (zone_parse((struct slice){bytes, n}, &zone) == 0)
            for (int64_t at = 0, k = 0; k < 5 && zone_next_change(zone, at, &next); at = next, k++)
                assert_true(next > at);
        zone_close(&zone);
        bytes[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_show_what_libc_says),
        cmocka_unit_test(dates_are_the_calendars),
        cmocka_unit_test(names_stay_within_the_directory),
        cmocka_unit_test(broken_files_do_no_harm),
    };
    return cmocka_run_group_tests_name("query/zone", tests, NULL, NULL);
}
