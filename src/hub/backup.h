/* SPDX-License-Identifier: Apache-2.0
 *
 * backup: a directory with a copy of the hub's data and a manifest (manifest.json: each file's name, bytes
 * and XXH3-128), made under DIR.partial and renamed when it is whole and on the disk; or, when its name ends
 * in .tar.zst, one file (archive.h) that has the same, the manifest first. Files that are never written again
 * are linked where the file system lets them be, else copied. Everything is 0600 and 0700: a backup has the
 * keys. One thread.
 */
#ifndef HUB_BACKUP_H
#define HUB_BACKUP_H

#include "base/text.h"

#include <jansson.h>
#include <limits.h>

enum { BACKUP_NAME_BYTES = 256, BACKUP_FILES = 100000 };

struct backup {
    char dir[PATH_MAX - 256], partial[PATH_MAX];
    /* Called now and then; not 0 ends it. */
    int (*check)(void *arg, uint64_t done, uint64_t all, struct err *err);
    void *arg;
};

/* dir is absolute and not there; what an earlier try left of it is removed. ERR_EXISTS, ERR_INVALID, ERR_IO,
 * ERR_DENIED, ERR_FULL. */
MUST_CHECK int backup_begin(struct backup *backup, const char *dir, struct err *err);
/* For who was interrupted: is it whole? Then what is left beside it is removed. ERR_NOT_FOUND: it isn't
 * there. */
MUST_CHECK int backup_was_finished(struct backup *backup, const char *dir, struct err *err);
/* name: below the backup, directories are made. ERR_NOT_FOUND: `from` isn't there. */
MUST_CHECK int backup_link(struct backup *backup, const char *from, const char *name, struct err *err);
MUST_CHECK int backup_copy(struct backup *backup, const char *from, const char *name, struct err *err);
/* Where a file of that name goes, for those who write it themselves. */
MUST_CHECK int backup_path(struct backup *backup, const char *name, char path[PATH_MAX], struct err *err);
/* Hashes all that is there, syncs it, writes the manifest with these members, and gives it its name. */
MUST_CHECK int backup_finish(struct backup *backup, json_t *manifest, struct err *err);
void backup_abandon(struct backup *backup);

/* The manifest of a backup, checked (json_decref it): names that stay below, files that are there with these
 * bytes and hashes. ERR_NOT_FOUND (no backup), ERR_CORRUPT, ERR_VERSION. */
MUST_CHECK int backup_verify(const char *dir, json_t **manifest, struct err *err);
/* Pure: is the text a manifest? ERR_INVALID, ERR_VERSION. */
MUST_CHECK int backup_parse(struct slice text, json_t **manifest, struct err *err);

/* Copies a verified backup's files below data (made when missing; else it has to be empty but for the
 * lost+found of a file system's root, or what an interrupted call left). Until backup_restored() says that
 * all is done, no hub takes it for its data. ERR_EXISTS. */
MUST_CHECK int backup_restore(const char *dir, const json_t *manifest, const char *data, struct err *err);
MUST_CHECK int backup_restored(const char *data, struct err *err);

/* Is the path lost+found of the directory, or below it? What is there is the file system's, not ours. */
bool backup_is_lost(const char *dir, const char *path);

/* A backup, or what one is being restored to, that is not whole. */
bool backup_is_unfinished(const char *dir);

#endif
