/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: see paths.h.
 */
#include "paths.h"

#include "backup.h"
#include "loop/pidfile.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { NAME_ROOM_BYTES = 32 }; /* for the longest name below data */

static void below(char out[PATHS_BYTES], const struct hub_paths *paths, const char *name)
{
    (void)snprintf(out, PATHS_BYTES, "%.*s/%s", PATHS_BYTES - NAME_ROOM_BYTES, paths->data, name);
}

static int find_certificate(const struct hub_config *settings, struct hub_paths *out, struct err *err)
{
    const char *certificate = settings->tls_certificate, *key = settings->tls_key;
    below(out->certificate, out, "tls.crt");
    below(out->certificate_key, out, "tls.key");
    if ((certificate[0] != '\0') != (key[0] != '\0'))
        return err_set(err, ERR_CONFIG, "tls_certificate and tls_key belong together: set both or none");
    if (certificate[0] != '\0' &&
        (slice_to_string(slice_of(certificate), out->certificate, PATHS_BYTES) != 0 ||
         slice_to_string(slice_of(key), out->certificate_key, PATHS_BYTES) != 0))
        return err_set(err, ERR_CONFIG, "tls_certificate or tls_key: the path is too long");
    return 0;
}

int paths_of(const struct hub_config *settings, struct hub_paths *out, struct err *err)
{
    const char *control = settings->control_socket;
    if (slice_to_string(slice_of(settings->data), out->data, PATHS_BYTES - NAME_ROOM_BYTES) != 0)
        return err_set(err, ERR_CONFIG, "data: the path is too long");
    below(out->account, out, "account.db");
    below(out->key, out, "wire.key");
    below(out->journal, out, "journal");
    below(out->store, out, "store");
    below(out->receive, out, "receive");
    below(out->quarantine, out, "quarantine");
    below(out->direct, out, "policy");
    below(out->export, out, "export");
    below(out->control, out, "control.sock");
    if (control[0] != '\0' && slice_to_string(slice_of(control), out->control, PATHS_BYTES) != 0)
        return err_set(err, ERR_CONFIG, "control_socket: the path is too long");
    if (settings->pid_file[0] == '\0' &&
        !pidfile_default(out->pid_file, PATHS_BYTES, "mail-analytics", settings->data))
        out->pid_file[0] = '\0';
    if (settings->pid_file[0] != '\0' &&
        slice_to_string(slice_of(settings->pid_file), out->pid_file, PATHS_BYTES) != 0)
        return err_set(err, ERR_CONFIG, "pid_file: the path is too long");
    return find_certificate(settings, out, err);
}

static int make(const char *path, mode_t mode, struct err *err)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return 0;
    int errnum = errno;
    if (errnum == EEXIST && stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : err_set(err, ERR_CONFIG, "%s is no directory", path);
    if (errnum == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s can't be made: make its parent directory first", path);
    return err_errno(err, errnum, "%s can't be made", path);
}

int paths_make(const struct hub_paths *paths, bool all, struct err *err)
{
    const char *const inside[] = {paths->journal, paths->receive, paths->quarantine};
    int rc = make(paths->data, 0750, err);
    if (rc == 0 && backup_is_unfinished(paths->data))
        return err_set(err, ERR_CORRUPT, "%s has a backup that is not restored to its end: restore it again",
                       paths->data);
    for (size_t i = 0; all && rc == 0 && i < sizeof inside / sizeof *inside; i++)
        rc = make(inside[i], 0700, err);
    return rc;
}
