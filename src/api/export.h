/* SPDX-License-Identifier: Apache-2.0
 *
 * export: what the formats of GET /api/v1/export share: what is asked for, and where the rows go on. Within
 * the api room only.
 */
#ifndef API_EXPORT_H
#define API_EXPORT_H

#include "call.h"
#include "listing.h"

struct export
{
    struct api_call *call;
    struct listing listing;
    struct store_scan scan;
    struct bookmark bookmark;
    struct buf page; /* when it is streamed */
    bool csv, parquet, follow, marks;
    uint64_t left;           /* rows that are still wanted */
    uint32_t rows;           /* of the page */
    struct filling *filling; /* a Parquet file that is being written */
};

/* The next rows, at most so many, in the order of loading; row() is given the export and calls export_took
 * for each. */
MUST_CHECK int export_scan(struct export *export, uint32_t most,
                           int (*row)(void *export, const struct event *event));
void export_took(struct export *export, const struct event *event);

/* The reply of ?format=parquet. */
MUST_CHECK int export_parquet(struct export *export);

#endif
