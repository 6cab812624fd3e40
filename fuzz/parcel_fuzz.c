/* SPDX-License-Identifier: Apache-2.0
 *
 * parcel_fuzz: any bytes are a parcel or an error; its frames are where it says, as many as it says, and are
 * read as the hub reads them; put together again they are the same bytes.
 */
#include "fuzz.h"
#include "wire/parcel.h"

#include <stdlib.h>

static bool parcel_reached, frame_reached;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame frame;
    static struct buf again = {.limit = PARCEL_BYTES};
    struct slice body = {(const char *)data, size}, bytes;
    struct parcel parcel;
    size_t count = 0;
    if (parcel_open(body, &parcel) != 0)
        return 0;
    if (parcel_begin(&again, parcel.edge_key, parcel.link) != 0)
        abort();
    struct slice rest = parcel.frames;
    while (parcel_next(&rest, &bytes)) {
        count++;
        frame_reached |= frame_decode(bytes, &frame) == 0;
        if (parcel_add_bytes(&again, bytes) != 0)
            return 0; /* longer than an edge would make it */
    }
    if (count != parcel.count || again.n != size ||
        memcmp(again.p + again.n - parcel.frames.n, parcel.frames.p, parcel.frames.n) != 0)
        abort();
    parcel_reached = true;
    return 0;
}

const char *fuzz_unreached(void)
{
    return !parcel_reached ? "a parcel" : !frame_reached ? "a frame" : NULL;
}
