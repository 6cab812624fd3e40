/* SPDX-License-Identifier: Apache-2.0
 *
 * account: the file itself: open, transactions, generation, audit. The nouns in it have files of their own
 * (tenant, domain, network, apikey, edge). See account.h.
 */
#include "base/clock.h"
#include "db.h"
#include "schema.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* POSIX locks belong to the process: closing any descriptor of a file lets go of all that the process holds
 * on it, those of SQLite's other handles as well (then another process thinks itself alone and throws their
 * WAL away). So a file that exists is never opened here, and a new one is closed before any other thread can
 * look for it. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* A new file is its maker's. Made by root in a directory of the hub's user, it belongs to that user, or the
 * hub couldn't open it. */
static int give_away(int fd, const char *path, struct err *err)
{
    struct stat dir;
    char parent[4096];
    const char *slash = strrchr(path, '/');
    struct slice name = {path, slash != NULL ? (size_t)(slash - path) + 1 : 0};
    if (geteuid() == 0 && slice_to_string(name.n > 0 ? name : SLICE("."), parent, sizeof parent) == 0 &&
        stat(parent, &dir) == 0 && dir.st_uid != 0 && fchown(fd, dir.st_uid, dir.st_gid) != 0)
        return err_errno(err, errno, "account file %s can't be given to the directory's owner", path);
    return 0;
}

static int look_at(const char *path, struct err *err)
{
    struct stat file;
    if (lstat(path, &file) == 0 && !S_ISREG(file.st_mode))
        return err_set(err, ERR_DENIED, "account file %s is no plain file", path);
    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0)
        return err_errno(err, errno, "account file %s can't be opened", path);
    return 0;
}

/* Makes the file before SQLite does, so that nobody else can ever read it. */
static int make_private(const char *path, struct err *err)
{
    int rc = 0;
    (void)pthread_mutex_lock(&making);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        rc = give_away(fd, path, err);
        (void)close(fd);
    } else if (errno == EEXIST) {
        rc = look_at(path, err);
    } else {
        rc = err_errno(err, errno, "account file %s can't be opened", path);
    }
    (void)pthread_mutex_unlock(&making);
    return rc;
}

/* A new file's change to WAL doesn't wait for others that open it at the same moment, as everything else
 * does. */
static int begin_wal(struct account *a, struct err *err)
{
    int64_t until_us = clock_monotonic_us() + DB_BUSY_MS * INT64_C(1000);
    int rc;
    while ((rc = db_script(a, "PRAGMA journal_mode = WAL", err)) == ERR_BUSY &&
           clock_monotonic_us() < until_us)
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return rc;
}

static int configure(struct account *a, struct err *err)
{
    sqlite3_extended_result_codes(a->db, 1);
    sqlite3_busy_timeout(a->db, DB_BUSY_MS);
    sqlite3_db_config(a->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(a->db, SQLITE_LIMIT_ATTACHED, 0);
    int rc = begin_wal(a, err);
    return rc != 0 ? rc
                   : db_script(a,
                               "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                               "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON",
                               err);
}

int account_open(struct account **out, const char *path, struct err *err)
{
    *out = NULL;
    if (sodium_init() < 0)
        return err_set(err, ERR_IO, "libsodium can't be started");
    int rc = make_private(path, err);
    if (rc != 0)
        return rc;
    struct account *a = calloc(1, sizeof *a);
    if (a == NULL)
        return err_set(err, ERR_NO_MEMORY, "account file %s: out of memory", path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(path, &a->db, flags, NULL) != SQLITE_OK)
        rc = a->db != NULL ? db_error(a, err) : err_set(err, ERR_NO_MEMORY, "out of memory");
    if (rc == 0)
        rc = configure(a, err);
    if (rc == 0)
        rc = schema_migrate(a, err);
    if (rc == 0)
        *out = a;
    else
        account_close(&a);
    return rc;
}

void account_close(struct account **account)
{
    struct account *a = *account;
    if (a == NULL)
        return;
    for (size_t i = 0; i < DB_STATEMENTS; i++)
        sqlite3_finalize(a->slots[i].stmt);
    sqlite3_close_v2(a->db);
    free(a);
    *account = NULL;
}

int account_generation(struct account *a, uint64_t *out, struct err *err)
{
    int64_t version = 0;
    int rc = db_integer(a, &version, err, "PRAGMA data_version", NULL, 0);
    if (rc != 0)
        return rc;
    if ((uint32_t)version != a->data_version) {
        a->data_version = (uint32_t)version;
        a->generation++;
    }
    *out = a->generation;
    return 0;
}

static int start(struct account *a, struct err *err)
{
    char savepoint[48];
    if (a->depth == 0)
        return db_script(a, "BEGIN IMMEDIATE", err);
    (void)snprintf(savepoint, sizeof savepoint, "SAVEPOINT s%u", a->depth);
    return db_script(a, savepoint, err);
}

static int finish(struct account *a, struct err *err)
{
    char release[48];
    if (a->depth == 0)
        return db_script(a, "COMMIT", err);
    (void)snprintf(release, sizeof release, "RELEASE s%u", a->depth);
    return db_script(a, release, err);
}

/* After a full disk SQLite may have rolled back by itself: a failure here has nothing left to undo. */
static void undo(struct account *a)
{
    char rollback[64];
    if (sqlite3_get_autocommit(a->db))
        return;
    if (a->depth == 0)
        (void)snprintf(rollback, sizeof rollback, "ROLLBACK");
    else
        (void)snprintf(rollback, sizeof rollback, "ROLLBACK TO s%u; RELEASE s%u", a->depth, a->depth);
    (void)!db_script(a, rollback, NULL);
}

int account_atomically(struct account *a, int (*fn)(struct account *, void *, struct err *), void *arg,
                       struct err *err)
{
    int rc = start(a, err);
    if (rc != 0)
        return rc;
    a->depth++;
    rc = fn(a, arg, err);
    a->depth--;
    if (rc == 0 && sqlite3_get_autocommit(a->db)) /* rolled back within, though nobody said so */
        rc = err_set(err, ERR_IO, "the account file's transaction was lost");
    if (rc == 0)
        rc = finish(a, err);
    if (rc != 0)
        undo(a);
    else if (a->depth == 0)
        a->generation++;
    return rc;
}

int account_backup(struct account *a, const char *path, struct err *err)
{
    sqlite3 *to = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "%s can't be made", path);
    (void)close(fd);
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_backup *backup = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", a->db, "main") : NULL;
    if (backup != NULL)
        do
            rc = sqlite3_backup_step(backup, -1);
        while (rc == SQLITE_BUSY || rc == SQLITE_LOCKED);
    if (backup != NULL && sqlite3_backup_finish(backup) != SQLITE_OK)
        rc = SQLITE_ERROR;
    bool good = backup != NULL && rc == SQLITE_DONE &&
                sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK;
    if (!good)
        (void)err_set(err, ERR_IO, "the control data can't be copied to %s: %s", path, sqlite3_errmsg(to));
    (void)sqlite3_close_v2(to);
    return good ? 0 : ERR_IO;
}

int account_audit(struct account *a, uint32_t tenant, const char *actor, const char *action,
                  const char *detail, struct err *err)
{
    return db_run(a, NULL, err,
                  "INSERT INTO audit (at_us, tenant, actor, action, detail) VALUES ($1, $2, $3, $4, $5)",
                  DB_ARGS(INT(clock_real_us()), INT(tenant), TEXT(actor), TEXT(action), TEXT(detail)));
}
