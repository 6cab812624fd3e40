/* SPDX-License-Identifier: Apache-2.0
 *
 * listing_fuzz: any bytes as the query string of a list, cursors among them. What is taken must pass the last
 * check once it has a scope, and its place must be one that a bookmark can say again.
 */
#include "api/listing.h"
#include "fuzz.h"

#include <stdlib.h>

static bool reached, resumed;

static void say_again(const struct bookmark *bookmark)
{
    char text[BOOKMARK_BYTES];
    struct bookmark again;
    bookmark_write(bookmark, text);
    if (bookmark_read(slice_of(text), &again) != 0 || again.key.at != bookmark->key.at ||
        !slice_equal(again.key.edge, bookmark->key.edge))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum column columns[] = {COLUMN_ts, COLUMN_sender, COLUMN_size, COLUMN_direction};
    static const struct listing_kind kind = {"events", columns, 4, 2};
    struct listing listing;
    struct err err = {0};
    if (listing_parse((struct slice){(const char *)data, size}, &kind, 1772366400 * US_PER_SECOND, &listing,
                      &err) != 0) {
        if (listing.query != NULL || err.detail[0] == '\0')
            abort();
        return 0;
    }
    listing.query->scope = QUERY_SCOPE_ALL;
    if (query_check(listing.query, &err) != 0 || listing.limit < 1 || listing.limit > LISTING_LIMIT)
        abort();
    if (listing.resumes)
        say_again(&listing.bookmark);
    resumed = resumed || listing.resumes;
    reached = true;
    listing_fini(&listing);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !reached ? "a list that is taken" : !resumed ? "a list that goes on at a cursor" : NULL;
}
