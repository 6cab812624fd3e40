/* SPDX-License-Identifier: Apache-2.0
 *
 * shelf: see shelf.h. Whenever something had to be set aside, everything is shut and opened from the
 * beginning: DuckDB may refuse all further work after what it met.
 */
#include "store/duckdb/shelf.h"

#include "base/log.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"
#include "store/duckdb/rewrite.h"
#include "store/duckdb/rolled.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD_FILE "events-current.duckdb" /* the one file that schema version 1 had */
enum { FOUND_MAX = 2 * PARTS_MAX };      /* with generations that were not removed yet */

/* Calls each() for every name in dir (below the store's directory; "" for itself). ERR_IO. */
static int list(struct parts *parts, const char *below,
                void (*each)(void *arg, const char *dir, const char *name), void *arg, struct err *err)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s%s%s", parts->instance->dir, below[0] != '\0' ? "/" : "", below);
    DIR *listing = opendir(dir);
    if (listing == NULL)
        return below[0] != '\0' && errno == ENOENT ? 0 : err_errno(err, errno, "%s can't be listed", dir);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (entry->d_name[0] != '.')
            each(arg, dir, entry->d_name);
    (void)closedir(listing);
    return 0;
}

struct search {
    uint64_t id;
    unsigned generation;
};

static void note_generation(void *arg, const char *dir, const char *name)
{
    struct search *search = arg;
    struct store_part part;
    const char *rest;
    (void)dir;
    if (part_parse(name, &part, &rest) && part.id == search->id && part.generation > search->generation)
        search->generation = part.generation;
}

int shelf_generation(struct parts *parts, uint64_t id, unsigned *generation, struct err *err)
{
    struct search search = {.id = id};
    int rc = list(parts, "", note_generation, &search, err);
    *generation = search.generation + 1;
    return rc;
}

/* What was not finished when a process ended, and what it had spilled to the disk. */
static void remove_unfinished(void *arg, const char *dir, const char *name)
{
    char path[PATH_MAX + 256];
    struct store_part part;
    const char *rest;
    const bool *all = arg;
    bool is_part = part_parse(name, &part, &rest) && strncmp(rest, ".tmp", 4) == 0;
    bool is_saved = strncmp(name, ROLLED_SAVED, sizeof ROLLED_SAVED - 1) == 0;
    if (!*all && !is_part && !is_saved)
        return;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    (void)unlink(path);
}

static int clean(struct parts *parts, struct err *err)
{
    static bool some = false, all = true;
    int rc = list(parts, "", remove_unfinished, &some, err);
    rc = rc != 0 ? rc : list(parts, parts->instance->temp, remove_unfinished, &all, err);
    return rc != 0 ? rc : list(parts, REWRITE_TEMP, remove_unfinished, &all, err);
}

struct found {
    struct store_part files[FOUND_MAX];
    size_t count;
    bool too_many;
};

static void note_file(void *arg, const char *dir, const char *name)
{
    struct found *found = arg;
    struct store_part part;
    const char *rest;
    (void)dir;
    if (!part_parse(name, &part, &rest) || *rest != '\0')
        return;
    found->too_many = found->count == FOUND_MAX;
    if (!found->too_many)
        found->files[found->count++] = part;
}

/* By id, the newest generation first. */
static int compare_files(const void *left, const void *right)
{
    const struct store_part *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->generation > b->generation ? -1 : a->generation < b->generation;
}

static int reattach(struct parts *parts, const char *path, const char *name, bool read_only, struct err *err)
{
    bool fatal = false;
    int rc = part_detach(name, parts->connection, err);
    return rc != 0 ? rc : part_attach(path, name, read_only, parts->connection, &fatal, err);
}

/* What stands in the WAL of a file that is not written any more belongs into the file. When there is no room
 * for that now, the WAL stays. */
static int settle(struct parts *parts, const char *path, const char *name, struct err *err)
{
    char sql[PART_NAME_BYTES + 16];
    struct err reason;
    bool fatal = false;
    (void)snprintf(sql, sizeof sql, "CHECKPOINT %s", name);
    int rc = fault_run(parts->connection, sql, &fatal, &reason);
    if (rc == 0 && part_is_whole(path))
        return reattach(parts, path, name, true, err);
    return fatal ? err_set(err, rc, "%s", reason.detail) : 0;
}

/* Attaches path, of whatever version, and brings it to the present one; *info says what it is. What is not
 * open ends up read-only. ERR_NOT_FOUND: there are no tables of ours in it. */
static int attach_any(struct parts *parts, const char *path, const char *name, struct store_part *info,
                      struct err *err)
{
    bool whole = part_is_whole(path), read_only = whole, fatal = false;
    int64_t version = 0;
    int rc = part_attach(path, name, read_only, parts->connection, &fatal, err);
    if (rc == 0)
        rc = layout_version(parts->connection, name, &version, err);
    if (rc == 0 && version == 0)
        return err_set(err, ERR_NOT_FOUND, "%s has no tables", path);
    if (rc == 0 && version != LAYOUT_VERSION && read_only) {
        read_only = false;
        rc = reattach(parts, path, name, read_only, err);
    }
    if (rc == 0)
        rc = layout_migrate(parts->connection, name, version, err);
    if (rc == 0)
        rc = layout_read(parts->connection, name, info, err);
    if (rc == 0 && !info->open && !read_only)
        return settle(parts, path, name, err);
    return rc == 0 && info->open && read_only ? reattach(parts, path, name, false, err) : rc;
}

/* True when there was damage, and it is out of the way. */
static bool put_aside(const char *path, int rc, const struct err *reason)
{
    char wal[PATH_MAX + 8];
    if (rc != ERR_ENGINE)
        return false;
    (void)snprintf(wal, sizeof wal, "%s.wal", path);
    static const char then[] = "read again from the journal as far as that reaches";
    return part_set_aside(wal, then, reason) || part_set_aside(path, then, reason);
}

/* ERR_MORE: something was set aside, open everything again. */
static int attach_part(struct parts *parts, const struct store_part *file, struct part **out, struct err *err)
{
    struct store_part info = *file;
    struct part *part = malloc(sizeof *part);
    if (part == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    part_init(part, parts->instance->dir, file);
    int rc = attach_any(parts, part->path, part->name, &info, err);
    if (rc == ERR_NOT_FOUND || (rc == 0 && (info.id != file->id || info.generation != file->generation)))
        rc = err_set(err, ERR_ENGINE, "%s does not hold what its name says", part->path);
    if (rc == 0) {
        part->info = info;
        part->checkpointed = part_is_whole(part->path) ? info.end : info.begin;
        *out = part;
        return 0;
    }
    if (put_aside(part->path, rc, err)) {
        parts->rows_lost = true;
        rc = ERR_MORE;
    }
    free(part);
    return rc;
}

static int attach_parts(struct parts *parts, struct found *found, struct err *err)
{
    uint64_t covered = 0;
    qsort(found->files, found->count, sizeof *found->files, compare_files);
    for (size_t i = 0; i < found->count; i++) {
        struct part *part = NULL;
        if (found->files[i].id <= covered) { /* of an older generation, or merged into the one before */
            struct part gone;
            part_init(&gone, parts->instance->dir, &found->files[i]);
            part_unlink(gone.path);
            continue;
        }
        if (parts->count == PARTS_MAX)
            return err_set(err, ERR_LIMIT, "the store has more than %d parts", PARTS_MAX);
        int rc = attach_part(parts, &found->files[i], &part, err);
        if (rc != 0)
            return rc;
        covered = part->info.last_id;
        parts_insert(parts, part);
    }
    return 0;
}

/* The migrated file, closed, under its new name. */
static int rename_old(struct parts *parts, const char *old, const struct store_part *info, struct err *err)
{
    char wal[PATH_MAX + 8];
    struct part part;
    part_init(&part, parts->instance->dir, info);
    int rc = fault_run(parts->connection, "CHECKPOINT taken", NULL, err);
    if (rc == 0)
        rc = part_detach("taken", parts->connection, err);
    if (rc == 0 && !part_is_whole(old))
        rc = err_set(err, ERR_IO, "%s keeps its WAL", old);
    (void)snprintf(wal, sizeof wal, "%s.wal", old);
    (void)unlink(wal);
    return rc == 0 ? part_install(old, part.path, err) : rc;
}

/* The release before kept one file. It becomes the first part; a kill leaves it as it was, or migrated, or
 * renamed. ERR_MORE: set aside. */
static int take_over(struct parts *parts, bool others, struct err *err)
{
    char old[PATH_MAX];
    struct stat status;
    struct store_part info;
    (void)snprintf(old, sizeof old, "%s/" OLD_FILE, parts->instance->dir);
    if (stat(old, &status) != 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s can't be looked at", old);
    if (others)
        return err_set(err, ERR_EXISTS,
                       "%s was written by an older release beside the parts of a newer one; move one of them "
                       "away",
                       old);
    int rc = attach_any(parts, old, "taken", &info, err);
    if (rc == ERR_NOT_FOUND) { /* killed before it made its tables */
        rc = part_detach("taken", parts->connection, err);
        part_unlink(old);
        return rc;
    }
    if (rc == 0)
        rc = rename_old(parts, old, &info, err);
    if (rc == 0)
        log_info("store: %s was taken over from an older release", old);
    if (!put_aside(old, rc, err))
        return rc;
    parts->rows_lost = true;
    return ERR_MORE;
}

static int open_all(struct parts *parts, struct found *found, struct err *err)
{
    static const struct store_part nothing = {.id = 1};
    *found = (struct found){.count = 0};
    int rc = instance_open(parts->instance, err);
    if (rc == 0)
        rc = instance_connect(parts->instance, &parts->connection, err);
    if (rc == 0) /* a question that no part has rows for asks these */
        rc = layout_create(parts->connection, "memory", &nothing, err);
    if (rc == 0)
        rc = list(parts, "", note_file, found, err);
    if (rc == 0)
        rc = take_over(parts, found->count > 0, err);
    if (rc == 0) {
        found->count = 0;
        rc = list(parts, "", note_file, found, err);
    }
    if (rc == 0 && found->too_many)
        rc = err_set(err, ERR_LIMIT, "%s holds too many files", parts->instance->dir);
    return rc == 0 ? attach_parts(parts, found, err) : rc;
}

int shelf_open(struct parts *parts, struct err *err)
{
    struct found *found = malloc(sizeof *found);
    if (found == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = parts->opened ? 0 : clean(parts, err);
    if (rc == 0)
        do {
            rc = open_all(parts, found, err);
            if (rc != 0)
                shelf_shut(parts);
        } while (rc == ERR_MORE);
    free(found);
    parts->opened = rc == 0 || parts->opened;
    return rc;
}

void shelf_shut(struct parts *parts)
{
    (void)pthread_mutex_lock(&parts->mutex);
    for (size_t i = 0; i < parts->count; i++)
        free(parts->list[i]);
    parts->count = 0;
    (void)pthread_mutex_unlock(&parts->mutex);
    atomic_fetch_add(&parts->shut, 1);
    duckdb_disconnect(&parts->connection);
    instance_shut(parts->instance);
}
