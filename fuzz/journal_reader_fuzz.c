/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_reader: the bytes as a segment's file, plain or packed, read to its end, from its start and from a
 * place inside. Each record has a check and a CRC that begin with the segment's epoch, which no mutation
 * hits: after most mutations of a plain segment they are made right again, so that what stands behind them is
 * met.
 */
#include "fuzz.h"

#include "journal/source.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libFuzzer's; a replay has none. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t max, unsigned seed);

static bool plain_reached, packed_reached;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct source source = {.fd = -1};
    struct record record;
    const uint8_t *at;
    int rc, fd = memfd_create("segment", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n || source_take(&source, fd, NULL) != 0)
        return 0; /* source_take closes it */
    for (uint64_t offset = 0; offset <= n; offset += n / 2 + 1) {
        source_seek(&source, offset);
        while ((rc = source_next(&source, &record, &at, NULL)) == 0 || rc == ERR_CORRUPT) {
            assert(rc != 0 || record.payload_bytes <= JOURNAL_RECORD_BYTES);
            if (rc == 0)
                *(source.packed ? &packed_reached : &plain_reached) = true;
        }
        assert(rc == ERR_END || rc == ERR_NO_MEMORY);
    }
    source_close(&source);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !plain_reached    ? "a record of a plain segment"
           : !packed_reached ? "one of a packed segment"
                             : NULL;
}

/* The header at p gets the check and the CRC of what stands there, when its payload is all there. */
static void repair_record(uint32_t seed, uint8_t *p, size_t n)
{
    struct record record;
    memcpy(&record.payload_bytes, p + 8, 4); /* docs/reference/journal-format.md */
    memcpy(&record.kind, p + 12, 2);
    memcpy(&record.seq, p + 16, 8);
    memcpy(&record.ts_us, p + 24, 8);
    if (record.payload_bytes <= n - RECORD_HEADER_BYTES)
        record_encode(seed, &record, (struct slice){(char *)p + RECORD_HEADER_BYTES, record.payload_bytes},
                      p);
}

static void repair(uint8_t *bytes, size_t n)
{
    struct segment_header header;
    if (n < SEGMENT_HEADER_BYTES || segment_header_decode(bytes, &header) != 0)
        return;
    uint32_t seed = record_seed(&header.epoch);
    for (size_t at = SEGMENT_HEADER_BYTES; (at = record_find(bytes, n, at)) < n; at++)
        if (n - at >= RECORD_HEADER_BYTES)
            repair_record(seed, bytes + at, n - at);
    uint8_t *footer = bytes + n - SEGMENT_FOOTER_BYTES;
    if (n >= SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES && memcmp(footer, "MAJEND", 6) == 0) {
        uint32_t crc = record_crc(seed, footer, SEGMENT_FOOTER_BYTES - 4);
        memcpy(footer + SEGMENT_FOOTER_BYTES - 4, &crc, sizeof crc);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t max, unsigned seed)
{
    n = LLVMFuzzerMutate(bytes, n, max);
    if (seed % 4 != 0)
        repair(bytes, n);
    return n;
}
