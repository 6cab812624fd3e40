/* SPDX-License-Identifier: Apache-2.0
 *
 * frame_fuzz: any bytes are a frame or an error; a frame is written again as the same bytes; the body of a
 * batch is opened as the hub does.
 */
#include "fuzz.h"
#include "wire/frame.h"

#include <stdlib.h>

static bool frame_reached, records_reached;

static void open_body(const struct frame_batch *batch)
{
    static struct batch_reader *reader;
    struct batch_record record;
    if (reader == NULL && batch_reader_create(&reader) != 0)
        abort();
    if (batch_reader_open(reader, batch->body, batch->first_seq, batch->count, batch->hash, NULL) != 0)
        return;
    uint32_t count = 0;
    while (batch_reader_next(reader, &record))
        count++;
    if (count != batch->count)
        abort();
    records_reached = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame frame;
    struct slice bytes = {(const char *)data, size};
    if (frame_decode(bytes, &frame) != 0)
        return 0;
    struct buf again;
    buf_init(&again, FRAME_BYTES);
    if (frame_encode(&frame, &again) != 0 || !slice_equal(bytes, buf_slice(&again)))
        abort();
    buf_fini(&again);
    frame_reached = true;
    if (frame.type == FRAME_BATCH)
        open_body(&frame.batch);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !frame_reached ? "a frame" : !records_reached ? "the records of a batch" : NULL;
}
