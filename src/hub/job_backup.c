/* SPDX-License-Identifier: Apache-2.0
 *
 * job_backup: a copy of everything that the hub keeps, while it runs (backup.h). In this order, so that each
 * part knows no more than the next one has:
 *
 *   1. what each edge has delivered (receive/edges)
 *   2. the store, its writer at rest, its open part closed: all its files are linked
 *   3. the journal, the segment being written sealed: all sealed segments are linked, its cursor copied
 *   4. quarantine, keys
 *   5. the control data, with every tombstone of until now
 *
 * It begins anew when the hub ended in the middle. Arguments: {"to": absolute path}.
 */
#include "base/clock.h"
#include "hub/backup.h"
#include "hub/job.h"
#include "journal/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
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

/* Every file of the directory whose name wanted() likes. */
static int copy_all(struct saving *s, const char *dir, const char *below, bool (*wanted)(const char *name))
{
    DIR *names = opendir(dir);
    int rc = 0;
    if (names == NULL)
        return errno == ENOENT ? 0 : err_errno(s->err, errno, "%s can't be read", dir);
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;)
        if (entry->d_name[0] != '.' && wanted(entry->d_name))
            rc = copy_if_there(s, dir, below, entry->d_name);
    (void)closedir(names);
    return rc;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_key(const char *name)
{
    return ends_with(name, ".key") || ends_with(name, ".pub") || ends_with(name, ".pem") ||
           ends_with(name, ".crt");
}

static bool is_any(const char *name)
{
    (void)name;
    return true;
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

static int save_store(struct saving *s)
{
    struct store *store;
    struct loader *loader;
    int rc = job_store(s->job, &store, &loader, s->err);
    return rc != 0 ? rc : loader_at_rest(loader, link_store, s, s->err);
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

/* --- the rest ------------------------------------------------------------------------------------------ */

/* Keys of Postfix servers that ask the hub itself; what their spools hold is on its way. */
static int save_direct(struct saving *s)
{
    DIR *names = opendir(s->paths->direct);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && names != NULL && (entry = readdir(names)) != NULL;) {
        char dir[PATH_MAX], below[BACKUP_NAME_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(dir, sizeof dir, "%.2000s/%.200s", s->paths->direct, entry->d_name);
        (void)snprintf(below, sizeof below, "policy/%.200s", entry->d_name);
        rc = copy_all(s, dir, below, is_key);
    }
    if (names != NULL)
        (void)closedir(names);
    return rc;
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
    int rc = copy_if_there(s, s->paths->receive, "receive", "edges");
    if (rc == 0)
        rc = save_store(s);
    if (rc == 0)
        rc = save_journal(s);
    if (rc == 0)
        rc = copy_all(s, s->paths->quarantine, "quarantine", is_any);
    if (rc == 0)
        rc = copy_all(s, s->paths->data, "", is_key);
    if (rc == 0)
        rc = save_direct(s);
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
    struct stat st;
    if (to == NULL)
        return err_set(err, ERR_INVALID, "the job doesn't say where to");
    if (job->resume != NULL && lstat(to, &st) == 0) { /* it was whole when the hub ended */
        (void)json_object_set_new(job->result, "to", json_string(to));
        return 0;
    }
    int rc = backup_begin(&s.backup, to, err);
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
