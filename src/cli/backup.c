/* SPDX-License-Identifier: Apache-2.0
 *
 * backup: the verbs backup (a job of the running hub) and restore (without a hub, into an empty data
 * directory).
 */
#include "job.h"

#include "account/job.h"
#include "account/tombstone.h"
#include "hub/archive.h"
#include "hub/backup.h"
#include "hub/paths.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FILES = 16 };

/* --- backup -------------------------------------------------------------------------------------------- */

/* The hub has a working directory of its own. */
static int absolute(struct cli *cli, const char *dir, char out[PATH_MAX])
{
    char here[PATH_MAX / 2];
    if (dir[0] != '/' && getcwd(here, sizeof here) == NULL)
        return err_errno(&cli->err, errno, "the working directory is not known");
    int n = dir[0] == '/' ? snprintf(out, PATH_MAX, "%s", dir) : snprintf(out, PATH_MAX, "%s/%s", here, dir);
    return n < PATH_MAX ? 0 : cli_fail(cli, ERR_USAGE, "the path is too long");
}

int verb_backup(struct cli *cli)
{
    struct flag flags[] = {{.name = "no-wait", .type = FLAG_TRUE}, {.name = "output"}};
    const char *dir = NULL;
    char path[PATH_MAX];
    size_t n;
    int fd = -1;
    int rc = cli_flags(cli, flags, 2, &dir, 1, &n);
    if (rc == 0 && n + flags[1].count != 1)
        rc = cli_fail(cli, ERR_USAGE, "backup: where to? try `mail-analytics help backup`");
    if (rc == 0 && flags[1].count == 1 && !archive_is_name(dir = flags[1].values[0]))
        rc = cli_fail(cli, ERR_USAGE, "backup: --output takes a file whose name ends in " ARCHIVE_ENDING);
    if (rc == 0)
        rc = absolute(cli, dir, path);
    if (rc == 0 && client_connect(cli, &fd) != 0)
        rc = cli_fail(cli, ERR_UNAVAILABLE,
                      "no hub is running: start it, or copy its data directory as long as it doesn't run");
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        return rc;
    json_t *question = json_pack("{s:s}", "kind", "backup");
    (void)json_object_set_new(question, "to", json_string_nocheck(path));
    rc = job_ask(cli, question, flags[0].count == 0);
    json_decref(question);
    return rc;
}

/* --- restore ------------------------------------------------------------------------------------------- */

struct merging {
    struct account *to;
    uint64_t count, last;
    struct err *err;
};

static int merge_one(void *arg, const struct account_tombstone *tombstone)
{
    struct merging *merging = arg;
    merging->count++;
    return account_tombstone_add(merging->to, tombstone, &merging->last, merging->err);
}

static int merge(struct account *to, void *arg, struct err *err)
{
    struct merging merging = {.to = to, .err = err};
    struct account *from = arg;
    char arguments[64];
    int rc = account_tombstone_list(from, 0, merge_one, &merging, err);
    if (rc != 0 || merging.count == 0)
        return rc;
    (void)snprintf(arguments, sizeof arguments, "{\"tombstone\":%llu}", (unsigned long long)merging.last);
    struct account_job job = {.kind = "erase", .arguments = arguments, .who = "restore"};
    return account_job_add(to, &job, NULL, err);
}

/* Where the account file is: named, or in the data directory or backup that is named. */
static void account_in(const char *from, char path[PATH_MAX])
{
    struct stat st;
    bool dir = stat(from, &st) == 0 && S_ISDIR(st.st_mode);
    (void)snprintf(path, PATH_MAX, "%.4000s%s", from, dir ? "/account.db" : "");
}

/* What was erased since the backup was made stays erased: at its first start the hub takes it out of what was
 * restored. */
static int merge_tombstones(struct cli *cli, const char *from, const char *account_path)
{
    struct account *to = NULL, *source = NULL;
    char path[PATH_MAX];
    account_in(from, path);
    if (access(path, R_OK) != 0)
        return err_errno(&cli->err, errno, "--tombstones: %s", path);
    int rc = account_open(&source, path, &cli->err);
    if (rc == 0)
        rc = account_open(&to, account_path, &cli->err);
    if (rc == 0)
        rc = account_atomically(to, merge, source, &cli->err);
    account_close(&to);
    account_close(&source);
    return rc;
}

static struct stat owner; /* nftw has no argument */
static const char *owned;

static int give_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return backup_is_lost(owned, path) ? 0 : lchown(path, owner.st_uid, owner.st_gid);
}

/* Restored by root into a directory of the hub's user, it is that user's. */
static int give_away(struct cli *cli, const char *data)
{
    if (geteuid() != 0 || stat(data, &owner) != 0 || owner.st_uid == 0)
        return 0;
    owned = data;
    return nftw(data, give_one, OPEN_FILES, FTW_PHYS) == 0
               ? 0
               : err_errno(&cli->err, errno, "%s can't be given to its owner", data);
}

static int check_no_hub(struct cli *cli)
{
    int fd = -1;
    if (client_connect(cli, &fd) != 0) {
        cli->err = (struct err){0};
        return 0;
    }
    close(fd);
    return cli_fail(cli, ERR_BUSY, "a hub is running on this data directory: stop it first");
}

static int tell(struct cli *cli, const char *what, const json_t *manifest)
{
    size_t files = json_array_size(json_object_get(manifest, "files"));
    const char *created = json_string_value(json_object_get(manifest, "created"));
    json_t *document =
        json_pack("{s:s, s:s?, s:I}", "state", what, "created", created, "files", (json_int_t)files);
    if (cli->json)
        cli_print_json(document);
    else
        printf("%s: %zu files of %s\n", what, files, created != NULL ? created : "?");
    json_decref(document);
    return 0;
}

static int restore(struct cli *cli, const char *dir, const char *tombstones)
{
    struct hub_paths paths;
    json_t *manifest = NULL;
    int rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc == 0)
        rc = check_no_hub(cli);
    if (rc == 0)
        rc = backup_verify(dir, &manifest, &cli->err);
    if (rc == 0)
        rc = backup_restore(dir, manifest, paths.data, &cli->err);
    if (rc == 0 && tombstones != NULL)
        rc = merge_tombstones(cli, tombstones, paths.account);
    if (rc == 0)
        rc = give_away(cli, paths.data);
    if (rc == 0)
        rc = backup_restored(paths.data, &cli->err);
    if (rc == 0)
        rc = tell(cli, "restored", manifest);
    json_decref(manifest);
    return rc;
}

int verb_restore(struct cli *cli)
{
    struct flag flags[] = {{.name = "check", .type = FLAG_TRUE}, {.name = "tombstones"}};
    const char *dir = NULL;
    json_t *manifest = NULL;
    size_t n;
    int rc = cli_flags(cli, flags, 2, &dir, 1, &n);
    if (rc == 0 && n == 0)
        rc = cli_fail(cli, ERR_USAGE, "restore: from which backup? try `mail-analytics help restore`");
    if (rc != 0)
        return rc;
    if (flags[0].count == 0)
        return restore(cli, dir, flags[1].count > 0 ? flags[1].values[0] : NULL);
    rc = backup_verify(dir, &manifest, &cli->err);
    if (rc == 0)
        rc = tell(cli, "whole", manifest);
    json_decref(manifest);
    return rc;
}
