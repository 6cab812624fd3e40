/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: see scrub.h.
 */
#include "scrub.h"

#include "inside.h"
#include "packed.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { COPY_BYTES = 256 * 1024 };

struct scrub {
    struct journal *journal;
    struct segment segment; /* as listed when it began */
    scrub_look look;
    void *arg;
    struct source source; /* the old file */
    struct buf record;    /* the one in hand, as it is to be */
    int tmp;              /* the new file; -1: none was needed yet */
    uint64_t records;     /* intact ones */
    uint64_t file_bytes;  /* of the new file */
    bool changed;
    struct err *err;
};

int journal_next_sealed(const struct journal *journal, uint64_t behind, uint64_t *number, uint64_t *records)
{
    struct journal *self = (struct journal *)(uintptr_t)journal; /* the lock is no part of what is const */
    pthread_mutex_lock(&self->state);
    const struct segment *next = segment_after(self, behind);
    bool found = next != NULL && next->sealed;
    if (found) {
        *number = next->number;
        *records = next->summary.records;
    }
    pthread_mutex_unlock(&self->state);
    return found ? 0 : ERR_END;
}

static int no_memory(struct scrub *s)
{
    return err_set(s->err, ERR_NO_MEMORY, "journal %s: out of memory", s->journal->dir);
}

static const char *form_of(const struct scrub *s)
{
    return s->segment.packed ? SEGMENT_PACKED : SEGMENT_PLAIN;
}

/* Shows the record; what it is to be, header first, is at *bytes then. */
static int show(struct scrub *s, const struct record *record, const uint8_t **bytes, bool *changed)
{
    size_t n = record_bytes(record);
    uint64_t at = s->source.offset - n;
    struct record fresh = *record;
    struct journal_record seen = {
        .epoch = s->source.header.epoch,
        .seq = record->seq,
        .ts_us = record->ts_us,
        .kind = record->kind,
        .payload = {(const char *)*bytes + RECORD_HEADER_BYTES, record->payload_bytes},
        .pos = {s->segment.number, at},
        .next = {s->segment.number, s->source.offset},
    };
    buf_clear(&s->record);
    if (buf_add(&s->record, *bytes, n) != 0)
        return no_memory(s);
    uint8_t *copy = (uint8_t *)s->record.p, *payload = copy + RECORD_HEADER_BYTES;
    *changed = false;
    int rc = s->look(s->arg, &seen, payload, changed, s->err);
    if (rc == 0 && *changed) {
        record_encode(s->source.seed, &fresh, (struct slice){(const char *)payload, record->payload_bytes},
                      copy);
        *bytes = copy;
        s->changed = true;
    }
    return rc;
}

/* The next record of the old file, whatever is between. *damage: what was passed is s->source.damage. */
static int next(struct scrub *s, struct record *record, const uint8_t **bytes, bool *damage)
{
    int rc = source_next(&s->source, record, bytes, s->err);
    *damage = rc == ERR_CORRUPT;
    s->records += rc == 0;
    return rc == ERR_CORRUPT ? 0 : rc;
}

static int open_tmp(struct scrub *s)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, s->segment.number, SEGMENT_TMP);
    s->tmp = openat(s->journal->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return s->tmp >= 0 ? 0 : err_errno(s->err, errno, "journal %s: %s cannot be made", s->journal->dir, name);
}

/* --- plain: a copy, in which single records are overwritten ------------------------------------------- */

static int write_at(struct scrub *s, const void *bytes, size_t n, uint64_t at)
{
    for (const char *p = bytes; n > 0;) {
        ssize_t wrote = pwrite(s->tmp, p, n, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return err_errno(s->err, wrote < 0 ? errno : ENOSPC,
                             "journal %s: a segment cannot be written anew", s->journal->dir);
        p += wrote;
        at += (uint64_t)wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

static int copy_file(struct scrub *s)
{
    struct buf piece = {.limit = COPY_BYTES};
    int rc = open_tmp(s);
    if (rc == 0 && buf_reserve(&piece, COPY_BYTES) != 0)
        rc = no_memory(s);
    for (s->file_bytes = 0; rc == 0;) {
        ssize_t n = pread(s->source.fd, piece.p, COPY_BYTES, (off_t)s->file_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(s->err, errno, "journal %s: a segment cannot be read", s->journal->dir);
        if (n <= 0)
            break;
        rc = write_at(s, piece.p, (size_t)n, s->file_bytes);
        s->file_bytes += (uint64_t)n;
    }
    buf_fini(&piece);
    return rc;
}

static int overwrite(struct scrub *s, const void *bytes, size_t n, uint64_t at)
{
    int rc = s->tmp < 0 ? copy_file(s) : 0;
    return rc != 0 ? rc : write_at(s, bytes, n, at);
}

static int blank_damage(struct scrub *s)
{
    uint64_t n = s->source.damage.bytes;
    if (n > RECORD_TOTAL_BYTES + s->journal->segment_bytes)
        return err_set(s->err, ERR_CORRUPT, "journal %s: damage without an end", s->journal->dir);
    buf_clear(&s->record);
    if (buf_reserve(&s->record, n) != 0)
        return no_memory(s);
    memset(s->record.p, 0, n);
    s->changed = true;
    return overwrite(s, s->record.p, n, s->source.damage.offset);
}

static int scrub_plain(struct scrub *s)
{
    struct record record;
    const uint8_t *bytes;
    bool damage, changed;
    int rc;
    while ((rc = next(s, &record, &bytes, &damage)) == 0) {
        if (damage)
            rc = blank_damage(s);
        else if ((rc = show(s, &record, &bytes, &changed)) == 0 && changed)
            rc = overwrite(s, bytes, record_bytes(&record), s->source.offset - record_bytes(&record));
        if (rc != 0)
            return rc;
    }
    if (rc != ERR_END)
        return rc;
    if (s->tmp >= 0 && fsync(s->tmp) != 0)
        return err_errno(s->err, errno, "journal %s: a segment cannot be synced", s->journal->dir);
    return 0;
}

/* --- packed: looked through, and packed anew when there is anything to take out ------------------------ */

static int change(void *arg, const struct record *record, const uint8_t **bytes)
{
    bool changed;
    return show(arg, record, bytes, &changed);
}

static int scrub_packed(struct scrub *s)
{
    struct record record;
    const uint8_t *bytes;
    bool damage, changed;
    int rc;
    while ((rc = next(s, &record, &bytes, &damage)) == 0) {
        s->changed |= damage;
        if (!damage && (rc = show(s, &record, &bytes, &changed)) != 0)
            return rc;
    }
    if (rc != ERR_END || !s->changed)
        return rc == ERR_END ? 0 : rc;
    int level = s->journal->compress_level != 0 ? s->journal->compress_level : 1;
    const struct packed_calls calls = {.change = change, .arg = s};
    rc = open_tmp(s);
    return rc != 0
               ? rc
               : packed_write(s->tmp, &s->source, &s->segment.summary, level, &calls, &s->file_bytes, s->err);
}

/* --- taking its place ---------------------------------------------------------------------------------- */

/* The new file must tell the same records, before the old one is given up. */
static int verify(struct scrub *s)
{
    struct source source;
    struct record record;
    const uint8_t *bytes;
    uint64_t count = 0, last = 0;
    source_init(&source);
    int copy = fcntl(s->tmp, F_DUPFD_CLOEXEC, 0);
    int rc = copy >= 0 ? source_take(&source, copy, s->err)
                       : err_errno(s->err, errno, "journal %s: no descriptor left", s->journal->dir);
    if (rc == 0) {
        source.limit = s->segment.summary.end;
        source.sealed = true;
    }
    while (rc == 0 || rc == ERR_CORRUPT) {
        rc = source_next(&source, &record, &bytes, s->err);
        count += rc == 0;
        last = rc == 0 ? record.seq : last;
    }
    source_fini(&source);
    if (rc == ERR_END && (count != s->records || last > s->segment.summary.last_seq))
        rc = err_set(s->err, ERR_CORRUPT, "journal %s: segment %016" PRIx64 " differs when written anew",
                     s->journal->dir, s->segment.number);
    return rc == ERR_END ? 0 : rc;
}

static int install(struct scrub *s)
{
    struct journal *journal = s->journal;
    char tmp[SEGMENT_NAME_BYTES], name[SEGMENT_NAME_BYTES];
    int rc = 0;
    segment_name(tmp, s->segment.number, SEGMENT_TMP);
    segment_name(name, s->segment.number, form_of(s));
    pthread_mutex_lock(&journal->files);
    pthread_mutex_lock(&journal->state);
    bool there = segment_find(journal, s->segment.number) != NULL;
    pthread_mutex_unlock(&journal->state);
    if (!there)
        rc = ERR_NOT_FOUND;
    else if (renameat(journal->dir_fd, tmp, journal->dir_fd, name) != 0 || fsync(journal->dir_fd) != 0)
        rc = err_errno(s->err, errno, "journal %s: %s cannot be put in place", journal->dir, name);
    pthread_mutex_lock(&journal->state);
    struct segment *segment = rc == 0 ? segment_find(journal, s->segment.number) : NULL;
    if (segment != NULL) {
        journal->bytes -= segment->file_bytes - s->file_bytes;
        segment->file_bytes = s->file_bytes;
    }
    pthread_mutex_unlock(&journal->state);
    pthread_mutex_unlock(&journal->files);
    return rc;
}

static int begin(struct scrub *s, uint64_t number)
{
    pthread_mutex_lock(&s->journal->state);
    const struct segment *found = segment_find(s->journal, number);
    bool there = found != NULL && found->sealed;
    if (there)
        s->segment = *found;
    pthread_mutex_unlock(&s->journal->state);
    if (!there)
        return err_set(s->err, ERR_NOT_FOUND, "journal %s: segment %016" PRIx64 " is gone", s->journal->dir,
                       number);
    int rc = source_open(&s->source, s->journal->dir_fd, number, s->err);
    if (rc == 0 && !s->source.packed) {
        s->source.limit = s->segment.summary.end; /* without a footer, when there was no room for one */
        s->source.sealed = true;
    }
    return rc;
}

int journal_scrub(struct journal *journal, uint64_t number, scrub_look look, void *arg, bool *changed,
                  struct err *err)
{
    struct scrub s = {.journal = journal, .look = look, .arg = arg, .tmp = -1, .err = err};
    char tmp[SEGMENT_NAME_BYTES];
    *changed = false;
    source_init(&s.source);
    buf_init(&s.record, RECORD_TOTAL_BYTES + journal->segment_bytes);
    pthread_mutex_lock(&journal->rewriting);
    int rc = begin(&s, number);
    if (rc == 0)
        rc = s.source.packed ? scrub_packed(&s) : scrub_plain(&s);
    if (rc == 0 && s.changed)
        rc = verify(&s);
    if (rc == 0 && s.changed)
        rc = install(&s);
    *changed = rc == 0 && s.changed;
    if (s.tmp >= 0) {
        close(s.tmp);
        segment_name(tmp, number, SEGMENT_TMP);
        (void)unlinkat(journal->dir_fd, tmp, 0); /* gone already when it was put in place */
    }
    pthread_mutex_unlock(&journal->rewriting);
    buf_fini(&s.record);
    source_fini(&s.source);
    return rc;
}

/* --- quarantine ---------------------------------------------------------------------------------------- */

static int empty_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = fd >= 0 && ftruncate(fd, 0) == 0 && fsync(fd) == 0 ? 0 : -1;
    if (fd >= 0)
        close(fd);
    return rc;
}

int journal_scrub_quarantine(struct journal *journal, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&journal->files);
    int dir = openat(journal->dir_fd, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *names = dir >= 0 ? fdopendir(dir) : NULL;
    if (names == NULL && errno != ENOENT)
        rc = err_errno(err, errno, "journal %s: quarantine cannot be read", journal->dir);
    for (struct dirent *entry; rc == 0 && names != NULL && (entry = readdir(names)) != NULL;)
        if (entry->d_name[0] != '.' && empty_file(dir, entry->d_name) != 0)
            rc = err_errno(err, errno, "journal %s: quarantine/%s cannot be emptied", journal->dir,
                           entry->d_name);
    if (names != NULL)
        closedir(names);
    pthread_mutex_unlock(&journal->files);
    return rc;
}
