/* SPDX-License-Identifier: Apache-2.0
 *
 * scrubber: see scrubber.h.
 */
#include "scrubber.h"

#include "base/buf.h"
#include "wire/erase.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES = 32 * 1024 * 1024 };

struct scrubber {
    struct erasures *erasures;
    struct batch_eraser *eraser;
    struct event_batch *batch; /* of one event */
    struct buf file;
    int64_t latest_us; /* of all tombstones */
    struct scrubber_count count;
};

int scrubber_create(struct scrubber **out, struct erasures *erasures, struct err *err)
{
    struct scrubber *s = calloc(1, sizeof *s);
    size_t count;
    *out = NULL;
    if (s == NULL || batch_eraser_create(&s->eraser) != 0 ||
        event_batch_create(&s->batch, 1, EVENT_TEXT_BYTES) != 0) {
        scrubber_destroy(&s);
        return err_set(err, ERR_NO_MEMORY, "no memory for the scrubber");
    }
    buf_init(&s->file, FILE_BYTES);
    s->erasures = erasures;
    s->latest_us = INT64_MIN;
    const struct erasure *items = erasures_list(erasures, &count);
    for (size_t i = 0; i < count; i++)
        if (items[i].before_us > s->latest_us)
            s->latest_us = items[i].before_us;
    *out = s;
    return 0;
}

void scrubber_destroy(struct scrubber **scrubber)
{
    struct scrubber *s = *scrubber;
    if (s == NULL)
        return;
    batch_eraser_destroy(&s->eraser);
    event_batch_destroy(&s->batch);
    buf_fini(&s->file);
    free(s);
    *scrubber = NULL;
}

struct scrubber_count scrubber_counted(const struct scrubber *scrubber)
{
    return scrubber->count;
}

int scrubber_covers(void *arg, const struct commit *commit, const struct batch_record *record)
{
    struct scrubber *s = arg;
    struct policy_request request;
    struct event *event;
    if (record->kind != RECORD_POLICY || policy_parse(record->payload, &request, NULL) != 0)
        return erasures_cover_bytes(s->erasures, commit->tenant, commit->hub_ts, record->payload);
    struct event_origin origin = {.tenant = commit->tenant,
                                  .edge = commit->edge,
                                  .seq = record->seq,
                                  .edge_ts = record->ts_us,
                                  .hub_ts = commit->hub_ts,
                                  .clock_offset_us = commit->clock_offset_us};
    event_batch_clear(s->batch);
    int rc = event_from_request(s->batch, &origin, &request, &event);
    return rc != 0 ? rc : erasures_cover(s->erasures, event);
}

static int blank(struct scrubber *s, uint8_t *payload, size_t n, bool *changed)
{
    memset(payload, 0, n);
    s->count.unreadable++;
    *changed = true;
    return 0;
}

static bool is_blank(struct slice bytes)
{
    return bytes.n == 0 || (bytes.p[0] == '\0' && memcmp(bytes.p, bytes.p + 1, bytes.n - 1) == 0);
}

int scrubber_look(void *arg, const struct journal_record *record, uint8_t *payload, bool *changed,
                  struct err *err)
{
    struct scrubber *s = arg;
    struct commit commit;
    struct batch_erased erased;
    if (record->ts_us >= s->latest_us || is_blank(record->payload))
        return 0;
    if (record->kind != COMMIT_BATCH || commit_decode(record->payload, &commit) != 0)
        return blank(s, payload, record->payload.n, changed);
    if (!erasures_concern(s->erasures, commit.tenant, commit.hub_ts))
        return 0;
    int rc = batch_erase(s->eraser, payload, record->payload.n, scrubber_covers, s, &erased, err);
    if (rc == ERR_CORRUPT || rc == ERR_INVALID || rc == ERR_LIMIT)
        return blank(s, payload, record->payload.n, changed);
    if (rc != 0)
        return rc;
    s->count.events += erased.records;
    s->count.lost += erased.lost;
    *changed = erased.records > 0;
    return 0;
}

/* --- quarantine ---------------------------------------------------------------------------------------- */

/* The number behind "name: " in the head of the file (quarantine.h). */
static bool head_number(struct slice head, const char *name, int64_t *out)
{
    struct slice line;
    size_t n = strlen(name);
    uint64_t number;
    while (slice_split(&head, '\n', &line))
        if (line.n > n + 2 && memcmp(line.p, name, n) == 0 && line.p[n] == ':' && line.p[n + 1] == ' ') {
            if (text_to_u64((struct slice){line.p + n + 2, line.n - n - 2}, INT64_MAX, &number) != 0)
                return false;
            *out = (int64_t)number;
            return true;
        }
    return false;
}

/* A request that the store or the parser refused: its tenant is known. Anything else can't be searched. */
static bool file_is_covered(struct scrubber *s, struct slice file, bool *readable)
{
    const char *end = file.n > 0 ? memmem(file.p, file.n, "\n\n", 2) : NULL;
    struct slice head = {file.p, end != NULL ? (size_t)(end - file.p) : 0};
    int64_t tenant = 0, hub_ts = 0;
    *readable = end != NULL && head_number(head, "tenant", &tenant) && head_number(head, "hub_ts", &hub_ts) &&
                tenant <= UINT32_MAX;
    if (!*readable)
        return end == NULL || !head_number(head, "hub_ts", &hub_ts) || hub_ts < s->latest_us;
    return erasures_cover_bytes(s->erasures, (uint32_t)tenant, hub_ts,
                                (struct slice){end + 2, file.n - head.n - 2});
}

static int read_file(struct scrubber *s, int dir, const char *name, struct err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = fd < 0 ? err_errno(err, errno, "quarantine: %s can't be read", name) : 0;
    buf_clear(&s->file);
    for (ssize_t n = 1; rc == 0 && n > 0;) {
        if (buf_reserve(&s->file, 65536) != 0)
            break; /* what is longer is judged by its beginning: none of ours is */
        n = read(fd, s->file.p + s->file.n, 65536);
        if (n < 0)
            rc = err_errno(err, errno, "quarantine: %s can't be read", name);
        else
            s->file.n += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static int look_at_file(struct scrubber *s, int dir, const char *name, struct err *err)
{
    struct stat st;
    bool readable;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return 0;
    int rc = read_file(s, dir, name, err);
    if (rc != 0 || !file_is_covered(s, buf_slice(&s->file), &readable))
        return rc;
    if (unlinkat(dir, name, 0) != 0)
        return err_errno(err, errno, "quarantine: %s can't be removed", name);
    s->count.files++;
    s->count.unreadable += !readable;
    return 0;
}

int scrubber_quarantine(struct scrubber *s, const char *path, struct err *err)
{
    DIR *names = opendir(path);
    if (names == NULL)
        return errno == ENOENT ? 0 : err_errno(err, errno, "the quarantine %s can't be read", path);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;)
        rc = look_at_file(s, dirfd(names), entry->d_name, err);
    if (rc == 0 && fsync(dirfd(names)) != 0)
        rc = err_errno(err, errno, "the quarantine %s can't be synced", path);
    (void)closedir(names);
    return rc;
}
