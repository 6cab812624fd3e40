/* SPDX-License-Identifier: Apache-2.0
 *
 * ringdir: see ringdir.h.
 */
#include "ringdir.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { OWNER_BYTES = 96, PATH_BYTES = 4096 };
#define PREFIX "mail-analytics-"
#define SUFFIX ".ring"

struct search {
    const struct ringdir_options *options;
    char owner[OWNER_BYTES]; /* PREFIX and the spool's identity */
    const struct epoch *epoch;
    struct ring *ring;
    bool found;
    int rc; /* why not, when no other ring may take its place */
};

/* A copied directory, and one made anew in the place of another, are other owners. */
static int name_owner(struct search *search, struct err *err)
{
    struct statx st = {0};
    if (statx(AT_FDCWD, search->options->spool, 0, STATX_INO | STATX_BTIME, &st) != 0)
        return err_errno(err, errno, "spool %s", search->options->spool);
    (void)snprintf(search->owner, sizeof search->owner, PREFIX "%x-%x-%llx-%llx-%x", st.stx_dev_major,
                   st.stx_dev_minor, st.stx_ino, st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
    return 0;
}

/* --- what is there ------------------------------------------------------------------------------------- */

static bool is_gone(const char *spool)
{
    struct stat st;
    return spool[0] == '/' && stat(spool, &st) != 0 && errno == ENOENT;
}

/* One of this spool, with records in it; the first is taken. One that holds too many runs already is no
 * reason for another: a program that starts again and again on a broken disk would fill the memory. */
static void take(struct search *search, const char *path, struct err *err)
{
    if (search->found) {
        log_warning("ring %s holds records of spool %s too: they follow at a later start", path,
                    search->options->spool);
        return;
    }
    int rc =
        ring_open(search->ring, path, search->options->spool, search->options->bytes, search->epoch, err);
    search->found = rc == 0;
    if (rc == ERR_FULL || rc == ERR_NO_MEMORY || rc == ERR_LIMIT)
        search->rc = rc;
    else if (rc != 0)
        log_warning("what is in ring %s waits there, a new ring is made: %s", path, err_detail(err));
}

static void look_at(struct search *search, const char *path, bool own, struct err *err)
{
    char spool[RING_SPOOL_BYTES];
    switch (ring_inspect(path, spool)) {
    case RING_HOLDS:
        if (own)
            take(search, path, err);
        else if (is_gone(spool))
            log_warning("ring %s holds records of spool %s, which is gone: remove the ring unless that spool "
                        "comes back",
                        path, spool);
        break;
    case RING_FOREIGN:
        if (own)
            log_warning("%s has the name of a ring of spool %s and belongs to somebody else: it is not used; "
                        "find out whose it is, and remove it",
                        path, search->options->spool);
        break;
    case RING_EMPTY: /* removed */
    case RING_BUSY:
    case RING_NONE:
        break;
    }
}

static void look_through(struct search *search, const char *dir, struct err *err)
{
    size_t owner_n = strlen(search->owner);
    DIR *names = dir != NULL && dir[0] != '\0' ? opendir(dir) : NULL;
    for (struct dirent *entry; names != NULL && search->rc == 0 && (entry = readdir(names)) != NULL;) {
        char path[PATH_BYTES];
        size_t n = strlen(entry->d_name);
        if (n < strlen(SUFFIX) || strcmp(entry->d_name + n - strlen(SUFFIX), SUFFIX) != 0 ||
            strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) >= (int)sizeof path)
            continue;
        char behind = n > owner_n ? entry->d_name[owner_n] : '\0';
        look_at(search, path,
                strncmp(entry->d_name, search->owner, owner_n) == 0 && (behind == '-' || behind == '.'), err);
    }
    if (names != NULL)
        closedir(names);
}

/* --- a new one ----------------------------------------------------------------------------------------- */

bool ringdir_serves(const char *dir)
{
    struct stat st;
    struct statfs fs;
    return dir[0] != '\0' && stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && statfs(dir, &fs) == 0 &&
           (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) &&
           ((st.st_mode & S_ISVTX) != 0 || (st.st_uid == geteuid() && (st.st_mode & 022) == 0)) &&
           faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
}

static int make(struct search *search, const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return err_set(err, ERR_IO, "no random numbers for a ring's name");
    int n = snprintf(path, sizeof path, "%s/%s-%016" PRIx64 SUFFIX, dir, search->owner, random);
    if (n < 0 || n >= (int)sizeof path)
        return err_set(err, ERR_CONFIG, "ring directory %s is too long a path", dir);
    return ring_open(search->ring, path, search->options->spool, search->options->bytes, search->epoch, err);
}

static int make_somewhere(struct search *search, struct err *err)
{
    const struct ringdir_options *options = search->options;
    if (options->dir != NULL && options->dir[0] != '\0')
        return make(search, options->dir, err);
    int rc = err_set(err, ERR_NOT_FOUND,
                     "no tmpfs for the ring: mount one at /dev/shm, or set ring_dir to a directory on one");
    for (const char *const *dir = options->dirs; *dir != NULL; dir++) {
        if (!ringdir_serves(*dir))
            continue;
        rc = make(search, *dir, err);
        if (rc == 0 || rc == ERR_LIMIT)
            return rc;
        if (dir[1] != NULL)
            log_warning("the next directory is tried: %s", err_detail(err));
    }
    return rc;
}

static int open_one(struct ring *ring, const struct ringdir_options *options, const struct epoch *epoch,
                    struct err *err)
{
    struct search search = {.options = options, .epoch = epoch, .ring = ring};
    int rc = name_owner(&search, err);
    if (rc != 0)
        return rc;
    look_through(&search, options->dir, err);
    for (const char *const *dir = options->dirs; *dir != NULL; dir++)
        look_through(&search, *dir, err);
    if (search.found || search.rc != 0)
        return search.rc;
    return make_somewhere(&search, err);
}

/* One at a time: looking at a ring locks it for a moment, and a hub opens many at once. */
int ringdir_open(struct ring *ring, const struct ringdir_options *options, const struct epoch *epoch,
                 struct err *err)
{
    static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&alone);
    int rc = open_one(ring, options, epoch, err);
    pthread_mutex_unlock(&alone);
    return rc;
}
