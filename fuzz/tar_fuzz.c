/* SPDX-License-Identifier: Apache-2.0
 *
 * tar_fuzz: any bytes as heads of a tar archive, extended headers among them. What is taken must be what
 * tar_write() says of it again.
 */
#include "fuzz.h"
#include "hub/tar.h"

#include <stdlib.h>

static bool plain, extended, ended;

static void say_again(const struct tar_entry *entry)
{
    uint8_t head[TAR_HEAD_BYTES];
    struct tar_entry again;
    size_t n;
    if (tar_write(entry->name, entry->bytes, head, &n, NULL) != 0 || n % TAR_BLOCK_BYTES != 0 ||
        n > sizeof head || tar_read(head + n - TAR_BLOCK_BYTES, &again, NULL) != 0 || again.type != TAR_FILE)
        abort();
    if (n > TAR_BLOCK_BYTES) {
        struct tar_entry before;
        if (tar_read(head, &before, NULL) != 0 || before.type != TAR_PAX ||
            tar_pax((struct slice){(const char *)head + TAR_BLOCK_BYTES, (size_t)before.bytes}, &again,
                    NULL) != 0)
            abort();
    }
    if (strcmp(again.name, entry->name) != 0 || again.bytes != entry->bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tar_entry entry;
    struct err err = {0};
    if (size < TAR_BLOCK_BYTES)
        return 0;
    if (tar_read(data, &entry, &err) != 0) {
        if (err.detail[0] == '\0')
            abort();
        return 0;
    }
    if (entry.type == TAR_FILE)
        say_again(&entry);
    if (entry.type == TAR_PAX) {
        size_t rest = size - TAR_BLOCK_BYTES, n = entry.bytes < rest ? (size_t)entry.bytes : rest;
        if (entry.bytes > TAR_PAX_BYTES)
            abort();
        if (tar_pax((struct slice){(const char *)data + TAR_BLOCK_BYTES, n}, &entry, &err) == 0) {
            say_again(&entry);
            extended = true;
        }
    }
    plain = plain || entry.type == TAR_FILE;
    ended = ended || entry.type == TAR_END;
    return 0;
}

const char *fuzz_unreached(void)
{
    return !plain ? "a file" : !extended ? "an extended header" : !ended ? "the end" : NULL;
}
