/* SPDX-License-Identifier: Apache-2.0
 *
 * raw_fuzz: any bytes as the cursor of a raw export. What is taken is said again as it was.
 */
#include "api/raw.h"
#include "fuzz.h"

#include <stdlib.h>

static bool taken, refused;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[RAW_PLACE_BYTES];
    struct raw_place place;
    struct slice given = {(const char *)data, size};
    if (raw_place_read(given, &place) != 0) {
        refused = true;
        return 0;
    }
    if (place.hub_ts < 0 || place.hub_ts > EVENT_TS_MAX)
        abort();
    raw_place_write(&place, text);
    if (!slice_equal_nocase(slice_of(text), given))
        abort();
    taken = true;
    return 0;
}

const char *fuzz_unreached(void)
{
    return !taken ? "a cursor that is taken" : !refused ? "a cursor that is refused" : NULL;
}
