/* SPDX-License-Identifier: Apache-2.0
 *
 * archive: files one behind the other in one file: tar (tar.h) in zstd (RFC 8878). Read strictly: what a
 * reader is given was checked by zstd's own sum, ends where it says, and has nothing behind it. What names
 * and sizes are worth is the caller's affair. One thread.
 */
#ifndef HUB_ARCHIVE_H
#define HUB_ARCHIVE_H

#include "hub/tar.h"

#include <stdbool.h>

#define ARCHIVE_ENDING ".tar.zst"

bool archive_is_name(const char *path); /* does it end so? */

/* Writing one, to a new file (0600). ERR_EXISTS, ERR_IO, ERR_FULL, ERR_DENIED, ERR_NO_MEMORY. */
struct archive_writer;
MUST_CHECK int archive_create(struct archive_writer **out, const char *path, struct err *err);
/* The file at `from`, under that name. check, now and then; not 0 ends it. */
MUST_CHECK int archive_add(struct archive_writer *writer, const char *from, const char *name,
                           int (*check)(void *arg, struct err *err), void *arg, struct err *err);
MUST_CHECK int archive_finish(struct archive_writer *writer, struct err *err); /* and fsyncs */
void archive_destroy(struct archive_writer **writer);

/* Reading one, with 128 MiB for zstd's window at most. ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_NO_MEMORY. */
struct archive_reader;
MUST_CHECK int archive_open(struct archive_reader **out, const char *path, struct err *err);
/* The next file, when all of the one before was read; ERR_END: there are no more, and nothing else either.
 * ERR_CORRUPT, ERR_INVALID, ERR_IO. */
MUST_CHECK int archive_next(struct archive_reader *reader, struct tar_entry *entry, struct err *err);
/* Exactly n of the file's bytes, no more than it has left. ERR_CORRUPT, ERR_IO. */
MUST_CHECK int archive_read(struct archive_reader *reader, void *out, size_t n, struct err *err);
void archive_close(struct archive_reader **reader);

#endif
