/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_impl: what backup.c, backup_read.c and backup_files.c share.
 */
#ifndef HUB_BACKUP_IMPL_H
#define HUB_BACKUP_IMPL_H

#include "backup.h"

enum { BACKUP_VERSION = 1, BACKUP_HASH_BYTES = 33, OPEN_FILES = 16 };

#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_FORMAT   "mail-analytics backup"
#define BACKUP_MARK     ".unfinished"
#define BACKUP_LOST     "lost+found" /* at the root of a file system */

/* A name below a backup: printable ASCII without backslashes, single slashes between parts that are neither
 * "." nor "..". */
bool backup_is_name(const char *name);
/* ERR_INVALID (no such name), ERR_LIMIT. */
MUST_CHECK int backup_path_in(const char *dir, const char *name, char path[PATH_MAX], struct err *err);
MUST_CHECK int backup_make_parents(const char *path, struct err *err);

/* To a new file (0600), fsynced. */
MUST_CHECK int backup_copy_file(const char *from, const char *path, struct err *err);
MUST_CHECK int backup_hash_file(const char *path, char hash[BACKUP_HASH_BYTES], uint64_t *bytes,
                                struct err *err);
/* The next bytes of an archive's file, to fd (-1: nowhere). */
struct archive_reader;
MUST_CHECK int backup_take(struct archive_reader *reader, uint64_t bytes, int fd,
                           char hash[BACKUP_HASH_BYTES], struct err *err);
MUST_CHECK int backup_sync_path(const char *path, int flags, struct err *err);
MUST_CHECK int backup_sync_dirs(const char *dir, struct err *err); /* and all below */

/* What is being made or restored bears a mark until it is whole. */
MUST_CHECK int backup_mark(const char *dir, struct err *err);
MUST_CHECK int backup_unmark(const char *dir, struct err *err);
/* Removes all that is in a marked directory, the mark last. */
MUST_CHECK int backup_empty(const char *dir, struct err *err);
bool backup_has_manifest(const char *dir); /* one of ours */

#endif
