/* SPDX-License-Identifier: Apache-2.0
 *
 * job_backup: a copy of everything that the hub keeps, while it runs (backup.h). In this order, so that each
 * part knows no more than the next one has; the journal lets nothing go meanwhile:
 *
 *   1. what each edge has delivered (receive/edges, of now)
 *   2. the store, its writer at rest, its open part closed: all its files are linked
 *   3. the store's roll-ups, as a copy of its own: of old days they are all that is left
 *   4. the journal, the segment being written sealed: all sealed segments are linked, its cursor copied
 *   5. quarantines, keys and certificates (secrets.h)
 *   6. the control data, with every tombstone of until now
 *
 * It begins anew when the hub ended in the middle. Arguments: {"to": absolute path}.
 */
#include "base/clock.h"
#include "hub/backup.h"
#include "hub/job_parts.h"
#include "hub/secrets.h"
#include "journal/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct saving {
    struct job *job;
    struct backup backup;
    const struct hub_paths *paths;
    struct err *err;
};

static int check(void *arg, uint64_t done, uint64_t all, struct err *err)
{
    struct job *job = arg;
    return all > 0 ? job_progress(job, done, all, NULL, err) : job_check(job, err);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* DIR/name as below/name; what isn't there is passed. */
static int copy_if_there(struct saving *s, const char *dir, const char *below, const char *name)
{
    char from[PATH_MAX], to[BACKUP_NAME_BYTES * 2];
    struct stat st;
    (void)snprintf(from, sizeof from, "%.2000s/%.250s", dir, name);
    (void)snprintf(to, sizeof to, "%s%s%.250s", below, below[0] != '\0' ? "/" : "", name);
    if (lstat(from, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    int rc = backup_copy(&s->backup, from, to, s->err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int copy_all(struct saving *s, const char *dir, const char *below)
{
    DIR *names = opendir(dir);
    int rc = 0;
    if (names == NULL)
        return errno == ENOENT ? 0 : err_errno(s->err, errno, "%s can't be read", dir);
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;)
        if (entry->d_name[0] != '.')
            rc = copy_if_there(s, dir, below, entry->d_name);
    (void)closedir(names);
    return rc;
}

/* --- the store ----------------------------------------------------------------------------------------- */

static int link_store_file(void *arg, const char *path, struct err *err)
{
    struct saving *s = arg;
    char name[BACKUP_NAME_BYTES];
    (void)snprintf(name, sizeof name, "store/%.200s", last_part(path));
    return backup_link(&s->backup, path, name, err);
}

/* On the store's thread. */
static int link_store(void *arg, struct store *store, struct err *err)
{
    return store_files(store, link_store_file, arg, err);
}

static int link_rollups(void *arg, const char *path, struct err *err)
{
    struct saving *s = arg;
    return backup_link(&s->backup, path, "store/" STORE_ROLLUPS_FILE, err);
}

/* Rows that came since the store was copied may be in them; the journal's copy has these, and where that is
 * read they are rolled again. */
static int save_rollups(void *arg, struct store *store, const atomic_bool *cancelled, struct err *err)
{
    return store_rollups(store, cancelled, link_rollups, arg, err);
}

/* --- the journal --------------------------------------------------------------------------------------- */

/* Compressed meanwhile it has the other name; retired meanwhile it is in the store. */
static int link_segment(struct saving *s, uint64_t number)
{
    static const char *const suffixes[] = {".zst", ".seg", ".zst"};
    int rc = ERR_NOT_FOUND;
    for (size_t i = 0; rc == ERR_NOT_FOUND && i < sizeof suffixes / sizeof *suffixes; i++) {
        char from[PATH_MAX], name[64];
        (void)snprintf(name, sizeof name, "journal/%016" PRIx64 "%s", number, suffixes[i]);
        (void)snprintf(from, sizeof from, "%.2000s/%s", s->paths->journal, last_part(name));
        rc = backup_link(&s->backup, from, name, s->err);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int save_journal(struct saving *s)
{
    uint64_t number = 0, records;
    int rc = receive_rotate(s->job->world->receive, s->err);
    while (rc == 0 && journal_next_sealed(s->job->world->journal, number, &number, &records) == 0)
        if ((rc = link_segment(s, number)) == 0)
            rc = job_check(s->job, s->err);
    if (rc == 0)
        rc = copy_if_there(s, s->paths->journal, "journal", "cursor");
    return rc != 0 ? rc : copy_if_there(s, s->paths->journal, "journal", "standins");
}

/* With a snapshot of now: what it counts, the journal has as well. */
static int save_edges(struct saving *s)
{
    int rc = receive_rotate(s->job->world->receive, s->err);
    return rc != 0 ? rc : copy_if_there(s, s->paths->receive, "receive", "edges");
}

/* --- the rest ------------------------------------------------------------------------------------------ */

/* Records that the store, and bytes of the journal that nobody could take. */
static int save_quarantines(struct saving *s)
{
    char dir[PATH_MAX];
    int rc = copy_all(s, s->paths->quarantine, "quarantine");
    (void)snprintf(dir, sizeof dir, "%.2000s/quarantine", s->paths->journal);
    return rc != 0 ? rc : copy_all(s, dir, "journal/quarantine");
}

/* Of Postfix servers that ask the hub itself there are only the keys: what their spools hold is on its way.
 */
static int save_secret(void *arg, const char *path, const char *name, struct err *err)
{
    struct saving *s = arg;
    char to[PATH_MAX], from[PATH_MAX];
    struct stat st;
    int rc = backup_path(&s->backup, name, to, err);
    if (rc != 0)
        return rc == ERR_INVALID ? err_set(err, rc, "%s: give it a plain name, or move it away", path) : rc;
    if (lstat(to, &st) == 0 || realpath(path, from) == NULL) /* told twice, or gone meanwhile */
        return 0;
    rc = backup_copy(&s->backup, from, name, err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* In the copy this job is done: nobody wants it to begin again where it is restored. */
static int save_account(struct saving *s)
{
    char path[PATH_MAX];
    struct account *copy = NULL;
    int rc = backup_path(&s->backup, "account.db", path, s->err);
    if (rc == 0)
        rc = account_backup(s->job->account, path, s->err);
    if (rc == 0)
        rc = account_open(&copy, path, s->err);
    if (rc == 0)
        rc = account_job_end(copy, s->job->id, JOB_DONE, "{}", s->err);
    account_close(&copy); /* takes its WAL along */
    return rc;
}

static int save_all(struct saving *s)
{
    struct store *store;
    struct loader *loader;
    int rc = job_store(s->job, &store, &loader, s->err);
    if (rc != 0)
        return rc;
    loader_hold_journal(loader, true); /* what is stored after the copy of the store stays in it */
    rc = save_edges(s);
    if (rc == 0)
        rc = loader_at_rest(loader, link_store, s, s->err);
    if (rc == 0)
        rc = job_patiently(s->job, save_rollups, s, s->err);
    if (rc == 0)
        rc = save_journal(s);
    loader_hold_journal(loader, false);
    if (rc == 0)
        rc = save_quarantines(s);
    if (rc == 0)
        rc = secrets_each(s->paths, save_secret, s, s->err);
    return rc != 0 ? rc : save_account(s);
}

static int finish(struct saving *s)
{
    char created[CLOCK_TEXT_BYTES];
    clock_format(clock_real_us(), created);
    json_t *manifest = json_pack("{s:s, s:s, s:s}", "release", VERSION, "created", created, "engine",
                                 s->job->world->settings->store);
    int rc = manifest == NULL ? err_set(s->err, ERR_NO_MEMORY, "out of memory")
                              : backup_finish(&s->backup, manifest, s->err);
    if (rc == 0) {
        (void)json_object_set_new(s->job->result, "to", json_string(s->backup.dir));
        (void)json_object_set_new(
            s->job->result, "files",
            json_integer((json_int_t)json_array_size(json_object_get(manifest, "files"))));
        (void)json_object_set_new(s->job->result, "bytes", json_integer((json_int_t)s->job->all));
    }
    json_decref(manifest);
    return rc;
}

int job_backup(struct job *job, struct err *err)
{
    struct saving s = {
        .job = job, .backup = {.check = check, .arg = job}, .paths = job->world->paths, .err = err};
    const char *to = json_string_value(json_object_get(job->arguments, "to"));
    if (to == NULL)
        return err_set(err, ERR_INVALID, "the job doesn't say where to");
    int rc = job->resume != NULL ? backup_was_finished(&s.backup, to, err) : ERR_NOT_FOUND;
    if (rc == 0) /* when the hub ended */
        (void)json_object_set_new(job->result, "to", json_string(to));
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = backup_begin(&s.backup, to, err);
    if (rc != 0)
        return rc;
    json_t *begun = json_pack("{s:b}", "begun", 1);
    rc = job_progress(job, 0, 0, begun, err);
    json_decref(begun);
    if (rc == 0)
        rc = save_all(&s);
    if (rc == 0)
        rc = finish(&s);
    if (rc != 0)
        backup_abandon(&s.backup);
    return rc;
}
