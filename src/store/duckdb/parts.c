/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: see parts.h. The list in memory, and who reads what; how it is found on disk: shelf.c.
 */
#include "store/duckdb/parts.h"

#include "base/log.h"
#include "store/duckdb/shelf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int parts_init(struct parts *parts, struct instance *instance, struct err *err)
{
    char path[PATH_MAX];
    *parts = (struct parts){.instance = instance, .lock = -1};
    if (mkdir(instance->dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "the store's directory %s can't be made", instance->dir);
    (void)snprintf(path, sizeof path, "%s/lock", instance->dir);
    parts->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (parts->lock < 0)
        return err_errno(err, errno, "%s can't be opened", path);
    if (flock(parts->lock, LOCK_EX | LOCK_NB) != 0) {
        (void)close(parts->lock);
        return err_set(err, ERR_BUSY, "%s is in use by another process; stop that first", instance->dir);
    }
    (void)pthread_mutex_init(&parts->change, NULL);
    (void)pthread_mutex_init(&parts->mutex, NULL);
    return 0;
}

void parts_fini(struct parts *parts)
{
    (void)pthread_mutex_destroy(&parts->mutex);
    (void)pthread_mutex_destroy(&parts->change);
    (void)close(parts->lock);
}

int parts_open(struct parts *parts, struct err *err)
{
    (void)pthread_mutex_lock(&parts->change);
    int rc = shelf_open(parts, err);
    (void)pthread_mutex_unlock(&parts->change);
    return rc;
}

void parts_shut(struct parts *parts, bool checkpoint)
{
    (void)pthread_mutex_lock(&parts->change);
    for (size_t i = 0; checkpoint && i < parts->count; i++) {
        bool fatal = false;
        if (!part_is_whole(parts->list[i]->path) &&
            part_checkpoint(parts->list[i], parts->connection, &fatal, NULL) != 0)
            log_warning("store: %s was closed without a checkpoint; it is made at the next start",
                        parts->list[i]->path);
    }
    shelf_shut(parts);
    (void)pthread_mutex_unlock(&parts->change);
}

unsigned parts_shuts(struct parts *parts)
{
    return atomic_load(&parts->shut);
}

/* Is there something missing before list[i], and an id for what takes its place? The first part begins at the
 * beginning of the journal. */
static bool has_gap_before(const struct parts *parts, size_t i, struct place *out)
{
    static const struct store_part none = {.id = 0};
    const struct store_part *before = i > 0 ? &parts->list[i - 1]->info : &none;
    const struct store_part *behind = &parts->list[i]->info;
    if (store_cursor_compare(before->end, behind->begin) >= 0)
        return false;
    *out = (struct place){
        .id = before->last_id + 1, .begin = before->end, .is_gap = true, .until = behind->begin};
    if (before->open)
        *out = (struct place){.part = parts->list[i - 1],
                              .id = before->id,
                              .begin = before->begin,
                              .is_gap = true,
                              .until = behind->begin};
    return before->open || out->id < behind->id;
}

static void find_place(struct parts *parts, struct place *out)
{
    for (size_t i = 0; i < parts->count; i++)
        if (has_gap_before(parts, i, out))
            return;
    *out = (struct place){.id = 1};
    if (parts->count == 0)
        return;
    struct part *last = parts->list[parts->count - 1];
    *out = (struct place){.id = last->info.last_id + 1, .begin = last->info.end};
    if (last->info.open)
        *out = (struct place){.part = last, .id = last->info.id, .begin = last->info.begin};
}

void parts_place(struct parts *parts, struct place *out)
{
    (void)pthread_mutex_lock(&parts->mutex);
    find_place(parts, out);
    (void)pthread_mutex_unlock(&parts->mutex);
}

void parts_insert(struct parts *parts, struct part *part)
{
    size_t at = 0;
    (void)pthread_mutex_lock(&parts->mutex);
    assert(parts->count < PARTS_MAX);
    while (at < parts->count && parts->list[at]->info.id < part->info.id)
        at++;
    memmove(&parts->list[at + 1], &parts->list[at], (parts->count - at) * sizeof *parts->list);
    parts->list[at] = part;
    parts->count++;
    (void)pthread_mutex_unlock(&parts->mutex);
}

int parts_make(struct parts *parts, struct place *place, int64_t hub_ts, bool *fatal, struct err *err)
{
    struct store_part info = {
        .id = place->id, .last_id = place->id, .open = true, .begin = place->begin, .end = place->begin};
    struct part *part = malloc(sizeof *part);
    if (part == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    (void)pthread_mutex_lock(&parts->change);
    int rc = parts->count < PARTS_MAX
                 ? 0
                 : err_set(err, ERR_LIMIT, "the store has %d parts already, no more can be made", PARTS_MAX);
    part_month(hub_ts, &info.year, &info.month);
    if (rc == 0)
        rc = shelf_generation(parts, info.id, &info.generation, err);
    if (rc == 0) {
        part_init(part, parts->instance->dir, &info);
        rc = part_make(part, parts->connection, fatal, err);
    }
    if (rc == 0) {
        parts_insert(parts, part);
        place->part = part;
    } else {
        free(part);
    }
    (void)pthread_mutex_unlock(&parts->change);
    return rc;
}

void parts_publish(struct parts *parts, struct part *part, const struct store_part *info)
{
    bool whole = part_is_whole(part->path);
    (void)pthread_mutex_lock(&parts->mutex);
    part->info = *info;
    if (whole)
        part->checkpointed = info->end;
    else if (store_cursor_compare(info->end, part->checkpointed) < 0)
        part->checkpointed = info->begin;
    (void)pthread_mutex_unlock(&parts->mutex);
}

/* From list[*at] on, the next one that has something only in its WAL; NULL: none. */
static struct part *next_behind(struct parts *parts, bool closed_only, size_t *at, struct store_part *info)
{
    struct part *found = NULL;
    (void)pthread_mutex_lock(&parts->mutex);
    for (; found == NULL && *at < parts->count; ++*at) {
        struct part *part = parts->list[*at];
        *info = part->info;
        /* Closing a part writes to it once more, without another cursor. */
        bool behind = store_cursor_compare(part->checkpointed, info->end) != 0 ||
                      (!info->open && !part_is_whole(part->path));
        if (behind && (!closed_only || !info->open))
            found = part;
    }
    (void)pthread_mutex_unlock(&parts->mutex);
    return found;
}

int parts_checkpoint(struct parts *parts, bool closed_only, duckdb_connection connection, bool *fatal,
                     struct err *err)
{
    struct store_part info;
    struct part *part;
    int rc = 0;
    /* Only the writer writes parts, and one that has a WAL isn't replaced: it can't go meanwhile. */
    for (size_t at = 0; !*fatal && (part = next_behind(parts, closed_only, &at, &info)) != NULL;) {
        int one = part_checkpoint(part, connection, fatal, rc == 0 ? err : NULL);
        if (one == 0)
            parts_publish(parts, part, &info);
        rc = rc != 0 ? rc : one;
    }
    return rc;
}

/* A gap, and what is in a WAL only, hold it back. */
void parts_checkpointed(struct parts *parts, struct store_cursor *out)
{
    struct place place;
    (void)pthread_mutex_lock(&parts->mutex);
    find_place(parts, &place);
    *out = place.part != NULL ? place.part->checkpointed : place.begin;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = parts->list[i];
        if (store_cursor_compare(part->checkpointed, part->info.end) != 0 &&
            store_cursor_compare(part->checkpointed, *out) < 0)
            *out = part->checkpointed;
    }
    (void)pthread_mutex_unlock(&parts->mutex);
}

void parts_sums(struct parts *parts, uint64_t *rows, uint64_t *bytes)
{
    *rows = *bytes = 0;
    (void)pthread_mutex_lock(&parts->mutex);
    for (size_t i = 0; i < parts->count; i++) {
        *rows += parts->list[i]->info.rows;
        *bytes += part_bytes(parts->list[i]->path);
    }
    (void)pthread_mutex_unlock(&parts->mutex);
}

int parts_copy(struct parts *parts, struct store_part **out, size_t *count, struct err *err)
{
    (void)pthread_mutex_lock(&parts->mutex);
    *count = parts->count;
    *out = calloc(*count + 1, sizeof **out);
    for (size_t i = 0; *out != NULL && i < *count; i++) {
        (*out)[i] = parts->list[i]->info;
        (*out)[i].bytes = part_bytes(parts->list[i]->path);
    }
    (void)pthread_mutex_unlock(&parts->mutex);
    return *out != NULL ? 0 : err_set(err, ERR_NO_MEMORY, "out of memory");
}

static bool overlaps(const struct store_part *part, int64_t from, int64_t to)
{
    return part->rows > 0 && part->min_ts < to && part->max_ts >= from;
}

int parts_snapshot(struct parts *parts, int64_t from, int64_t to, struct snapshot *out, struct err *err)
{
    int rc = 0;
    (void)pthread_mutex_lock(&parts->mutex);
    *out = (struct snapshot){.names = calloc(parts->count + 1, sizeof *out->names),
                             .parts = calloc(parts->count + 1, sizeof(struct part *))};
    if (out->names == NULL || out->parts == NULL) {
        free(out->names);
        free(out->parts);
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; rc == 0 && i < parts->count; i++) {
        struct part *part = parts->list[i];
        if (!overlaps(&part->info, from, to))
            continue;
        part->readers++;
        out->parts[out->count] = part;
        out->names[out->count++] = part->name;
    }
    (void)pthread_mutex_unlock(&parts->mutex);
    return rc;
}

/* A replaced one that nobody reads. */
static void drop(struct parts *parts, struct part *part)
{
    struct err err;
    (void)pthread_mutex_lock(&parts->change);
    if (part_detach(part->name, parts->connection, &err) != 0)
        log_warning("store: %s was replaced and can't be detached (%s)", part->path, err.detail);
    part_unlink(part->path);
    (void)pthread_mutex_unlock(&parts->change);
    free(part);
}

void parts_release(struct parts *parts, struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        struct part *part = snapshot->parts[i];
        (void)pthread_mutex_lock(&parts->mutex);
        bool last = --part->readers == 0 && part->replaced;
        (void)pthread_mutex_unlock(&parts->mutex);
        if (last)
            drop(parts, part);
    }
    free(snapshot->names);
    free(snapshot->parts);
    *snapshot = (struct snapshot){0};
}

/* Under change or mutex. */
static size_t find(const struct parts *parts, uint64_t id)
{
    size_t at = 0;
    while (at < parts->count && parts->list[at]->info.id != id)
        at++;
    return at;
}

static bool is_settled(const struct part *part)
{
    return store_cursor_compare(part->checkpointed, part->info.end) == 0 && part_is_whole(part->path);
}

static int take_original(const struct parts *parts, uint64_t id, struct original *out, struct err *err)
{
    size_t at = find(parts, id);
    if (at == parts->count)
        return err_set(err, ERR_NOT_FOUND, "the store has no part %" PRIu64, id);
    const struct part *part = parts->list[at], *before = at > 0 ? parts->list[at - 1] : NULL;
    if (part->info.open)
        return err_set(err, ERR_CONFLICT, "part %" PRIu64 " is open; close it first", id);
    if (!is_settled(part) || (before != NULL && !is_settled(before)))
        return err_set(err, ERR_BUSY, "part %" PRIu64 " waits for a checkpoint; try again", id);
    *out = (struct original){.info = part->info};
    (void)strcpy(out->path, part->path);
    if (before != NULL && !before->info.open)
        (void)strcpy(out->before, before->path);
    return 0;
}

int parts_original(struct parts *parts, uint64_t id, struct original *out, struct part *next, struct err *err)
{
    (void)pthread_mutex_lock(&parts->change);
    (void)pthread_mutex_lock(&parts->mutex);
    int rc = take_original(parts, id, out, err);
    (void)pthread_mutex_unlock(&parts->mutex);
    if (rc == 0) {
        struct store_part info = out->info;
        rc = shelf_generation(parts, id, &info.generation, err);
        part_init(next, parts->instance->dir, &info);
    }
    (void)pthread_mutex_unlock(&parts->change);
    return rc;
}

/* Under change: nothing else is added or taken away. *old: replaced, and nobody reads it any more. */
static int install(struct parts *parts, const struct store_part *info, struct part *next,
                   const char *temporary, struct part **old, struct err *err)
{
    bool fatal = false;
    if (parts->connection == NULL)
        return err_set(err, ERR_BUSY, "the store is being opened again; try again");
    size_t at = find(parts, info->id);
    if (at == parts->count || parts->list[at]->info.generation != info->generation)
        return err_set(err, ERR_CONFLICT, "part %" PRIu64 " was lost while it was rewritten", info->id);
    int rc = part_install(temporary, next->path, err);
    if (rc == 0)
        rc = part_attach(next->path, next->name, true, parts->connection, &fatal, err);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&parts->mutex);
    struct part *replaced = parts->list[at];
    parts->list[at] = next;
    replaced->replaced = true;
    *old = replaced->readers == 0 ? replaced : NULL;
    (void)pthread_mutex_unlock(&parts->mutex);
    return 0;
}

int parts_replace(struct parts *parts, const struct store_part *info, const struct part *next,
                  const char *temporary, struct err *err)
{
    struct part *old = NULL, *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    *copy = *next;
    copy->checkpointed = copy->info.end;
    (void)pthread_mutex_lock(&parts->change);
    int rc = install(parts, info, copy, temporary, &old, err);
    (void)pthread_mutex_unlock(&parts->change);
    if (old != NULL)
        drop(parts, old);
    if (rc != 0)
        free(copy);
    return rc;
}
