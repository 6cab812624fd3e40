/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_reader: the bytes as a segment's file, plain or packed, read to its end, from its start and from a
 * place inside.
 */
#include "fuzz.h"

#include "journal/source.h"

#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

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
        while ((rc = source_next(&source, &record, &at, NULL)) == 0 || rc == ERR_CORRUPT)
            assert(rc != 0 || record.payload_bytes <= JOURNAL_RECORD_BYTES);
        assert(rc == ERR_END || rc == ERR_NO_MEMORY);
    }
    source_close(&source);
    return 0;
}
